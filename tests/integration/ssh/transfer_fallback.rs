//! Machines that have less than a Linux distribution.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use imgbake::component::Upload;

use super::transfer::{both_ways, lands_where_it_should, listing, make_tree};
use super::{machine, soon};
use crate::support::Sshd;

/// A machine whose shell finds only these programs, all of BusyBox.
fn with_only(programs: &[&str]) -> (Sshd, tempfile::TempDir) {
    let bin = tempfile::tempdir().unwrap();
    for program in programs {
        symlink("/bin/busybox", bin.path().join(program)).unwrap();
    }
    (Sshd::start_with(&format!("SetEnv PATH={}", bin.path().display())), bin)
}

const BASIC: [&str; 11] =
    ["sh", "cat", "chmod", "mkdir", "mv", "rm", "dd", "stat", "wc", "find", "sleep"];

#[tokio::test]
async fn busybox_will_do() {
    let (sshd, bin) = with_only(&BASIC);
    symlink("/bin/busybox", bin.path().join("tar")).unwrap();
    let (build, machine) = machine(&sshd).await;
    both_ways(&*machine, &build).await;
    lands_where_it_should(&*machine, &build).await;
}

#[tokio::test]
async fn without_tar_files_go_one_by_one() {
    let (sshd, _bin) = with_only(&BASIC);
    let (build, machine) = machine(&sshd).await;
    both_ways(&*machine, &build).await;
    lands_where_it_should(&*machine, &build).await;
}

#[tokio::test]
async fn without_a_shell_there_is_still_sftp() {
    let sshd = Sshd::start_with("ForceCommand internal-sftp");
    let (build, machine) = machine(&sshd).await;
    both_ways(&*machine, &build).await;
}

#[tokio::test]
async fn a_server_that_allows_one_session_at_a_time_gets_one() {
    let sshd = Sshd::start_with("MaxSessions 1");
    let (build, machine) = machine(&sshd).await;
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let content = vec![7; 20_000_003];
    fs::write(&from, &content).unwrap();
    let there = to.display().to_string();
    soon(machine.upload(Upload::File(&from), &there, &build.cx.ui)).await.unwrap();
    assert!(fs::read(&to).unwrap() == content);
    fs::remove_file(&from).unwrap();
    soon(machine.download(&there, &from, &build.cx.ui)).await.unwrap();
    assert!(fs::read(&from).unwrap() == content);
}

#[tokio::test]
async fn an_archive_that_leads_out_of_its_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("evil.tar");
    let mut builder = tar::Builder::new(fs::File::create(&archive).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    header.as_mut_bytes()[..8].copy_from_slice(b"../evil\0");
    header.set_cksum();
    builder.append(&header, &b"evil"[..]).unwrap();
    builder.finish().unwrap();
    // This machine's tar is GNU's by its version, and packs whatever we were asked for as that.
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let tar = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) echo 'tar (GNU tar) 1.34';; *) /bin/cat {};; esac\n",
        archive.display()
    );
    fs::write(bin.join("tar"), tar).unwrap();
    fs::set_permissions(bin.join("tar"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    symlink("/bin/sh", bin.join("sh")).unwrap();
    let sshd = Sshd::start_with(&format!("SetEnv PATH={}", bin.display()));
    let (build, machine) = machine(&sshd).await;
    let to = dir.path().join("a/b");
    let error = soon(machine.download_dir("/tmp/", &to, &build.cx.ui)).await.unwrap_err();
    assert!(format!("{error:#}").contains("leads out of its directory"), "{error:#}");
    assert!(!dir.path().join("a/evil").exists());
}

#[test]
fn the_tree_of_these_tests_is_what_it_seems() {
    let dir = tempfile::tempdir().unwrap();
    make_tree(dir.path());
    assert!(listing(dir.path()).contains_key("empty"));
    assert!(Path::new("/bin/busybox").exists(), "busybox-static is installed (tests/run does)");
}
