//! `imgbake console`: expressions through the program itself.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::support::{Program, Run, fixture};

const TEMPLATE: &str = r#"
variable "region" {
  default = "eu-north-1"
}
variable "token" {
  default   = "hunter2"
  sensitive = true
}
locals {
  zones = ["${var.region}a", "${var.region}b"]
}
"#;

fn program() -> Program {
    let program = Program::new();
    program.write("t.pkr.hcl", TEMPLATE);
    program
}

/// What the program says to `lines` on its standard input.
fn told(mut command: Command, lines: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    Program::finish(child)
}

fn asked(program: &Program, args: &[&str], lines: &str) -> Run {
    told(program.command(["console"].iter().chain(args).copied()), lines)
}

/// The expressions of the oracle that fit on a line: number, whether they have a value, the text
/// itself, the answer.
fn oracle() -> Vec<(u32, bool, String, String)> {
    let text = std::fs::read_to_string(fixture("oracle/expressions.tsv")).unwrap();
    let case = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let expression: String = serde_json::from_str(columns[3]).unwrap();
        let answer = serde_json::from_str(columns[4]).unwrap();
        (columns[0].parse().unwrap(), columns[2] == "ok", expression, answer)
    };
    text.lines().map(case).filter(|(_, _, expression, _)| !expression.contains('\n')).collect()
}

#[test]
fn expressions_get_their_answers_through_the_program() {
    let program = Program::new().with([("HOME", "/home/oracle")]);
    program.copy(&fixture("oracle"));
    let (mut values, mut errors) = (0, 0);
    for (id, has_value, expression, answer) in oracle().into_iter().step_by(40) {
        let run = asked(&program, &["-config-type=hcl2", "scope.pkr.hcl"], &expression);
        let said = format!("{id} {expression}: {}{}", run.stdout, run.stderr);
        assert_eq!(run.code, Some(if has_value { 0 } else { 1 }), "{said}");
        if has_value {
            let cwd = program.dir().canonicalize().unwrap().display().to_string();
            assert_eq!(run.stdout.replace(&cwd, "<CWD>"), answer + "\n", "{said}");
            values += 1;
        } else {
            assert_eq!(run.stdout, "", "{said}");
            assert!(run.stderr.contains("<console>:1:"), "{said}");
            errors += 1;
        }
    }
    assert!(values > 10 && errors > 3, "{values} values, {errors} errors");
}

#[test]
fn every_line_is_answered_and_a_wrong_one_decides_the_exit_code() {
    let lines = "var.region\n\nlocal.zones\nvar.regoin\nupper(\"x\")\nexit\n1\n";
    let run = asked(&program(), &["t.pkr.hcl"], lines).failed_with(1);
    let values = "eu-north-1\n[\n  \"eu-north-1a\",\n  \"eu-north-1b\",\n]\nX\n";
    assert_eq!(run.stdout, values);
    assert!(run.stderr.contains("regoin"), "{}", run.stderr);
}

#[test]
fn values_come_from_the_command_line_and_from_files_too() {
    let program = program();
    program.write("v.pkrvars.hcl", "region = \"us-west-2\"\n");
    let run = asked(&program, &["-var-file=v.pkrvars.hcl", "t.pkr.hcl"], "local.zones[0]\n");
    assert_eq!(run.succeeded().stdout, "us-west-2a\n");
    let run = asked(&program, &["-var", "region=x", "t.pkr.hcl"], "var.region");
    assert_eq!(run.succeeded().stdout, "x\n");
}

#[test]
fn secrets_are_masked() {
    let run = asked(&program(), &["t.pkr.hcl"], "var.token\n\"a ${var.token}\"\nvariables\n");
    let stdout = run.succeeded().stdout;
    assert!(stdout.starts_with("<sensitive>\na <sensitive>\n> input-variables:\n"), "{stdout}");
    assert!(stdout.contains("var.token: \"<sensitive>\"\n"), "{stdout}");
    assert!(!stdout.contains("hunter2"), "{stdout}");
}

#[test]
fn legacy_templates_have_their_own_language() {
    let program = Program::new();
    program.write("t.json", r#"{"variables": {"who": "you"}, "builders": [{"type": "null"}]}"#);
    let lines = "hello {{ user `who` | upper }}\nvariables\n";
    let run = asked(&program, &["t.json"], lines).succeeded();
    assert_eq!(run.stdout, "hello YOU\nwho = you\n");
    let run = asked(&program, &["t.json"], "a {{ nope }}").failed_with(1);
    assert!(run.stderr.contains("<console>:1:"), "{}", run.stderr);
}

#[test]
fn no_template_is_needed() {
    let program = Program::new();
    assert_eq!(asked(&program, &["-config-type=hcl2"], "1 + 1").succeeded().stdout, "2\n");
    assert_eq!(asked(&program, &[], "{{ lower `X` }}").succeeded().stdout, "x\n");
    asked(&program, &["gone.pkr.hcl"], "1").failed_with(1);
}

/// What a program at a terminal says when each line is typed after its prompt.
fn typed(mut command: Command, lines: &[&str]) -> String {
    // Whoever edits lines switches bracketed paste on for each of them.
    const READY: &[u8] = b"\x1b[?2004h";
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    let mut waiting = lines.iter();
    loop {
        let prompts = said.windows(READY.len()).filter(|bytes| *bytes == READY).count();
        if prompts > lines.len() - waiting.len()
            && let Some(line) = waiting.next()
        {
            keyboard.write_all(line.as_bytes()).unwrap();
        }
        match screen.read(&mut buffer).unwrap() {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn at_a_terminal_lines_are_remembered_without_secrets() {
    let program = program();
    let imgbake = env!("CARGO_BIN_EXE_imgbake");
    let environment = program.command([]);
    let environment = environment.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("{imgbake} console t.pkr.hcl"), "/dev/null"]);
    terminal.current_dir(program.dir()).env_clear().envs(environment).env("TERM", "xterm");
    // Ctrl-C clears a line that was begun.
    let lines = ["local.zones[1]\r", "\"hunter2\"\r", "nonsense\x03exit\r"];
    let said = typed(terminal, &lines);
    assert!(said.contains("eu-north-1b") && said.contains("<sensitive>"), "{said}");
    let history = program.path(".local/state/imgbake/console_history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("local.zones[1]\n\"<sensitive>\"\n"), "{kept}");
    assert!(!kept.contains("hunter2") && !kept.contains("nonsense"), "{kept}");
    assert_eq!(history.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}
