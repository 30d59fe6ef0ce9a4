//! The build command: parallel builds, signals, output.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Program, Run, pause, signal};

/// A build without a machine that runs `script` here.
fn template(builds: &[(&str, &str)]) -> Value {
    let builders: Vec<Value> = builds
        .iter()
        .map(|(name, _)| json!({ "type": "null", "name": name, "communicator": "none" }))
        .collect();
    let provisioners: Vec<Value> = builds
        .iter()
        .map(|(name, script)| json!({ "type": "shell-local", "inline": [script], "only": [name] }))
        .collect();
    json!({ "builders": builders, "provisioners": provisioners })
}

/// A program whose working directory holds `template` as `t.json`.
fn program(template: &Value) -> Program {
    let program = Program::new();
    program.write("t.json", template.to_string());
    program
}

/// The lines that build `name` said.
fn lines_of(run: &Run, name: &str) -> Vec<String> {
    let prefix = format!("==> null.{name}: ");
    run.stdout.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// `text` with times and temporary names settled.
fn settled(text: &str) -> String {
    let replace = |text: String, pattern: &str, by: &str| {
        regex::Regex::new(pattern).expect("a pattern").replace_all(&text, by).into_owned()
    };
    let units = "(?:week|day|hour|minute|second|millisecond|microsecond)s?";
    let text = replace(text.to_owned(), &format!(r"(\d+ {units})( \d+ {units})?"), "[time]");
    let text = replace(text, r"(?m)^\d{10},", "[unix],");
    let text = replace(text, r"\b\d{13}\b", "[millis]");
    let text = replace(text, r"(build-ended,.*?,ok),\d+,", "$1,[millis],");
    replace(text, r"/\S*packer-shell\w+", "[script]")
}

#[test]
fn a_failed_build_fails_the_run_and_the_others_finish() {
    let program = program(&template(&[("good", "echo fine; sleep 0.3"), ("bad", "exit 3")]));
    let run = program.run(["build", "t.json"]).failed_with(1);
    let end = run.stdout.split("\n==> Wait").nth(1).expect("an end");
    insta::assert_snapshot!(settled(end));
    assert!(lines_of(&run, "good").contains(&"fine".to_owned()), "{}", run.stdout);
    assert!(run.stdout.contains("Build 'null.bad' errored after "), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[test]
fn records_are_as_programs_expect_them() {
    let program = program(&json!({
        "builders": [{ "type": "file", "name": "x", "content": "a,b", "target": "x.txt" }],
    }));
    let run = program.run(["build", "-machine-readable", "t.json"]).succeeded();
    insta::assert_snapshot!(settled(&run.stdout));
    assert_eq!(program.read("x.txt"), "a,b");
}

#[test]
fn parallel_builds_limits_how_many_run() {
    let note = "echo begin; sleep 0.2; echo end";
    let program = program(&template(&[("a", note), ("b", note), ("c", note)]));
    let run = program.run(["build", "-parallel-builds=1", "t.json"]).succeeded();
    let notes: String = run
        .stdout
        .lines()
        .filter(|line| line.ends_with("begin") || line.ends_with("end"))
        .map(|line| line.trim_start_matches("==> null.").replace(": ", "-") + " ")
        .collect();
    assert_eq!(notes, "a-begin a-end b-begin b-end c-begin c-end ");

    let together = program.run(["build", "t.json"]).succeeded();
    let at = |text| together.stdout.find(text).expect("a note");
    assert!(at("==> null.c: begin") < at("==> null.a: end"), "{}", together.stdout);
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let program = program(&template(&[("a", "echo hello")]));
    let plain = program.run(["build", "t.json"]).succeeded().stdout;
    assert!(!plain.contains('\x1b') && !plain.contains("in this color"), "{plain}");
    let coloured = program.run(["build", "-color=true", "t.json"]).succeeded().stdout;
    assert!(coloured.starts_with("\x1b[1;32mnull.a: output will be in this color.\x1b[0m\n\n"));
    assert!(coloured.contains("\x1b[1;32m==> null.a: hello\x1b[0m\n"), "{coloured}");
    let forbidden = program.with([("PACKER_NO_COLOR", "1")]);
    forbidden.write("t.json", template(&[("a", "echo hello")]).to_string());
    let plain = forbidden.run(["build", "-color=true", "t.json"]).succeeded().stdout;
    assert!(!plain.contains('\x1b'), "{plain}");
}

#[test]
fn timestamps_stand_in_front_of_each_line_of_a_build() {
    let program = program(&template(&[("a", "echo hello")]));
    let run = program.run(["build", "-timestamp-ui", "t.json"]).succeeded();
    let line = regex::Regex::new(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: ==> null.a: hello$");
    assert!(line.expect("a pattern").is_match(&run.stdout), "{}", run.stdout);
}

/// Reads what a started program says until `text` comes.
fn wait_for(child: &mut Child, text: &str) -> String {
    let mut said = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    while !said.contains(text) {
        let read = reader.read_line(&mut said).expect("its output");
        assert!(read > 0, "it ended without saying {text:?}: {said}");
    }
    child.stdout = Some(reader.into_inner());
    said
}

#[test]
fn a_first_signal_cancels_and_what_has_begun_is_ended() {
    for (name, word) in [("INT", "interrupt"), ("TERM", "terminated")] {
        let script = "echo ready; exec sleep 300";
        let program = program(&template(&[("a", script), ("later", "echo started")]));
        let mut child = program.start(["build", "-parallel-builds=1", "t.json"]);
        wait_for(&mut child, "ready");
        let started = Instant::now();
        signal(&child, name);
        let run = Program::finish(child).failed_with(1);
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        let cancelling = format!("Cancelling build after receiving {word}\n");
        assert!(run.stdout.contains(&cancelling), "{}", run.stdout);
        assert!(run.stdout.contains("Cleanly cancelled builds after being interrupted.\n"));
        assert!(!run.stdout.contains("later: started"), "{}", run.stdout);
    }
}

#[test]
fn a_second_signal_gives_up() {
    let mut template = template(&[("a", "echo ready; exec sleep 300")]);
    let slow = json!({ "type": "shell-local", "inline": ["echo cleaning; exec sleep 300"] });
    template["error-cleanup-provisioner"] = slow;
    let program = program(&template);
    let mut child = program.start(["build", "t.json"]);
    wait_for(&mut child, "ready");
    signal(&child, "INT");
    wait_for(&mut child, "cleaning");
    signal(&child, "INT");
    let run = Program::finish(child).failed_with(130);
    assert!(run.stdout.contains("Giving up after receiving interrupt again\n"), "{}", run.stdout);
}

#[test]
fn a_reader_who_leaves_does_not_end_a_build() {
    let program = program(&template(&[("a", "echo ready; sleep 0.5; echo more; touch done")]));
    let mut child = program.start(["build", "t.json"]);
    wait_for(&mut child, "ready");
    drop(child.stdout.take());
    Program::finish(child).succeeded();
    assert!(program.path("done").exists());
}

#[test]
fn secrets_reach_neither_output_nor_logs() {
    let script =
        "echo token=$TOKEN; echo \"$TOKEN\" | sed s/^/line:/; printf 'x\\033[1m%s\\n' hunter22";
    let provisioner = json!({
        "type": "shell-local",
        "environment_vars": ["TOKEN={{user `token`}}"],
        "inline": [script],
    });
    let template = json!({
        "variables": { "token": "hunter22\nsecond-half" },
        "sensitive-variables": ["token"],
        "builders": [{ "type": "null", "communicator": "none" }],
        "provisioners": [provisioner],
    });
    let program = program(&template).with([("PACKER_LOG", "1"), ("PACKER_LOG_PATH", "log.txt")]);
    for flags in [vec!["build", "t.json"], vec!["build", "-machine-readable", "t.json"]] {
        let run = program.run(flags).succeeded();
        let log = program.read("log.txt");
        assert!(run.stdout.contains("token=<sensitive>"), "{}", run.stdout);
        assert!(log.contains("token=<sensitive>"), "the log repeats what people see: {log}");
        for text in [&run.stdout, &run.stderr, &log] {
            assert!(!text.contains("hunter22") && !text.contains("second-half"), "{text}");
        }
    }
}

#[test]
fn a_hostile_child_cannot_forge_or_stall_the_log() {
    let script = "printf 'a\\033[2J\\033]0;x\\007b\\0c\\377\\rd\\n'; head -c 10000000 /dev/zero | tr '\\0' '#'; echo";
    let program = program(&template(&[("a", script)]));
    let output = program.command(["build", "t.json"]).output().expect("imgbake starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains(|next: char| next.is_control() && next != '\n'), "controls remain");
    assert!(text.contains("==> null.a: d\n"));
    assert_eq!(text.matches('#').count(), 10_000_000);
    assert!(text.lines().all(|line| line.len() < 20_000));
}

#[test]
fn without_a_terminal_asking_means_cleaning_up() {
    let program = program(&template(&[("a", "exit 1")]));
    let command = program.command(["build", "-on-error=ask", "t.json"]);
    // `setsid` takes the terminal of the person who runs the tests away.
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(command.get_program()).args(command.get_args());
    alone.current_dir(program.dir()).stdin(std::process::Stdio::null());
    let output = alone.output().expect("setsid starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("there is no terminal to ask at"), "{text}");
}

#[test]
fn at_a_terminal_a_failed_step_may_be_run_again() {
    let script = "if [ -e again ]; then echo worked; else touch again; exit 1; fi";
    let program = program(&template(&[("a", script)]));
    let build = program.command(["build", "-on-error=ask", "-color=false", "t.json"]);
    let words = std::iter::once(build.get_program()).chain(build.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qefc", &line.join(" "), "/dev/null"]).current_dir(program.dir());
    terminal.env("HOME", program.dir());
    terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = terminal.spawn().expect("script(1) starts");
    let said = wait_for(&mut child, "[r] retry step");
    std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"r\n").expect("an answer");
    let mut rest = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("its output");
    assert!(child.wait().expect("script(1) ends").success(), "{said}{rest}");
    assert!(rest.contains("==> null.a: worked"), "{said}{rest}");
}

#[test]
fn nothing_to_build_is_an_error() {
    let program = program(&template(&[("a", "true")]));
    program.run(["build", "-except=a", "t.json"]).failed_with(1);
}

#[test]
fn every_signal_that_asks_a_process_to_end_cancels_the_builds() {
    for name in ["HUP", "QUIT", "ALRM", "USR1", "USR2"] {
        let program = program(&template(&[("a", "echo ready; exec sleep 300")]));
        let mut child = program.start(["build", "t.json"]);
        wait_for(&mut child, "ready");
        signal(&child, name);
        let run = Program::finish(child).failed_with(1);
        assert!(run.stdout.contains("Cancelling build after receiving "), "{name}: {}", run.stdout);
        assert!(run.stdout.contains("Cleanly cancelled"), "{name}: {}", run.stdout);
    }
}

#[test]
fn what_nohup_has_it_ignore_does_not_end_a_build() {
    let program = program(&template(&[("a", "echo ready; sleep 0.5; touch done")]));
    let mut command = program.command([]);
    let imgbake = command.get_program().to_owned();
    command = {
        let mut nohup = Command::new("nohup");
        nohup.arg(imgbake).args(["build", "t.json"]).current_dir(program.dir());
        nohup.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        nohup
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nohup");
    wait_for(&mut child, "ready");
    signal(&child, "HUP");
    Program::finish(child).succeeded();
    assert!(program.path("done").exists());
}

#[test]
fn a_program_that_only_waits_for_its_reader_is_ended_by_one_signal() {
    let script = "head -c 1000000 /dev/zero | tr '\\\\0' x | fold; touch done";
    let program = program(&template(&[("a", script)]));
    let mut child = program.start(["build", "t.json"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !program.path("done").exists() {
        assert!(Instant::now() < deadline, "the build never ended");
        pause(20);
    }
    pause(2000);
    assert!(child.try_wait().expect("a child").is_none(), "nobody has read yet");
    let asked = Instant::now();
    signal(&child, "INT");
    let unread = child.stdout.take();
    let status = child.wait().expect("a child");
    assert_eq!(status.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop(unread);
}

#[test]
fn the_time_to_clean_up_is_a_duration_in_the_environment_too() {
    let program = program(&template(&[("a", "true")]));
    let program = program.with([("IMGBAKE_CLEANUP_TIMEOUT", "soon")]);
    let run = program.run(["build", "t.json"]).failed_with(1);
    let why = "Error: IMGBAKE_CLEANUP_TIMEOUT: `soon` is not a duration";
    assert!(run.stdout.contains(why), "{}", run.stdout);
    program.run(["build", "-cleanup-timeout=0", "t.json"]).succeeded();
    program.run(["build", "-cleanup-timeout=-1s", "t.json"]).failed_with(1);
}
