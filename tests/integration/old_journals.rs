//! What an earlier version wrote into its journal of things on this machine and in its container engine
//! is cleaned up by this one. Of AWS, see `amazon_ebs/old_journals.rs`; of Vagrant, `vagrant.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::support::{Program, Run};

/// As the version wrote it that was the first to write it: of directories efa5921, of mounts 5847629.
const OF_THIS_MACHINE: &str = r#"{"imgbake":{"journal":1}}
{"intent":{"entry":0,"build":"qemu.web","thing":{"kind":"the output directory","name":"out","by_name":true,"clue":{"directory":"$DIR/out"}}}}
{"made":{"entry":0,"id":"$OUT"}}
{"intent":{"entry":1,"build":"qemu.web","thing":{"kind":"the kept machine","name":"out.kept","by_name":true,"clue":{"directory":"$DIR/out.kept"}}}}
{"made":{"entry":1,"id":"$KEPT"}}
"#;

/// Puts `journal` where a dead run has left it.
fn leave(program: &Program, journal: &str) {
    program.write("state/journal/6f1c2b1e-0000-4000-8000-000000000000.jsonl", journal);
}

fn cleanup(program: &Program, more: &[&str]) -> Run {
    let args = ["cleanup", "-state-dir=state"];
    program.run(args.into_iter().chain(more.iter().copied()))
}

/// No journal is left, so that there is nothing to clean up.
#[track_caller]
fn assert_settled(program: &Program) {
    let left = fs::read_dir(program.path("state/journal")).into_iter().flatten().flatten();
    let left: Vec<_> = left.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What a journal knows a directory by.
fn identity(path: &Path) -> String {
    let facts = fs::metadata(path).expect("a directory");
    let made = facts.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    format!("{}-{}-{}", facts.dev(), facts.ino(), made.unwrap_or_default().as_nanos())
}

#[test]
fn directories_of_an_earlier_version_go() {
    let program = Program::new();
    for file in ["out/disk", "out.kept/record.json"] {
        program.write(file, "");
    }
    let (out, kept) = (program.path("out"), program.path("out.kept"));
    let journal = OF_THIS_MACHINE.replace("$DIR", &program.dir().display().to_string());
    let journal = journal.replace("$OUT", &identity(&out)).replace("$KEPT", &identity(&kept));
    leave(&program, &journal);
    let told = cleanup(&program, &["-dry-run"]).succeeded().stdout;
    assert!(told.contains("the output directory") && told.contains("the kept machine"), "{told}");
    assert!(out.exists() && kept.exists());
    cleanup(&program, &[]).succeeded();
    assert!(!out.exists() && !kept.exists());
    assert_settled(&program);
}

/// As the version wrote it that was the first with `amazon-chroot` (5847629).
#[cfg(feature = "aws")]
const MOUNTS: &str = r#"{"imgbake":{"journal":1}}
{"intent":{"entry":0,"build":"amazon-chroot.web","thing":{"kind":"mount","name":"$DIR/root","clue":{"mount":{"path":"$DIR/root","boot":"$BOOT"}}}}}
{"intent":{"entry":1,"build":"amazon-chroot.web","thing":{"kind":"mount","name":"$DIR/root/proc","clue":{"mount":{"path":"$DIR/root/proc","boot":"$BOOT"}}}}}
"#;

/// Only root may mount anything.
#[cfg(feature = "aws")]
#[test]
fn mounts_of_an_earlier_version_go() {
    let is_root = rustix::process::geteuid().is_root();
    let program = Program::new();
    let root = program.path("root");
    fs::create_dir(&root).expect("a directory");
    let mount = |path: &Path| {
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "none"]).arg(path);
        assert!(command.status().expect("mount").success());
    };
    let is_mounted = || {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        mounts.contains(&root.display().to_string())
    };
    if is_root {
        mount(&root);
        fs::create_dir(root.join("proc")).expect("a directory");
        mount(&root.join("proc"));
        assert!(is_mounted());
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("an id");
    let journal = MOUNTS.replace("$DIR", &program.dir().display().to_string());
    leave(&program, &journal.replace("$BOOT", boot.trim()));
    let told = cleanup(&program, &[]).succeeded().stdout;
    assert_eq!(told.matches("Unmounting").count(), if is_root { 2 } else { 0 }, "{told}");
    assert!(!is_mounted());
    assert_settled(&program);
}

#[cfg(feature = "docker")]
mod docker {
    use super::*;
    use crate::support::Dockerd;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// As the first version with `docker` wrote it (16518f0).
    const IN_AN_ENGINE: &str = r#"{"imgbake":{"journal":1}}
{"intent":{"entry":0,"build":"docker.web","thing":{"kind":"container","name":"imgbake-$TOKEN","place":"$ENGINE","clue":{"docker":{"engine":"$ENGINE","container":"imgbake-$TOKEN"}}}}}
{"made":{"entry":0,"id":"$ID"}}
{"intent":{"entry":1,"build":"docker.web","thing":{"kind":"image","name":"imgbake-build:$TOKEN","place":"$ENGINE","clue":{"docker":{"engine":"$ENGINE","image":"imgbake-build:$TOKEN"}}}}}
"#;

    #[test]
    fn containers_and_images_of_an_earlier_version_go() {
        let engine = Dockerd::start();
        let id = engine.create_container(&format!("imgbake-{TOKEN}"));
        engine.call("POST", &format!("/images/base:1/tag?repo=imgbake-build&tag={TOKEN}"));
        let [(_, host)] = engine.environment();
        let program = Program::new().with(engine.environment());
        let journal = IN_AN_ENGINE.replace("$TOKEN", TOKEN).replace("$ENGINE", &host);
        leave(&program, &journal.replace("$ID", &id));
        cleanup(&program, &[]).succeeded();
        assert!(engine.has_no_containers());
        assert_eq!(engine.image_names(), ["base:1"]);
        assert_settled(&program);
    }
}
