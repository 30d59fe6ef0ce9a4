//! A program that is killed in the middle of a call leaves nothing that `cleanup` does not find.

use std::io::{Read, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use crate::amazon_ebs::proxy::Proxy;
use crate::support::{Dockerd, Moto, Program, Run, pause};

/// Stands between the program and an engine, and kills the program at one of its calls: the engine has
/// done what was asked, and nobody hears of it.
struct Knife {
    dir: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The calls so far that change something.
    calls: Vec<String>,
    /// At which of them the program is killed.
    kill_at: Option<usize>,
    /// The program.
    pid: Option<u32>,
}

impl Knife {
    fn before(engine: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, engine) = (state.clone(), engine.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (shared, engine) = (shared.clone(), engine.clone());
                std::thread::spawn(move || serve(client.unwrap(), &engine, &shared));
            }
        });
        Self { dir, state }
    }

    fn environment(&self) -> [(&'static str, String); 1] {
        [("DOCKER_HOST", format!("unix://{}", self.dir.path().join("sock").display()))]
    }

    /// Builds, killed at the call of this number; what was called.
    fn build(&self, program: &Program, kill_at: Option<usize>) -> Vec<String> {
        self.build_with(program, &[], kill_at)
    }

    fn build_with(&self, program: &Program, flags: &[&str], kill_at: Option<usize>) -> Vec<String> {
        *self.state.lock().unwrap() = State { kill_at, ..State::default() };
        let args = ["build", "-color=false"].iter().chain(flags).chain([&"t.pkr.hcl"]);
        let child = program.start(args.copied());
        self.state.lock().unwrap().pid = Some(child.id());
        let run = Program::finish(child);
        let expected = if kill_at.is_some() { None } else { Some(0) };
        assert_eq!(run.code, expected, "{}{}", run.stdout, run.stderr);
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    fn cleanup(&self, program: &Program, more: &[&str]) -> Run {
        *self.state.lock().unwrap() = State::default();
        program.run(["cleanup"].into_iter().chain(more.iter().copied())).succeeded()
    }
}

/// Passes one connection on.
fn serve(mut client: UnixStream, engine: &Path, state: &Mutex<State>) {
    let Some(head) = read_head(&mut client) else { return };
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    // What writes a file here can be cut off, too.
    let writes = line.contains("/export") || line.contains("/get");
    let is_fatal = (writes || !line.starts_with("GET ") && !line.starts_with("HEAD ")) && {
        let mut state = state.lock().unwrap();
        state.calls.push(line);
        state.kill_at == Some(state.calls.len())
    };
    let mut there = UnixStream::connect(engine).unwrap();
    there.write_all(&head).unwrap();
    let (mut from_client, mut to_engine) =
        (client.try_clone().unwrap(), there.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        // The end of what a program sends is the end of a command's input.
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    if is_fatal {
        let _ = there.read(&mut [0; 1]);
        kill(state);
        let _ = client.shutdown(Shutdown::Both);
        return;
    }
    let _ = std::io::copy(&mut there, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

fn read_head(client: &mut UnixStream) -> Option<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(head)
}

fn kill(state: &Mutex<State>) {
    let pid = loop {
        match state.lock().unwrap().pid {
            Some(pid) => break pid,
            None => pause(5),
        }
    };
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(status.unwrap().success());
    // It is gone before its connection is closed: it never hears why.
    while Path::new(&format!("/proc/{pid}/fd/0")).exists() {
        std::thread::yield_now();
    }
}

const TEMPLATE: &str = r#"
source "docker" "c" {
  image  = "base:1"
  pull   = false
  commit = true
  run_command = ["-d", "-i", "-t", "--name=swept", "--entrypoint=/bin/sh", "{{.Image}}"]
}
build {
  sources = ["docker.c"]
  provisioner "file" {
    source      = "tree"
    destination = "/tree"
  }
  provisioner "shell" {
    inline = ["echo done >/mark"]
  }
  post-processor "docker-tag" {
    repository = "swept"
  }
}
"#;

const BUILT: &str = r#"
source "docker" "c" {
  discard = true
  build {
    path      = "ctx/Dockerfile"
    build_dir = "ctx"
    pull      = false
  }
}
build {
  sources = ["docker.c"]
}
"#;

const EXPORTED: &str = r#"
source "docker" "c" {
  image       = "base:1"
  pull        = false
  export_path = "out/image.tar"
}
build {
  sources = ["docker.c"]
  post-processors {
    post-processor "docker-import" {
      repository = "swept"
    }
    post-processor "docker-save" {
      path = "out/saved.tar"
    }
  }
}
"#;

/// Kills the program at each of its calls, and cleans up each time.
fn sweep(template: &str, least: usize) {
    let engine = Dockerd::start();
    let knife = Knife::before(&engine.socket());
    let program = Program::new().with(knife.environment());
    program.write("t.pkr.hcl", template);
    program.write("tree/a", "a");
    program.write("ctx/Dockerfile", "FROM base:1\n");
    // What a Dockerfile leaves in between is the engine's own cache.
    let calls = knife.build(&program, None);
    assert!(calls.len() >= least, "{calls:#?}");
    if engine.image_names().iter().any(|name| name == "swept:latest") {
        engine.call("DELETE", "/images/swept:latest");
    }
    let before = (engine.images(), engine.volumes());
    for at in 1..=calls.len() {
        let call = &knife.build(&program, Some(at))[at - 1];
        let said = knife.cleanup(&program, &[]).stdout;
        assert_eq!(engine.containers(), [] as [&str; 0], "killed at {call}: {said}");
        let names = engine.image_names();
        assert!(!names.iter().any(|name| name.contains("imgbake")), "{call}: {names:?}");
        if said.contains("These are finished") {
            knife.cleanup(&program, &["-delete-finished"]);
        }
        if at > engine_named(&calls)
            && engine.image_names().iter().any(|name| name == "swept:latest")
        {
            engine.call("DELETE", "/images/swept:latest");
        }
        assert_eq!((engine.images(), engine.volumes()), before, "killed at {call}: {said}");
        let unfinished = std::fs::read_dir(program.path("out")).into_iter().flatten();
        let mut unfinished = unfinished.map(|entry| entry.unwrap().file_name());
        assert!(!unfinished.any(|name| name.to_string_lossy().starts_with('.')), "{call}");
    }
}

/// At which call an image gets the name that its template gives it: from there on it is finished.
fn engine_named(calls: &[String]) -> usize {
    calls.iter().position(|call| call.contains("/tag?repo=swept")).map_or(usize::MAX, |at| at)
}

#[test]
fn a_build_that_is_killed_at_any_call_leaves_nothing_after_cleanup() {
    sweep(TEMPLATE, 10);
}

#[test]
fn after_a_kill_nothing_is_taken_for_unchanged_that_is_not_whole() {
    let engine = Dockerd::start();
    let knife = Knife::before(&engine.socket());
    let program = Program::new().with(knife.environment());
    // What a killed run has left does not stand in the way of the next one.
    program.write("t.pkr.hcl", TEMPLATE.replace("\"--name=swept\", ", ""));
    program.write("tree/a", "a");
    let before = engine.images();
    let remove_all = || {
        knife.cleanup(&program, &["-delete-finished"]);
        for image in engine.images().iter().filter(|image| !before.contains(image)) {
            engine.call("DELETE", &format!("/images/{image}?force=true"));
        }
    };
    let calls = knife.build_with(&program, &["-skip-unchanged"], None);
    remove_all();
    let commit = calls.iter().position(|call| call.contains("/commit?")).expect("a commit") + 1;
    for at in commit - 1..=calls.len() {
        let call = &knife.build_with(&program, &["-skip-unchanged"], Some(at))[at - 1];
        knife.build_with(&program, &["-skip-unchanged"], None);
        assert_eq!(engine.run_in("swept:latest", "cat /mark"), "done\n", "killed at {call}");
        remove_all();
    }
}

#[test]
fn a_container_whose_journal_is_gone_is_reaped() {
    let engine = Dockerd::start();
    let knife = Knife::before(&engine.socket());
    // It answers what moto cannot.
    let (moto, runtime) = (Moto::start(), Runtime::new().unwrap());
    let proxy = runtime.block_on(Proxy::before(moto.endpoint()).with_manners().start());
    let program = Program::new().with(knife.environment()).with(proxy.environment());
    let program = program.with([("AWS_REGION", "us-east-1")]);
    // Not the Podman of this machine.
    program.write("bin/podman", "#!/bin/sh\nexit 1\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program.path("bin/podman"), executable).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.path("bin").display());
    let program = program.with([("PATH", path)]);
    // Engines before Docker 24 keep no annotation, by which a container with another name is found.
    let version = engine.get("/version")["ApiVersion"].as_str().unwrap().to_owned();
    let minor: u32 = version.rsplit('.').next().unwrap().parse().unwrap();
    let named = if minor < 43 { "\"--name=swept\", " } else { "" };
    program.write("t.pkr.hcl", TEMPLATE.replace(named, ""));
    program.write("tree/a", "a");
    let calls = knife.build(&program, None);
    let exec = calls.iter().position(|call| call.contains("/exec")).unwrap() + 1;
    knife.build(&program, Some(exec));
    let journals = program.path(".local/state/imgbake/journal");
    std::fs::remove_dir_all(journals).unwrap();
    *knife.state.lock().unwrap() = State::default();
    let run = program.run(["reap", "-older-than", "1h"]).succeeded();
    assert!(run.stdout.contains("Nothing is left that is old enough"), "{}", run.stdout);
    // An image that a run has left before it was finished, and one that failed and was kept.
    let [left, kept] = ["imgbake-build", "imgbake-failed"].map(|repository| {
        let tag = "0123456789abcdef0123456789abcdef";
        engine.call("POST", &format!("/images/base:1/tag?repo={repository}&tag={tag}"));
        format!("{repository}:{tag}")
    });
    pause(1100);
    program.run(["reap", "-older-than", "0s"]).succeeded();
    assert!(engine.has_no_containers());
    let names = engine.image_names();
    assert!(!names.contains(&left) && names.contains(&kept), "{names:?}");
    assert!(names.contains(&"base:1".to_owned()), "only the name of ours has gone");
}

#[test]
fn so_does_one_that_is_exported_imported_and_saved() {
    sweep(EXPORTED, 6);
}

#[test]
fn so_does_one_whose_image_is_built_first() {
    sweep(BUILT, 4);
}
