//! The program as the first process of a container.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Program, pause};

/// A build that runs `script` on this machine, in a namespace whose first process is the program.
fn first_process(program: &Program, script: &str) -> Child {
    let template = format!(
        "source \"null\" \"web\" {{ communicator = \"none\" }}\nbuild {{\n  sources = [\"null.web\"]\n  provisioner \"shell-local\" {{ inline = [\"{script}\"] }}\n}}\n"
    );
    program.write("web.pkr.hcl", template);
    in_namespace(program, program.command(["build", "web.pkr.hcl"]))
}

/// `inner` as the first process of a namespace.
fn in_namespace(program: &Program, inner: Command) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.current_dir(program.dir()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("unshare, as root")
}

#[test]
fn orphans_that_end_are_seen_off() {
    let program = Program::new();
    let script = "(sleep 0.1 & ) ; sleep 1; cat /proc/[0-9]*/stat";
    let run = Program::finish(first_process(&program, script)).succeeded();
    assert!(run.stdout.contains(" (imgbake) "), "{}", run.stdout);
    assert!(!run.stdout.contains(") Z "), "{}", run.stdout);
}

#[test]
fn signals_reach_the_program_and_its_exit_code_comes_out() {
    for (name, word) in [("INT", "interrupt"), ("HUP", "hangup"), ("USR1", "user defined signal")] {
        is_passed_on(name, word);
    }
}

fn is_passed_on(name: &str, word: &str) {
    let program = Program::new();
    let child = first_process(&program, "touch started; sleep 60");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !program.path("started").exists() {
        assert!(Instant::now() < deadline, "the build starts");
        pause(50);
    }
    let first = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap();
    let first = String::from_utf8(first.stdout).unwrap();
    let status =
        Command::new("kill").args([format!("-{name}").as_str(), first.trim()]).status().unwrap();
    assert!(status.success());
    let asked = Instant::now();
    let run = Program::finish(child).failed_with(1);
    let cancelling = format!("Cancelling build after receiving {word}");
    assert!(run.stdout.contains(&cancelling), "{}", run.stdout);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn the_first_process_of_an_action_has_no_secret_either() {
    let program = Program::new();
    let script = "cat /proc/[0-9]*/environ > seen.txt; wc -c < /proc/1/fd/0 > left.txt";
    program.write(
        "web.pkr.hcl",
        format!("source \"null\" \"web\" {{ communicator = \"none\" }}\nvariable \"pw\" {{\n}}\nbuild {{\n  sources = [\"null.web\"]\n  provisioner \"shell-local\" {{ inline = [\"{script}\"] }}\n}}\n"),
    );
    let plain = program.command([]);
    let action = program.path("imgbake-action");
    std::os::unix::fs::symlink(plain.get_program(), &action).unwrap();
    let mut inner = Command::new(action);
    inner.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inner.env("INPUT_COMMAND", "build").env("INPUT_SECRETS", "pw: hunter22");
    inner.env("GITHUB_WORKSPACE", program.dir());
    Program::finish(in_namespace(&program, inner)).succeeded();
    let seen = program.read("seen.txt");
    assert_eq!(seen.matches("IMGBAKE_SEALED=1").count(), 2, "{seen}");
    assert!(!seen.contains("hunter22") && !seen.contains("INPUT_"), "{seen}");
    assert_eq!(program.read("left.txt").trim(), "0");
}
