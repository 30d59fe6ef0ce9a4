//! Podman, asked to be an engine.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::{Program, pause, signal};

/// A service that would wait for ever says who it is, and listens nowhere.
const SERVICE: &str = "#!/bin/sh\necho $$ >\"$(dirname \"$0\")/new\"\ncd \"$(dirname \"$0\")\"\nmv new pid\nexec sleep 1000\n";

#[test]
fn its_service_ends_with_a_run_that_is_killed() {
    let program = Program::new();
    let podman = program.write("podman", SERVICE);
    std::fs::set_permissions(&podman, PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!(
        "source \"docker\" \"c\" {{\n  image = \"base:1\"\n  discard = true\n  docker_path = {podman:?}\n}}\n\
         build {{\n  sources = [\"docker.c\"]\n}}\n"
    );
    program.write("t.pkr.hcl", text);
    let mut child = program.start(["build", "t.pkr.hcl"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !program.path("pid").exists() {
        assert!(Instant::now() < deadline, "the service was not started");
        pause(10);
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    // What has ended, and nobody has asked for, has no arguments any more.
    let arguments = format!("/proc/{}/cmdline", program.read("pid").trim());
    while std::fs::read(&arguments).is_ok_and(|arguments| !arguments.is_empty()) {
        assert!(Instant::now() < deadline, "the service runs on");
        pause(10);
    }
}
