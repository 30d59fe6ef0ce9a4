//! `imgbake fmt`: which files it formats, and how it writes them.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use imgbake::template::format::format;

use crate::support::{Program, Run};

const UGLY: &str = "a=1\nlonger =  [2 ,3]\n";
const PRETTY: &str = "a      = 1\nlonger = [2, 3]\n";

/// A program with one ugly file.
fn program() -> Program {
    let program = Program::new();
    program.write("x.pkr.hcl", UGLY);
    program
}

fn with_input(program: &Program, args: &[&str], input: &str) -> Run {
    let mut command = program.command(args.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Program::finish(child)
}

#[test]
fn standard_input_goes_to_standard_output() {
    let program = Program::new();
    let run = |args: &[&str], input| with_input(&program, args, input);
    assert_eq!(run(&["fmt", "-"], UGLY).succeeded().stdout, PRETTY);
    assert_eq!(run(&["fmt", "-"], PRETTY).succeeded().stdout, PRETTY);
    assert_eq!(run(&["fmt", "-"], "a=1").succeeded().stdout, "a = 1");
    assert_eq!(run(&["fmt", "-check", "-"], UGLY).failed_with(3).stdout, "");
    assert_eq!(run(&["fmt", "-write=false", "-"], UGLY).succeeded().stdout, "");
    let wrong = run(&["fmt", "-"], "a = [\n").failed_with(1);
    assert!(wrong.stderr.contains("<stdin>:"), "{}", wrong.stderr);
}

#[test]
fn the_difference_is_shown_as_diff_does() {
    let program = program();
    let run = program.run(["fmt", "-diff", "-check", "x.pkr.hcl"]).failed_with(3);
    let difference = "x.pkr.hcl\n--- old/x.pkr.hcl\n+++ new/x.pkr.hcl\n@@ -1,2 +1,2 @@\n-a=1\n\
                      -longer =  [2 ,3]\n+a      = 1\n+longer = [2, 3]\n";
    assert_eq!(run.stdout, difference);
    assert_eq!(program.read("x.pkr.hcl"), UGLY);
}

#[test]
fn permissions_and_links_stay() {
    let program = program();
    let path = program.path("x.pkr.hcl");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    symlink("x.pkr.hcl", program.path("link.pkr.hcl")).unwrap();
    assert_eq!(program.run(["fmt", "link.pkr.hcl"]).succeeded().stdout, "link.pkr.hcl\n");
    assert!(program.path("link.pkr.hcl").is_symlink());
    assert_eq!(program.read("x.pkr.hcl"), PRETTY);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let names = std::fs::read_dir(program.dir()).unwrap().count();
    assert_eq!(names, 2, "nothing else is left behind");
}

#[test]
fn hidden_files_and_backups_are_passed_over() {
    let program = program();
    let others = [".hidden.pkr.hcl", "#x.pkr.hcl#", "x.pkr.hcl~", "y.hcl", ".d/x.pkr.hcl"];
    for name in others {
        program.write(name, UGLY);
    }
    program.write("sub/deep/v.auto.pkrvars.hcl", UGLY);
    let run = program.run(["fmt", "-recursive", "./"]).succeeded();
    assert_eq!(run.stdout, "sub/deep/v.auto.pkrvars.hcl\nx.pkr.hcl\n");
    assert!(others.iter().all(|name| program.read(name) == UGLY));
}

#[test]
fn a_pattern_means_the_files_that_fit() {
    let program = program();
    program.write("sub/y.pkr.hcl", UGLY);
    assert_eq!(program.run(["fmt", "*/*.pkr.hcl"]).succeeded().stdout, "sub/y.pkr.hcl\n");
    let run = program.run(["fmt", "none*.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("no file fits `none*.pkr.hcl`"), "{}", run.stderr);
}

#[test]
fn all_mistakes_are_said_at_once_and_good_files_are_formatted() {
    let program = program();
    program.write("bad.pkr.hcl", "a=1\nb = @\n");
    program.write("t.json", "{}");
    let args = ["fmt", "-check", "bad.pkr.hcl", "t.json", "gone.pkr.hcl", "x.pkr.hcl"];
    for write in [true, false] {
        let args = args.iter().copied().filter(|arg| !write || *arg != "-check");
        let run = program.run(args).failed_with(1);
        assert_eq!(run.stdout, if write { "x.pkr.hcl\n" } else { "" });
        for said in ["bad.pkr.hcl:2:", "`t.json` is not a HCL file", "`gone.pkr.hcl` cannot be"] {
            assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        }
    }
    assert_eq!(program.read("bad.pkr.hcl"), "a=1\nb = @\n");
    assert_eq!(program.read("x.pkr.hcl"), PRETTY);
}

#[test]
fn without_a_path_the_help_is_shown() {
    let run = program().run(["fmt"]).failed_with(1);
    assert!(run.stderr.contains("-recursive"), "{}", run.stderr);
}

#[test]
fn every_template_here_is_done_after_one_pass() {
    let mut count = 0;
    for path in hcl_files(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let once = format(&text);
        assert_eq!(format(&once), once, "{}", path.display());
        count += 1;
    }
    assert!(count > 150, "{count}");
}

fn hcl_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files = Vec::new();
    for entry in entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files.extend(hcl_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "hcl") {
            files.push(path);
        }
    }
    files
}
