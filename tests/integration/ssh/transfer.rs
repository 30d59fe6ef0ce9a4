//! Files to the machine and back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use imgbake::communicator::{SshOptions, TransferMethod};
use imgbake::component::{Communicator, Upload};
use imgbake::event::Message;

use super::{Build, machine, options, output, soon};
use crate::support::Sshd;

/// Names that trip over quoting.
const NAMES: [&str; 9] = [
    "plain",
    "with space",
    "it's \"quoted\"",
    "ünï-日本",
    "new\nline",
    "$HOME `id` $(id) \\",
    "-rf",
    "*?[x]",
    "~root",
];

/// All that is below `dir`: mode and content (`None` for directories) by name.
pub fn listing(dir: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                found.insert(name, (mode, None));
                left.push(path);
            } else {
                found.insert(name, (mode, Some(fs::read(path).unwrap())));
            }
        }
    }
    found
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory with everything that is hard in it.
pub fn make_tree(dir: &Path) {
    for (number, name) in NAMES.iter().enumerate() {
        let below = dir.join(name);
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(name), vec![b'x'; number * 1000]).unwrap();
    }
    fs::create_dir(dir.join("empty")).unwrap();
    set_mode(&dir.join("empty"), 0o750);
    fs::write(dir.join("script.sh"), "#!/bin/sh\n").unwrap();
    set_mode(&dir.join("script.sh"), 0o755);
    fs::write(dir.join("secret"), "s").unwrap();
    set_mode(&dir.join("secret"), 0o600);
    fs::create_dir(dir.join(format!("deep-{}", "d".repeat(150)))).unwrap();
    let long = dir.join(format!("deep-{}", "d".repeat(150))).join("f".repeat(200));
    fs::write(long, "a long name").unwrap();
}

pub async fn both_ways(machine: &dyn Communicator, build: &Build) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, back) =
        (dir.path().join("from"), dir.path().join("to"), dir.path().join("back"));
    fs::create_dir_all(&to).unwrap();
    make_tree(&from);
    let ui = &build.cx.ui;
    let named = from.display().to_string();
    soon(machine.upload_dir(&named, &to.display().to_string(), ui)).await.unwrap();
    assert_eq!(listing(&to.join("from")), listing(&from), "itself goes into the directory");
    let contents = dir.path().join("contents").display().to_string();
    soon(machine.upload_dir(&format!("{named}/"), &contents, ui)).await.unwrap();
    assert_eq!(listing(contents.as_ref()), listing(&from), "its contents go there");
    soon(machine.download_dir(&format!("{named}/"), &back, ui)).await.unwrap();
    let (sent, came) = (listing(&from), listing(&back));
    let content =
        |(name, (_, content)): (&String, &(u32, Option<Vec<u8>>))| (name.clone(), content.clone());
    let contents: (Vec<_>, Vec<_>) =
        (sent.iter().map(content).collect(), came.iter().map(content).collect());
    assert_eq!(contents.0, contents.1, "and come back");
    for (number, name) in NAMES.iter().enumerate() {
        let local = from.join(name).join(name);
        let there = to.join(format!("{name}!{number}"));
        let there_text = there.display().to_string();
        soon(machine.upload(Upload::File(&local), &there_text, ui)).await.unwrap();
        assert_eq!(fs::read(&there).unwrap(), fs::read(&local).unwrap(), "{name}");
        let again = dir.path().join("again");
        soon(machine.download(&there_text, &again, ui)).await.unwrap();
        assert_eq!(fs::read(&again).unwrap(), fs::read(&local).unwrap(), "{name}");
    }
}

#[tokio::test]
async fn directories_and_files_of_any_name_arrive_as_they_were() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    both_ways(&*machine, &build).await;
}

#[tokio::test]
async fn the_same_through_sftp() {
    let sshd = Sshd::start();
    let with = SshOptions { ssh_file_transfer_method: TransferMethod::Sftp, ..options(&sshd) };
    let build = Build::new();
    let machine = soon(build.connect(&with)).await.unwrap();
    both_ways(&*machine, &build).await;
}

