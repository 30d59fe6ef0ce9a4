//! A run that ends in the middle: killed, interrupted, or cut off. Nothing hangs, and nothing of ours
//! stays on a machine that stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::support::{Narrow, PASSWORD, Program, Sshd, USER, WinRm, pause, signal};

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Interrupted,
    CutOff,
}

const ENDS: [End; 3] = [End::Killed, End::Interrupted, End::CutOff];

/// How long a run that is ended so may take: what it waits for at most, and some time on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

impl End {
    /// Ends `child`, which reaches its machine through `way`.
    fn come(self, mut child: Child, way: &Narrow) {
        let begun = Instant::now();
        match self {
            Self::Killed => signal(&child, "KILL"),
            Self::Interrupted => signal(&child, "INT"),
            Self::CutOff => way.cut(),
        }
        if self == Self::Killed {
            child.wait().expect("its end");
        } else {
            Program::finish(child).failed_with(1);
        }
        assert!(begun.elapsed() < LIMIT, "{self:?}: {:?}", begun.elapsed());
    }
}

/// Waits until `is_so`, while `child` runs.
fn until(child: &mut Child, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(child.try_wait().expect("a child").is_none(), "it ends before {what}");
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what}");
        pause(20);
    }
}

/// Everything below `dir`, but for directories.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    entries.filter(|entry| !entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
}

/// The bytes of all files below `dir`.
fn size(dir: &Path) -> u64 {
    files(dir).iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum()
}

/// `dir` has nothing in it, at the latest when the machine has noticed that nobody is there any more.
#[track_caller]
fn becomes_empty(dir: &Path, what: &str) {
    let begun = Instant::now();
    let left = || fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path());
    while left().next().is_some() {
        let late = begun.elapsed() > Duration::from_secs(20);
        assert!(!late, "{what}: {:?} {:?}", left().collect::<Vec<_>>(), files(dir));
        pause(100);
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let next = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    });
    next.flatten().take(length).collect()
}

/// A program with a small file, a large one that goes in several streams, and a directory of both.
fn with_files() -> Program {
    let program = Program::new();
    program.write("small", noise(8 << 20));
    program.write("large", noise(24 << 20));
    program.write("tree/first", noise(6 << 20));
    program.write("tree/below/second", noise(6 << 20));
    program
}

fn start(program: &Program, builder: Json, provisioner: Json) -> Child {
    let template = json!({"builders": [builder], "provisioners": [provisioner]});
    program.write("template.json", template.to_string());
    program.start(["build", "template.json"])
}

/// Ends the upload of `source` in the middle.
fn end_upload(end: End, source: &str, options: Json) {
    let (program, sshd) = (with_files(), Sshd::start());
    let way = Narrow::before(sshd.port);
    let guest = program.path("guest");
    fs::create_dir(&guest).expect("a directory");
    let mut builder = sshd.builder(json!({"ssh_port": way.port, "ssh_timeout": "3s"}));
    builder.as_object_mut().expect("a map").extend(options.as_object().expect("a map").clone());
    let file = json!({"type": "file", "source": source, "destination": guest.join("it")});
    let mut child = start(&program, builder, file);
    until(&mut child, "a byte on the machine", || size(&guest) > 1 << 20);
    end.come(child, &way);
    becomes_empty(&guest, &format!("{end:?} {source}"));
}

#[test]
fn a_file_that_is_not_whole_does_not_stay() {
    for end in ENDS {
        end_upload(end, "small", json!({}));
    }
}

#[test]
fn a_large_file_that_is_not_whole_does_not_stay() {
    for end in ENDS {
        end_upload(end, "large", json!({}));
    }
}

#[test]
fn a_directory_that_is_not_whole_does_not_stay() {
    for end in ENDS {
        end_upload(end, "tree", json!({}));
    }
}

#[test]
fn a_file_that_is_not_whole_is_removed_by_sftp_while_somebody_is_there() {
    end_upload(End::Interrupted, "small", json!({"ssh_file_transfer_method": "sftp"}));
}

#[test]
fn a_file_that_was_there_keeps_its_owner_and_its_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let (program, sshd) = (with_files(), Sshd::start());
    let there = program.write("guest/it", "old");
    fs::set_permissions(&there, fs::Permissions::from_mode(0o640)).expect("a mode");
    let (inode, link) = (fs::metadata(&there).expect("it").ino(), program.path("guest/link"));
    std::os::unix::fs::symlink("linked", &link).expect("a link");
    for (source, to) in [("small", &there), ("large", &there), ("small", &link)] {
        let file = json!({"type": "file", "source": source, "destination": to});
        Program::finish(start(&program, sshd.builder(json!({})), file)).succeeded();
        assert!(fs::read(to).expect("it") == fs::read(program.path(source)).expect("it"));
    }
    assert_eq!(fs::metadata(&there).expect("it").ino(), inode);
    assert!(link.is_symlink() && program.path("guest/linked").is_file());
    assert_eq!(fs::read_dir(program.path("guest")).expect("a directory").count(), 3);
}

/// A Windows machine that lets go of what nobody asks for after six seconds, and the way to it.
fn windows() -> (WinRm, Narrow) {
    let machine = WinRm::start(&["--idle", "6"]);
    let way = Narrow::before(machine.port);
    (machine, way)
}

#[test]
fn an_upload_by_winrm_that_is_not_whole_does_not_stay() {
    for (end, source) in
        ENDS.into_iter().flat_map(|end| [(end, "small"), (end, "tree"), (end, "tree/")])
    {
        let (program, (machine, way)) = (with_files(), windows());
        let file = json!({"type": "file", "source": source, "destination": "C:/data/it"});
        let builder = machine.builder(json!({"winrm_port": way.port}));
        let mut child = start(&program, builder, file);
        let temporary = machine.file("Users/vagrant/Temp");
        until(&mut child, "a byte on the machine", || size(&temporary) > 1 << 20);
        end.come(child, &way);
        becomes_empty(&temporary, &format!("{end:?} {source}"));
        assert_eq!(files(&machine.file("data")), Vec::<PathBuf>::new(), "{end:?} {source}");
    }
}

#[test]
fn an_elevated_run_that_ends_in_the_middle_leaves_nothing_beyond_the_next() {
    for end in ENDS {
        let (program, (machine, way)) = (Program::new(), windows());
        let elevated = |line: &str| {
            json!({"type": "powershell", "inline": [line], "elevated_user": USER,
            "elevated_password": PASSWORD, "remote_path": "C:/Windows/Temp/mine.ps1"})
        };
        let builder = machine.builder(json!({"winrm_port": way.port}));
        let mut child = start(&program, builder, elevated("Start-Sleep 600"));
        let tasks = |what: &str| {
            let is_one = |line: &String| line.starts_with("task packer-") && line.contains(what);
            machine.log().iter().filter(|line| is_one(line)).count()
        };
        until(&mut child, "a task", || tasks(" as ") == 1);
        end.come(child, &way);
        let temporary = machine.file("Windows/Temp");
        for file in files(&temporary) {
            let text = fs::read_to_string(&file).expect("a text");
            assert!(!text.contains("va''gr"), "{end:?}: {} has the password", file.display());
        }
        // The machine lets go of a command that nobody asks for.
        let is_over = |line: &String| line.starts_with("idle") || line.starts_with("schtasks");
        while !machine.log().iter().any(is_over) {
            pause(100);
        }
        pause(500);
        let next = start(&program, machine.builder(json!({})), elevated("exit 0"));
        Program::finish(next).succeeded();
        becomes_empty(&temporary, &format!("{end:?}"));
    }
}
