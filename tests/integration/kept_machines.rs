//! `-keep-failed` and `-checkpoints` for `qemu`: the machine stays beside the output, and another run goes
//! on there. What runs of `qemu` that are killed have left, `cleanup` removes.
//!
//! Most guests here do nothing: their provisioners work on an SSH server of this machine, as if it were
//! the guest's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::support::{
    Program, Run, Sshd, Then, debian_disk, debian_source, image_info, pause, signal, small_disk,
    wait_for_the_end_of, wait_until_nobody_works_in,
};

/// Where provisioners work, and a template whose third one fails until somebody mends it.
struct Room {
    sshd: Sshd,
    /// What provisioners write: a file for each, a line for each time.
    guest: tempfile::TempDir,
    more: &'static str,
    /// What follows the provisioners.
    after: &'static str,
}

/// How builds are started here.
const KEEP: &str = "-keep-failed=2h";
const CHECKPOINTS: &str = "-checkpoints";

impl Room {
    fn new() -> Self {
        Self::with("", "")
    }

    /// `more` are options of the builder, `after` follows the provisioners.
    fn with(more: &'static str, after: &'static str) -> Self {
        Self { sshd: Sshd::start(), guest: tempfile::tempdir().unwrap(), more, after }
    }

    fn template(&self, name: &str, first: &str) -> String {
        let (guest, login) = (self.guest.path().display(), self.sshd.hcl_options());
        let (more, after) = (self.more, self.after);
        format!(
            r#"
            source "qemu" "q" {{
              disk_image       = true
              iso_url          = "small.raw"
              iso_checksum     = "none"
              disk_size        = "2M"
              memory           = 16
              headless         = true
              accelerator      = "tcg"
              vm_name          = "small.qcow2"
              output_directory = "out"
              skip_nat_mapping = true
              qemuargs         = [["-name", "{name}"]]
              {login}
              {more}
            }}
            build {{
              sources = ["source.qemu.q"]
              provisioner "shell" {{ inline = ["{first}", "echo run >> {guest}/1"] }}
              provisioner "shell" {{ script = "second.sh" }}
              provisioner "shell" {{ inline = ["echo run >> {guest}/3", "test -e {guest}/mended"] }}
              provisioner "shell" {{ inline = ["echo run >> {guest}/4"] }}
              {after}
            }}
            "#
        )
    }

    /// A runner that has nothing but the template, whose first provisioner does `first`.
    fn runner_of(&self, first: &str) -> Program {
        let program = Program::new();
        program.write("small.raw", small_disk(Then::Wait));
        // The name is an option: all runners have the same.
        let name = self.name();
        program.write("t.pkr.hcl", self.template(&name, first));
        program.write("second.sh", format!("echo run >> {}/2\n", self.guest.path().display()));
        program
    }

    fn runner(&self) -> Program {
        self.runner_of("true")
    }

    /// A runner whose run has failed and kept its machine.
    fn kept(&self, flags: &[&str]) -> Program {
        let runner = self.runner();
        let run = build(&runner, flags).failed_with(1);
        assert!(said(&run).contains("The machine is kept in out.kept until 20"), "{run:#?}");
        assert!(!runner.path("out").exists());
        runner
    }

    fn mend(&self) {
        fs::write(self.guest.path().join("mended"), "").unwrap();
    }

    /// How often each of the four provisioners has run.
    fn counts(&self) -> [usize; 4] {
        [1, 2, 3, 4].map(|nth: usize| {
            let file: PathBuf = self.guest.path().join(nth.to_string());
            fs::read_to_string(file).unwrap_or_default().lines().count()
        })
    }

    /// Waits until no machine of this room runs.
    #[track_caller]
    fn wait_for_the_end(&self) {
        wait_for_the_end_of(&format!("-name {}", self.name()));
    }

    /// What its machines are called.
    fn name(&self) -> String {
        self.guest.path().file_name().unwrap().to_string_lossy().into_owned()
    }
}

fn build(runner: &Program, flags: &[&str]) -> Run {
    runner.run(["build", "-color=false"].iter().chain(flags).chain(&["t.pkr.hcl"]).copied())
}

/// All that a run has said.
fn said(run: &Run) -> String {
    format!("{}{}", run.stdout, run.stderr)
}

