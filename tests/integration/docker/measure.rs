//! Must-show: a bake beside Debian's `packer`, whose builder `docker` runs Docker's program.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Dockerd, Program, cache_dir};

/// A Debian for containers, made once.
fn debian() -> PathBuf {
    let path = cache_dir().join("docker-debian.tar");
    if !path.exists() {
        std::fs::create_dir_all(cache_dir()).unwrap();
        let unfinished = path.with_extension("new.tar");
        let made = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "bookworm"])
            .arg(&unfinished)
            .status()
            .expect("mmdebstrap is installed (tests/run does)");
        assert!(made.success(), "mmdebstrap");
        std::fs::rename(unfinished, &path).unwrap();
    }
    path
}

/// A template that both programs take.
const TEMPLATE: &str = r#"{
  "builders": [{"type": "docker", "image": "bench:debian", "pull": false, "commit": true}],
  "provisioners": [
    {"type": "shell", "inline": ["mkdir -p /srv/app"]},
    {"type": "file", "source": "tree/", "destination": "/srv/app"},
    {"type": "shell", "inline": ["find /srv/app -type f | wc -l >/srv/count", "cat /srv/count"]}
  ],
  "post-processors": [[
    {"type": "docker-tag", "repository": "bench/web", "tag": ["1"]},
    {"type": "docker-save", "path": "image.tar"}
  ]]
}"#;

fn program(engine: &Dockerd) -> Program {
    let program = Program::new().with(engine.environment());
    for file in 0..10_000 {
        let content = format!("file {file}\n").repeat(20);
        program.write(&format!("tree/{:02}/{file}.txt", file % 100), content);
    }
    program.write("t.json", TEMPLATE);
    program
}

/// How long a command takes, which must find all files.
fn timed(mut command: Command) -> Duration {
    let begun = Instant::now();
    let output = command.output().unwrap();
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("10000"));
    took
}

#[test]
#[ignore = "a measurement of some minutes"]
fn a_bake_beside_packers() {
    let engine = Dockerd::start();
    engine.import_file(&debian(), "bench:debian");
    let program = program(&engine);
    let ours = || timed(program.command(["build", "-color=false", "t.json"]));
    let packer = || {
        let mut command = Command::new("packer");
        command.args(["build", "-color=false", "t.json"]).current_dir(program.dir()).env_clear();
        command.env("HOME", program.dir()).env("CHECKPOINT_DISABLE", "1");
        command.env("PATH", std::env::var_os("PATH").unwrap()).envs(engine.environment());
        timed(command)
    };
    let mut all = (Vec::new(), Vec::new());
    for _ in 0..3 {
        all.0.push(ours());
        // The engine removes our container by itself: nobody else shall feel that.
        assert!(engine.has_no_containers());
        all.1.push(packer());
    }
    all.0.sort();
    all.1.sort();
    let (ours, packer) = (all.0[1], all.1[1]);
    println!(
        "imgbake {ours:?}, packer {packer:?}: {:.2}",
        ours.as_secs_f64() / packer.as_secs_f64()
    );
}

#[test]
#[ignore = "a measurement of some minutes"]
fn a_directory_goes_as_fast_as_by_dockers_own_program() {
    let engine = Dockerd::start();
    let program = program(&engine);
    let text = "source \"docker\" \"c\" {\n  image = \"base:1\"\n  pull = false\n  discard = true\n}\n\
                build {\n  sources = [\"docker.c\"]\nFILES}\n";
    let upload =
        "  provisioner \"file\" {\n    source = \"tree\"\n    destination = \"/new\"\n  }\n";
    let bake = |files: &str| {
        program.write("t.pkr.hcl", text.replace("FILES", files));
        let begun = Instant::now();
        program.run(["build", "-color=false", "t.pkr.hcl"]).succeeded();
        begun.elapsed()
    };
    let docker = |args: &[&str]| {
        let mut command = Command::new("docker");
        let output = command.envs(engine.environment()).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let (mut ours_best, mut theirs_best) = (Duration::MAX, Duration::MAX);
    for round in 0..3 {
        let ours = bake(upload).saturating_sub(bake(""));
        let name = format!("copy{round}");
        docker(&["run", "-dit", "--name", &name, "base:1", "/bin/sh"]);
        let begun = Instant::now();
        docker(&["cp", program.path("tree").to_str().unwrap(), &format!("{name}:/new")]);
        let theirs = begun.elapsed();
        docker(&["rm", "-f", &name]);
        println!("10,000 files: imgbake {ours:?}, docker cp {theirs:?}");
        (ours_best, theirs_best) = (ours_best.min(ours), theirs_best.min(theirs));
    }
    let speed = theirs_best.as_secs_f64() / ours_best.as_secs_f64();
    assert!(speed >= 0.9, "{speed:.2} x as fast as docker cp");
}
