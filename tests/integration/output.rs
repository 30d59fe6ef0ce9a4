//! Commands whose result is what they say have failed where that could not be written; and a program
//! that may open hardly any files says so.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

use crate::support::{Program, Run};

const TEMPLATE: &str = "variable \"name\" {\n  default = \"web\"\n}\n";

/// A program with a template in each language.
fn program() -> Program {
    let program = Program::new();
    program.write("web.pkr.hcl", TEMPLATE);
    program.write("web.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    program
}

/// Commands whose result is what they say, with what they read.
const COMMANDS: [(&[&str], &str); 11] = [
    (&["version"], ""),
    (&["-help"], ""),
    (&["build", "-help"], ""),
    (&["inspect", "web.json"], ""),
    (&["fix", "web.json"], ""),
    (&["fmt", "-"], TEMPLATE),
    (&["validate", "web.json"], ""),
    (&["validate", "-format=sarif", "web.json"], ""),
    (&["console"], "1 + 1\n1 + 2\n"),
    (&["explain", "T501"], ""),
    (&["completion", "bash"], ""),
];

fn run(program: &Program, (args, input): (&[&str], &str), stdout: Stdio) -> Run {
    let stdin = program.write("stdin", input);
    let mut command = program.command(args.iter().copied());
    command.stdin(File::open(stdin).expect("the input")).stdout(stdout);
    Run::of(command.stderr(Stdio::piped()).output().expect("imgbake starts"))
}

#[test]
fn on_a_full_disk_a_command_that_shows_something_fails_and_says_why() {
    let program = program();
    for command in COMMANDS {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let run = run(&program, command, full.into()).failed_with(1);
        let help = command.0.contains(&"-help");
        let why = "Error: standard output cannot be written: No space left on device";
        assert!(help || run.stderr.contains(why), "{command:?}: {}", run.stderr);
    }
}

#[test]
fn to_a_reader_who_is_gone_a_command_fails_without_a_word() {
    let program = program();
    for command in COMMANDS {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let run = run(&program, command, writer.into()).failed_with(1);
        assert_eq!(run.stderr, "", "{command:?}");
    }
}

/// `imgbake version` after `ulimit` with `limits`.
fn limited(limits: &str) -> Run {
    let program = program();
    let command = program.command(["version"]);
    let script = format!("ulimit {limits}; exec \"$0\" validate web.json");
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(script).arg(command.get_program()).current_dir(program.dir());
    Run::of(shell.output().expect("bash"))
}

#[test]
fn with_hardly_any_open_files_the_program_says_so() {
    let run = limited("-n 8").failed_with(1);
    let why = "Error: only 8 files may be open at a time, and imgbake needs 64: raise the limit, e.g. with `ulimit -n 4096`\n";
    assert_eq!(run.stderr, why);
}

#[test]
fn a_low_limit_of_open_files_is_raised_where_the_system_allows_it() {
    limited("-Sn 8").succeeded();
}