#[tokio::test]
async fn a_file_has_its_mode_and_a_text_the_given_one() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let to_text = to.display().to_string();
    for mode in [0o600, 0o755, 0o444] {
        let _ = fs::remove_file(&to);
        fs::write(&from, "x").unwrap();
        set_mode(&from, mode);
        soon(machine.upload(Upload::File(&from), &to_text, &build.cx.ui)).await.unwrap();
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, mode);
        fs::remove_file(&from).unwrap();
    }
    let _ = fs::remove_file(&to);
    let text = Upload::Text { content: b"hello", mode: 0o640 };
    soon(machine.upload(text, &to_text, &build.cx.ui)).await.unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read(&to).unwrap(), b"hello");
}

#[tokio::test]
async fn what_exists_there_keeps_its_mode_and_its_links() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for name in ["tmp", "lib"] {
        fs::create_dir_all(from.join(name)).unwrap();
        fs::write(from.join(name).join("new"), "new").unwrap();
    }
    fs::create_dir_all(to.join("tmp")).unwrap();
    set_mode(&to.join("tmp"), 0o1777);
    fs::create_dir_all(to.join("usr")).unwrap();
    symlink("usr", to.join("lib")).unwrap();
    let (from, to_text) = (format!("{}/", from.display()), to.display().to_string());
    soon(machine.upload_dir(&from, &to_text, &build.cx.ui)).await.unwrap();
    assert_eq!(fs::metadata(to.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert!(to.join("lib").is_symlink());
    assert_eq!(fs::read(to.join("usr/new")).unwrap(), b"new");
}

#[tokio::test]
async fn links_are_followed_and_a_circle_is_refused() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let (real, from, to) =
        (dir.path().join("real"), dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(&real).unwrap();
    fs::write(real.join("file"), "content").unwrap();
    fs::create_dir_all(&from).unwrap();
    symlink(&real, from.join("dir")).unwrap();
    symlink(real.join("file"), from.join("file")).unwrap();
    let (from_text, to_text) = (format!("{}/", from.display()), to.display().to_string());
    soon(machine.upload_dir(&from_text, &to_text, &build.cx.ui)).await.unwrap();
    for name in ["dir/file", "file"] {
        let there = to.join(name);
        assert!(!there.is_symlink() && fs::read(there).unwrap() == b"content", "{name}");
    }
    symlink(&from, from.join("circle")).unwrap();
    let error = soon(machine.upload_dir(&from_text, &to_text, &build.cx.ui)).await.unwrap_err();
    assert!(format!("{error:#}").contains("leads into itself"), "{error:#}");
}

#[tokio::test]
async fn a_large_file_arrives_whole_both_ways_and_shows_progress() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let (from, to, back) =
        (dir.path().join("from"), dir.path().join("to"), dir.path().join("back"));
    // Not a multiple of anything.
    let content: Vec<u8> =
        (0..40_000_019_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&from, &content).unwrap();
    set_mode(&from, 0o751);
    fs::write(&to, vec![b'y'; 50_000_000]).unwrap();
    let to_text = to.display().to_string();
    soon(machine.upload(Upload::File(&from), &to_text, &build.cx.ui)).await.unwrap();
    assert!(fs::read(&to).unwrap() == content);
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o751);
    soon(machine.download(&to_text, &back, &build.cx.ui)).await.unwrap();
    assert!(fs::read(&back).unwrap() == content);
    let reports = build.said(|message| match message {
        Message::Progress(progress) => Some(progress.clone()),
        _ => None,
    });
    let reports = reports.await;
    let last = reports.iter().find(|report| report.finished).unwrap();
    assert_eq!((last.done, last.total), (40_000_019, Some(40_000_019)));
}

#[tokio::test]
async fn ten_thousand_small_files_are_one_stream() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    for number in 0..10_000 {
        let below = from.join(format!("{}", number % 100));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("{number}")), format!("{number}").repeat(20)).unwrap();
    }
    let to = dir.path().join("to");
    let (from_text, to_text) = (format!("{}/", from.display()), to.display().to_string());
    soon(machine.upload_dir(&from_text, &to_text, &build.cx.ui)).await.unwrap();
    assert!(listing(&to) == listing(&from));
    let back = dir.path().join("back");
    soon(machine.download_dir(&to_text, &back, &build.cx.ui)).await.unwrap();
    assert!(listing(&back) == listing(&from));
}

