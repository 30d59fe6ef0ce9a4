//! `-skip-unchanged` for `qemu`: the record of an image stands beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use crate::support::changes::{Changes, KEY, SAME, entry};
use crate::support::{Program, Then, signal, small_disk};

/// A guest that powers off by itself; `{options}` and `{more}` are for tests to change.
const TEMPLATE: &str = r#"
source "qemu" "q" {
  disk_image     = true
  disk_size      = "2M"
  memory         = 16
  headless       = true
  accelerator    = "tcg"
  vm_name        = "small.qcow2"
  communicator   = "none"
  iso_url        = "small.raw"
  iso_checksum   = "none"
  http_directory = "site"
  floppy_files   = ["answers/*"]
  {options}
}
build {
  sources = ["qemu.q"]
  {more}
  post-processor "manifest" {}
}
"#;

const RECORD: &str = "output-q/imgbake-made-from.json";

fn program() -> Program {
    let program = Program::new();
    program.write("small.raw", small_disk(Then::PowerOff));
    program.write("site/preseed", "hello");
    program.write("answers/a.txt", "yes");
    program
}

fn changes(program: &Program) -> Changes<'_> {
    let changes = Changes { program, template: TEMPLATE, option: ("cpus", "2"), tests: false };
    changes.write("", "");
    changes
}

#[test]
fn an_image_that_is_unchanged_is_not_baked_again() {
    let program = program();
    let changes = changes(&program);
    let first = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(first.stdout.contains("Baked: no earlier image of this build is at output-q"));
    let made = entry(&program);
    assert!(made["made_from"]["number"].as_str().is_some_and(|number| number.len() == 64));
    assert!(!made["files"].to_string().contains("imgbake"), "the record is no part of it: {made}");
    let begun = Instant::now();
    let second = changes.build(&["-skip-unchanged"], "").succeeded();
    let took = begun.elapsed();
    assert!(second.stdout.contains(SAME), "{second:#?}");
    assert!(!second.stdout.contains("Starting VM"), "{second:#?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(entry(&program), made, "the manifest says the same");
    let again = changes.build(&["-skip-unchanged", "-force"], "").succeeded();
    assert!(!again.stdout.contains(SAME), "{again:#?}");
    let young = changes.build(&["-skip-unchanged", "-max-age=7d"], "").succeeded();
    assert!(young.stdout.contains(SAME), "{young:#?}");
}

#[test]
fn an_image_without_the_flag_has_no_record_and_is_not_replaced() {
    let program = program();
    let changes = changes(&program);
    changes.build(&[], "").succeeded();
    assert!(!program.path(RECORD).exists());
    assert_eq!(entry(&program).get("made_from"), None);
    let run = changes.build(&["-skip-unchanged"], "").failed_with(1);
    assert!((run.stdout + &run.stderr).contains("exists already"));
}

#[test]
fn each_change_is_named_as_what_it_is() {
    let program = program();
    let changes = changes(&program);
    changes.each_is_named("");
    let is = |what: &str| assert_eq!(changes.explain(&[], "red"), what);
    program.write("site/preseed", "bye");
    is("site");
    program.write("site/preseed", "hello");
    program.write("answers/a.txt", "no");
    is("answers/a.txt");
    program.write("answers/a.txt", "yes");
    // Nothing says what it must be: it is read.
    let mut disk = small_disk(Then::PowerOff);
    disk[2000] = 1;
    program.write("small.raw", disk);
    is("the source image");
    assert!(program.path(RECORD).exists(), "nothing was baked for an answer");
    let baked = changes.build(&["-skip-unchanged"], "red").succeeded();
    assert!(baked.stdout.contains("Baked: the source image changed since output-q"), "{baked:#?}");
    assert!(changes.explain(&[], "red").ends_with(SAME));
}

#[test]
fn a_record_with_another_image_is_not_believed() {
    let program = program();
    let changes = changes(&program);
    changes.build(&["-skip-unchanged"], "").succeeded();
    let image = program.path("output-q/small.qcow2");
    let mut bytes = fs::read(&image).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&image, &bytes).unwrap();
    assert_eq!(changes.explain(&[], ""), "output-q/small.qcow2 is not as it was made");
    let baked = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(!baked.stdout.contains(SAME), "{baked:#?}");
    // Another build's is none of ours, and is not replaced.
    let record = program.read(RECORD).replace("qemu.q", "qemu.other");
    program.write(RECORD, record);
    assert_eq!(changes.explain(&[], ""), "output-q is of the build qemu.other");
    changes.build(&["-skip-unchanged"], "").failed_with(1);
    for forged in ["{}", "\0", r#"{"files": [{"name": "/etc/passwd"}]}"#] {
        program.write(RECORD, forged);
        assert!(changes.explain(&[], "").contains("is no record of an image"), "{forged}");
    }
}

/// Killed at any time around its end, a run leaves no record, or a true one.
#[test]
fn a_killed_run_leaves_no_record_that_lies() {
    let program = program().with([KEY, ("COLOUR", "")]);
    let changes = changes(&program);
    for wait in [0, 1, 2, 4, 8, 16, 32, 64] {
        let mut child = program.start(["build", "-color=false", "-skip-unchanged", "t.pkr.hcl"]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_near = |line: &String| line.contains("Converting hard drive");
        lines.map_while(Result::ok).find(is_near);
        std::thread::sleep(Duration::from_millis(wait));
        signal(&child, "KILL");
        child.wait().unwrap();
        if program.path(RECORD).exists() {
            let checked = std::process::Command::new("qemu-img")
                .args(["check", "output-q/small.qcow2"])
                .current_dir(program.dir())
                .status();
            assert!(checked.unwrap().success(), "after {wait} ms");
        }
        let said = changes.explain(&[], "");
        assert_eq!(said.ends_with(SAME), program.path(RECORD).exists(), "{wait} ms: {said}");
        fs::remove_dir_all(program.path("output-q")).unwrap();
    }
}
