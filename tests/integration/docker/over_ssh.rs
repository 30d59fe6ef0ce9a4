//! An engine on another machine: OpenSSH, and Docker's own program there.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Dockerd, Program, Run, Sshd};

/// A program whose engine is behind `sshd`, at `socket`. Its `ssh` knows the server and has a key.
fn program(sshd: &Sshd, socket: &str, key: &str) -> Program {
    let program = Program::new();
    let host_key = std::fs::read_to_string(sshd.host_key("ed25519")).unwrap();
    program.write("known_hosts", format!("[127.0.0.1]:{} {host_key}", sshd.port));
    let config = format!(
        "HostKeyAlgorithms ssh-ed25519\nUserKnownHostsFile {}\nIdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\n",
        program.path("known_hosts").display(),
        sshd.key(key).display(),
    );
    let config = program.write("ssh_config", config);
    let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", config.display());
    let ssh = program.write("bin/ssh", ssh);
    std::fs::set_permissions(ssh, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", program.path("bin").display(), std::env::var("PATH").unwrap());
    let host = format!("ssh://{}@127.0.0.1:{}{socket}", sshd.user, sshd.port);
    program.with([("PATH", path), ("DOCKER_HOST", host)])
}

fn build(program: &Program) -> Run {
    program.write("site/index.html", "hello from here");
    program.write(
        "t.pkr.hcl",
        r#"source "docker" "c" {
  image  = "base:1"
  pull   = false
  commit = true
}
build {
  sources = ["docker.c"]
  provisioner "file" {
    source      = "site/"
    destination = "/site"
  }
  provisioner "shell" {
    inline = ["cat /site/index.html"]
  }
  post-processor "docker-tag" {
    repository = "far"
    tags       = ["1"]
  }
}
"#,
    );
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

#[test]
fn an_engine_behind_ssh_bakes_as_one_that_is_here() {
    let (engine, sshd) = (Dockerd::start(), Sshd::start());
    let program = program(&sshd, &engine.socket().display().to_string(), "ed25519");
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("hello from here"), "{}", run.stdout);
    assert!(engine.image_names().contains(&"far:1".to_owned()), "{:?}", engine.image_names());
    assert!(engine.has_no_containers());
    assert_eq!(program.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_ssh_complains_of_is_told() {
    let sshd = Sshd::start();
    let run = build(&program(&sshd, "", "none")).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("no container engine answers at ssh://"), "{said}");
    assert!(said.contains("`ssh` says:") && said.contains("Permission denied"), "{said}");
}