#[tokio::test]
async fn a_pattern_downloads_what_matches() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("a b");
    fs::create_dir_all(there.join("log.d")).unwrap();
    for name in ["one.log", "two.log", "other", "log.d/inner"] {
        fs::write(there.join(name), name).unwrap();
    }
    let back = dir.path().join("back");
    let pattern = format!("{}/*log*", there.display());
    soon(machine.download_dir(&pattern, &back, &build.cx.ui)).await.unwrap();
    let names: Vec<String> = listing(&back).into_keys().collect();
    assert_eq!(names, ["log.d", "log.d/inner", "one.log", "two.log"]);
}

#[tokio::test]
async fn what_cannot_be_written_or_read_is_said() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let text = Upload::Text { content: b"x", mode: 0o644 };
    let at = |name: &str| dir.path().join(name).display().to_string();
    let error = soon(machine.upload(text, &at(""), &build.cx.ui)).await.unwrap_err();
    assert!(format!("{error:#}").contains("end it with a slash"), "{error:#}");
    let error = soon(machine.upload(text, &at("no/such/dir"), &build.cx.ui)).await.unwrap_err();
    assert!(format!("{error:#}").contains("the machine says:"), "{error:#}");
    let to = dir.path().join("back");
    let error = soon(machine.download(&at("nothing"), &to, &build.cx.ui)).await.unwrap_err();
    assert!(format!("{error:#}").contains("nothing"), "{error:#}");
}

#[tokio::test]
async fn a_path_may_start_at_home() {
    let sshd = Sshd::start_with("SetEnv HOME=/tmp/imgbake-no-home");
    let (build, machine) = machine(&sshd).await;
    let home = output(&*machine, "mkdir -p ~ && echo ~").await.trim().to_owned();
    assert_eq!(home, "/tmp/imgbake-no-home");
    let name = format!("file-{}", sshd.port);
    let text = Upload::Text { content: b"x", mode: 0o644 };
    for (number, path) in [format!("~/{name}"), format!("$HOME/{name}")].iter().enumerate() {
        soon(machine.upload(text, path, &build.cx.ui)).await.unwrap();
        let there = Path::new(&home).join(&name);
        assert!(there.exists(), "{number}");
        fs::remove_file(there).unwrap();
    }
}

/// Where a directory lands: whether its name ends in a slash, whether the destination exists, and
/// where a file of it is then.
const LANDINGS: [(&str, bool, &str); 4] = [
    ("from", true, "to/from/file"),
    ("from", false, "to/file"),
    ("from/", true, "to/file"),
    ("from/", false, "to/file"),
];

/// A directory goes under its own name only into what exists.
pub async fn lands_where_it_should(machine: &dyn Communicator, build: &Build) {
    for (source, exists, lands) in LANDINGS {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("from")).unwrap();
        fs::write(path("from/file"), "x").unwrap();
        if exists {
            fs::create_dir(path("to")).unwrap();
        }
        let from = format!("{}/{source}", dir.path().display());
        let to = path("to").display().to_string();
        soon(machine.upload_dir(&from, &to, &build.cx.ui)).await.unwrap();
        let files: Vec<String> = listing(&path("to"))
            .into_iter()
            .filter_map(|(name, (_, content))| content.map(|_| format!("to/{name}")))
            .collect();
        assert_eq!(files, [lands], "{source} into what exists: {exists}");
    }
}

#[tokio::test]
async fn a_directory_is_nested_only_into_what_exists() {
    let sshd = Sshd::start();
    let sftp = SshOptions { ssh_file_transfer_method: TransferMethod::Sftp, ..options(&sshd) };
    for options in [options(&sshd), sftp] {
        let build = Build::new();
        let machine = soon(build.connect(&options)).await.unwrap();
        lands_where_it_should(&*machine, &build).await;
    }
}

#[tokio::test]
async fn fifos_and_devices_are_not_uploaded() {
    let sshd = Sshd::start();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let to = dir.path().join("to").display().to_string();
    let sftp = SshOptions { ssh_file_transfer_method: TransferMethod::Sftp, ..options(&sshd) };
    for options in [options(&sshd), sftp] {
        let build = Build::new();
        let machine = soon(build.connect(&options)).await.unwrap();
        for special in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/ptmx")] {
            let sent = soon(machine.upload(Upload::File(special), &to, &build.cx.ui)).await;
            let said = format!("{:#}", sent.unwrap_err());
            assert!(said.contains("it is no regular file"), "{said}");
        }
    }
}