/// Nothing of a build is anywhere, but for those `names` beside the template.
#[track_caller]
fn assert_only(runner: &Program, names: &[&str], when: &str) {
    let entries = fs::read_dir(runner.dir()).unwrap();
    let mut found: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let given =
        ["small.raw", "t.pkr.hcl", "second.sh", ".local", "out.screens", "out.test.screens"];
    found.retain(|name| !given.contains(&name.as_str()));
    assert_eq!(found, names, "{when}");
    // One that was made in the moment of the kill is empty, and has no lock that tells whose it was.
    let is_used = |dir: &PathBuf| !fs::read_dir(dir).is_ok_and(|mut files| files.next().is_none());
    let temporary: Vec<_> = runner.temporary().into_iter().filter(is_used).collect();
    assert_eq!(temporary, Vec::<PathBuf>::new(), "{when}");
    let private = fs::read_dir(runner.path(".local/state/imgbake/tmp")).into_iter().flatten();
    let private: Vec<_> = private.flatten().map(|dir| dir.path()).filter(is_used).collect();
    assert_eq!(private, Vec::<PathBuf>::new(), "{when}");
}

/// No state of a machine is in the finished disk.
#[track_caller]
fn assert_whole(runner: &Program, disk: &str) {
    let info = image_info(&runner.path(disk));
    assert_eq!((info.get("snapshots"), info.get("backing-filename")), (None, None));
    let files: Vec<_> = fs::read_dir(runner.path("out")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn another_runner_goes_on_at_the_provisioner_that_failed() {
    let room = Room::new();
    let first = room.kept(&[KEEP]);
    assert_eq!(room.counts(), [1, 1, 1, 0]);
    let mode = fs::metadata(first.path("out.kept")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Nobody removes it before its time.
    let spared = first.run(["cleanup"]).succeeded();
    assert!(said(&spared).contains("the kept machine out.kept, until 20"), "{spared:#?}");
    // A runner without any other state.
    let second = room.runner();
    let copied =
        Command::new("cp").arg("-a").arg(first.path("out.kept")).arg(second.dir()).status();
    assert!(copied.unwrap().success());
    room.mend();
    let run = build(&second, &[KEEP]).succeeded();
    let says = "Going on with the machine of out.kept: the first 2 provisioners have done";
    assert!(said(&run).contains(says), "{run:#?}");
    assert_eq!(room.counts(), [1, 1, 2, 1], "only the third and later ones run again");
    assert_whole(&second, "out/small.qcow2");
    assert_only(&second, &["out"], "a machine that has gone on is none that is kept");
    first.run(["cleanup", "-delete-kept"]).succeeded();
    assert_only(&first, &[], "somebody has removed it");
}

#[test]
fn a_run_goes_back_to_the_last_checkpoint_before_what_has_changed() {
    let room = Room::new();
    let runner = room.kept(&[KEEP, CHECKPOINTS]);
    // The same again: it fails again, and all checkpoints stay.
    let run = build(&runner, &[KEEP, CHECKPOINTS]).failed_with(1);
    assert!(said(&run).contains("the first 2 provisioners have done"), "{run:#?}");
    assert_eq!(room.counts(), [1, 1, 2, 0]);
    room.mend();
    let second = runner.read("second.sh");
    runner.write("second.sh", format!("true\n{second}"));
    let run = build(&runner, &[KEEP, CHECKPOINTS]).succeeded();
    let says = "Going back to checkpoint 1: second.sh changed since then";
    assert!(said(&run).contains(says), "{run:#?}");
    assert_eq!(room.counts(), [1, 2, 3, 1]);
    assert_whole(&runner, "out/small.qcow2");
    assert_only(&runner, &["out"], "after a build that ended well");
}

#[test]
fn uefi_a_tpm_a_floppy_a_cd_and_more_disks_are_kept_too() {
    let more = r#"
              efi_boot             = true
              vtpm                 = true
              floppy_content       = { "answers" = "yes" }
              cd_content           = { "user-data" = "none" }
              disk_additional_size = ["1M"]
    "#;
    let room = Room::with(more, "");
    let enough = |runner: &Program| {
        let text = runner.read("t.pkr.hcl").replace("memory           = 16", "memory = 128");
        runner.write("t.pkr.hcl", text);
    };
    let first = room.runner();
    enough(&first);
    let run = build(&first, &[KEEP, CHECKPOINTS]).failed_with(1);
    assert!(said(&run).contains("The machine is kept in out.kept until 20"), "{run:#?}");
    for name in ["small.qcow2", "small.qcow2-1", "efivars.fd", "cd.iso", "floppy.img"] {
        assert!(first.path("out.kept").join(name).is_file(), "{name}");
    }
    assert_eq!(
        image_info(&first.path("out.kept/small.qcow2"))["snapshots"].as_array().map(Vec::len),
        Some(3)
    );
    let second = room.runner();
    enough(&second);
    let copied =
        Command::new("cp").arg("-a").arg(first.path("out.kept")).arg(second.dir()).status();
    assert!(copied.unwrap().success());
    room.mend();
    let run = build(&second, &[KEEP, CHECKPOINTS]).succeeded();
    assert!(!said(&run).contains("clean start"), "{run:#?}");
    assert_eq!(room.counts(), [1, 1, 2, 1]);
    let mut files: Vec<_> = fs::read_dir(second.path("out"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["efivars.fd", "small.qcow2", "small.qcow2-1"]);
    for disk in ["out/small.qcow2", "out/small.qcow2-1"] {
        assert_eq!(image_info(&second.path(disk)).get("snapshots"), None, "{disk}");
    }
    assert_only(&second, &["out"], "after a build that went on");
    first.run(["cleanup", "-delete-kept"]).succeeded();
    assert_only(&first, &[], "somebody has removed it");
}

#[test]
fn what_has_changed_is_a_clean_start_and_what_others_made_is_left_alone() {
    let room = Room::new();
    let runner = room.kept(&[KEEP]);
    room.mend();
    let clean_start = |runner: &Program, why: &str| {
        let before = room.counts()[0];
        let run = build(runner, &[KEEP]).succeeded();
        assert!(said(&run).contains(&format!("A clean start: {why}")), "{why}: {run:#?}");
        assert_eq!(room.counts()[0], before + 1, "{why}");
        fs::remove_dir_all(runner.path("out")).unwrap();
    };
    let text = runner.read("t.pkr.hcl");
    runner.write("t.pkr.hcl", text.replace("\"true\"", "\"date\""));
    clean_start(&runner, "out.kept was kept, but provisioner 1 (shell) changed since then");
    runner.write("t.pkr.hcl", &text);
    // Who forces a build wants it anew, and who does not ask does not look.
    for flags in [&[KEEP, "-force"][..], &[]] {
        let run = build(&runner, flags).succeeded();
        assert!(!said(&run).contains("out.kept"), "{run:#?}");
        fs::remove_dir_all(runner.path("out")).unwrap();
    }
    // Others might have changed it.
    let chmod = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(runner.path("out.kept"), mode).unwrap();
    };
    chmod(0o755);
    clean_start(&runner, "out.kept is left alone: others may have changed it");
    chmod(0o700);
    let record = runner.read("out.kept/record.json");
    runner.write("out.kept/record.json", &record[..record.len() / 2]);
    clean_start(&runner, "out.kept is left alone: its record cannot be read");
    // Nothing takes its place, either.
    fs::remove_file(room.guest.path().join("mended")).unwrap();
    let run = build(&runner, &[KEEP]).failed_with(1);
    assert!(said(&run).contains("The machine is not kept: out.kept is in its place"), "{run:#?}");
    room.mend();
    runner.write("out.kept/record.json", record.replace("\"tcg\"", "\"kvm on a CPU\""));
    clean_start(&runner, "out.kept ran under kvm on a CPU, and this is tcg");
    // A disk that is none, and one that names a file of this machine.
    runner.write("out.kept/record.json", &record);
    fs::write(runner.path("out.kept/small.qcow2"), "nothing").unwrap();
    clean_start(&runner, "out.kept cannot be gone on with: ");
    assert!(!runner.path("out.kept").exists(), "it was ours, and is of no use");
    let until = until_in(&record);
    fs::create_dir(runner.path("out.kept")).unwrap();
    chmod(0o700);
    runner.write("out.kept/record.json", record.replace(&until, "\"until\": 1000"));
    clean_start(&runner, "the time of out.kept was over, and it is gone");
    assert!(!runner.path("out.kept").exists());
}

/// What a record says of its time.
fn until_in(record: &str) -> String {
    let at = record.find("\"until\"").unwrap();
    record[at..].split(',').next().unwrap().to_owned()
}

#[test]
fn a_machine_whose_image_will_be_raw_is_kept_and_its_image_is_raw() {
    let room = Room::with("format = \"raw\"\ndisk_additional_size = [\"1M\"]", "");
    for flags in [&[KEEP][..], &[KEEP, CHECKPOINTS]] {
        let runner = room.kept(flags);
        assert_eq!(image_info(&runner.path("out.kept/small.qcow2"))["format"], "qcow2");
        room.mend();
        let run = build(&runner, flags).succeeded();
        assert!(said(&run).contains("Going on with the machine of out.kept"), "{run:#?}");
        for (disk, size) in [("out/small.qcow2", 2 << 20), ("out/small.qcow2-1", 1 << 20)] {
            let bytes = fs::read(runner.path(disk)).unwrap();
            assert_eq!(bytes.len(), size, "{disk}");
            assert!(!bytes.starts_with(b"QFI"), "{disk}");
        }
        let made = fs::read(runner.path("out/small.qcow2")).unwrap();
        assert_eq!(made[..512], small_disk(Then::Wait)[..512]);
        fs::remove_file(room.guest.path().join("mended")).unwrap();
    }
}

#[test]
fn what_has_no_room_for_its_state_is_not_kept_and_builds_all_the_same() {
    let room = Room::new();
    let runner = room.runner();
    // Nobody but QEMU knows the disk of such a row.
    let row = "[\"-drive\", \"file=own.raw,format=raw,if=virtio\"], [\"-name\"";
    runner.write("t.pkr.hcl", runner.read("t.pkr.hcl").replace("[\"-name\"", row));
    runner.write("own.raw", small_disk(Then::Wait));
    let run = build(&runner, &[KEEP, CHECKPOINTS]).failed_with(1);
    for says in [
        "Warning: there is no checkpoint 0: a disk is raw: only qcow2 has room for it",
        "The machine is not kept: a disk is raw",
    ] {
        assert!(said(&run).contains(says), "{says}: {run:#?}");
    }
    assert_only(&runner, &["own.raw"], "it is not kept");
    room.mend();
    build(&runner, &[KEEP, CHECKPOINTS]).succeeded();
    // `-on-error=abort` leaves everything, as ever.
    let room = Room::new();
    let runner = room.runner();
    let run = build(&runner, &[KEEP, "-on-error=abort"]).failed_with(1);
    assert!(!said(&run).contains("is kept in"), "{run:#?}");
    assert!(runner.path("out/small.qcow2").exists() && !runner.path("out.kept").exists());
    room.wait_for_the_end();
    runner.run(["cleanup"]).succeeded();
    assert_only(&runner, &[], "what was left on purpose goes by hand");
}

#[test]
fn checkpoints_are_of_machines_that_are_kept_and_of_builders_that_can() {
    let program = Program::new();
    let run = program.run(["build", CHECKPOINTS, "t.pkr.hcl"]);
    assert_ne!(run.code, Some(0));
    assert!(said(&run).contains("-keep-failed"), "{run:#?}");
    program.write(
        "t.pkr.hcl",
        "source \"null\" \"n\" { communicator = \"none\" }\nbuild { sources = [\"null.n\"] }\n",
    );
    let run = build(&program, &[KEEP, CHECKPOINTS]).succeeded();
    assert!(said(&run).contains("this builder keeps no machine"), "{run:#?}");
}

/// Starts a build, and sends it `name` when `moment` has passed since it said `line` for the `nth` time,
/// beginning with 0. Whether it has still been there then.
fn signalled_at(
    room: &Room,
    runner: &Program,
    flags: &[&str],
    (line, nth, moment): (&str, usize, u64),
    name: &str,
) -> bool {
    let words = ["build", "-color=false"].iter().chain(flags).chain(&["t.pkr.hcl"]);
    let mut child = runner.start(words.copied());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = lines.map_while(Result::ok).filter(|said| said.contains(line));
    assert!(seen.nth(nth).is_some(), "it says {line}");
    pause(moment);
    let is_there = child.try_wait().unwrap().is_none();
    if is_there {
        signal(&child, name);
        child.wait().unwrap();
    }
    room.wait_for_the_end();
    wait_until_nobody_works_in(runner.dir());
    is_there
}

#[test]
fn a_run_that_is_killed_while_it_keeps_a_machine_or_goes_on_leaves_nothing() {
    let room = Room::new();
    let keeping = [("Checkpoint 0", 0), ("Checkpoint 1", 3), ("Deleting output directory", 0)];
    let going_on = [
        ("Going on with the machine", 0),
        ("Going on with the machine", 30),
        ("clock has stood still", 0),
        ("Halting the virtual machine", 0),
        ("Converting hard drive", 0),
    ];
    let keeping = keeping.map(|(line, moment)| (false, line, moment));
    let saving = [0, 4, 8, 12, 16, 24].map(|moment| (false, "Keeping the machine's state", moment));
    let going_on = going_on.map(|(line, moment)| (true, line, moment));
    for (is_second, line, moment) in keeping.into_iter().chain(saving).chain(going_on) {
        let when = format!("{line} {moment}, second run: {is_second}");
        let flags = match line {
            "Keeping the machine's state" => &[KEEP][..],
            _ => &[KEEP, CHECKPOINTS],
        };
        let _ = fs::remove_file(room.guest.path().join("mended"));
        let runner = match is_second {
            true => room.kept(flags),
            false => room.runner(),
        };
        if is_second {
            room.mend();
        }
        let killed = signalled_at(&room, &runner, flags, (line, 0, moment), "KILL");
        // What such a small machine keeps is kept within 30 ms; after its last words a run has little to do.
        let may_be_over = moment > 0 || line == "Deleting output directory";
        assert!(killed || may_be_over, "{when}");
        runner.run(["cleanup"]).succeeded();
        // Only a machine that may live still is left, and it goes with its time.
        let kept: &[_] = if runner.path("out.kept").exists() { &["out.kept"] } else { &[] };
        assert!(kept.is_empty() || !is_second, "{when}");
        assert_only(&runner, kept, &when);
        runner.run(["cleanup", "-delete-kept"]).succeeded();
        assert_only(&runner, &[], &when);
    }
}

/// A test of the image that takes a while.
const BOOT_TEST: &str = r#"post-processor "boot-test" { inline = ["echo it looks", "sleep 1"] }"#;

#[test]
fn a_boot_test_that_is_killed_or_interrupted_leaves_nothing() {
    let room = Room::with("cd_content = { \"seed\" = \"x\" }", BOOT_TEST);
    room.mend();
    for (line, nth, moment) in [
        ("Testing the image", 0, 0),
        ("Testing the image", 0, 40),
        // The first one is the build's.
        ("Creating CD disk", 1, 0),
        ("Starting VM", 1, 0),
        ("Starting VM", 1, 100),
        ("it looks", 0, 0),
        ("it looks", 0, 500),
    ] {
        for name in ["KILL", "INT"] {
            let when = format!("{name} at {line} {nth} {moment}");
            let runner = room.runner();
            // After a delay, a fast run may be over.
            let is_there = signalled_at(&room, &runner, &[], (line, nth, moment), name);
            assert!(is_there || moment > 0, "{when}");
            let cleaned = (name == "KILL").then(|| said(&runner.run(["cleanup"]).succeeded()));
            assert_only(&runner, &[], &format!("{when}: {cleaned:?}"));
        }
    }
}

/// The guest counts in its memory: a machine that was started again would count anew.
#[test]
fn a_debian_goes_on_with_all_that_is_in_its_memory() {
    let program = Program::new();
    let source = debian_source(&debian_disk(), "out", "");
    program.write(
        "t.pkr.hcl",
        format!(
            r#"{source}build {{
  sources = ["qemu.debian"]
  provisioner "shell" {{ inline = ["echo run | sudo tee -a /run/one /etc/one"] }}
  provisioner "shell" {{ inline = ["echo run | sudo tee -a /run/two /etc/two"] }}
  provisioner "shell" {{ script = "third.sh" }}
  provisioner "shell" {{ inline = ["echo run | sudo tee -a /run/four"] }}
}}
"#
        ),
    );
    program.write("third.sh", "echo run | sudo tee -a /run/three\nfalse\n");
    let run = build(&program, &[KEEP, CHECKPOINTS]).failed_with(1);
    assert!(said(&run).contains("The machine is kept in out.kept until 20"), "{run:#?}");
    let key = fs::metadata(program.path("out.kept/ssh-key")).unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600, "the key of the build is for us alone");
    assert!(!program.read("out.kept/record.json").contains("PRIVATE KEY"));
    let count = "echo run | sudo tee -a /run/three; for each in one two three; do \
                 echo \"$each: $(wc -l < /run/$each)\"; done; cat /etc/one /etc/two | wc -l\n";
    program.write("third.sh", count);
    let started = Instant::now();
    let run = build(&program, &[KEEP, CHECKPOINTS]).succeeded();
    println!("went on and finished in {:?}", started.elapsed());
    let text = said(&run);
    assert!(text.contains("Going on with the machine of out.kept: the first 2"), "{text}");
    // The checkpoint is older than the third one's first run.
    for says in ["one: 1", "two: 1", "three: 1", "qemu.debian: 2\n"] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert_whole(&program, "out/disk.qcow2");
    assert!(!program.path("out.kept").exists());
}
