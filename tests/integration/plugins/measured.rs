//! What plugins cost, and how fast they are: run by hand, with `--ignored --nocapture`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::machines::{on_its_machine, on_our_machine};
use super::sdk::{SOURCE, probe, watched, with_probe, with_sources};
use super::{put, requiring, with_plugins};
use crate::support::{Program, Sshd};

/// How long an upload of `mebibytes` takes that `body` makes of `here`, beside one of a byte.
fn uploaded(program: &Program, body: &str, mebibytes: usize) -> Duration {
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", body));
    let best_of = |content: &[u8]| {
        program.write("here", content);
        let once = |_| {
            let started = Instant::now();
            program.run(["build", "t.pkr.hcl"]).succeeded();
            started.elapsed()
        };
        (0..3).map(once).min().unwrap()
    };
    let large: Vec<u8> = (0..mebibytes << 20).map(|n| (n % 251) as u8).collect();
    best_of(&large).saturating_sub(best_of(b"x"))
}

#[test]
#[ignore = "a measurement"]
fn relays_are_nearly_as_fast_as_our_own_upload() {
    let Some(program) = with_probe("") else { return };
    let sshd = Sshd::start();
    let there = program.path("there").display().to_string();
    let ours = format!(
        "  provisioner \"file\" {{\n    source = \"here\"\n    destination = \"{there}\"\n  }}\n"
    );
    let its = |more: &str| {
        format!(
            "  provisioner \"probe-touch\" {{\n    big = \"here\"\n    target = \"{there}\"\n{more}  }}\n"
        )
    };
    let (tracked, its) = (its(""), its("    quiet = true\n"));
    let own = uploaded(&program, &on_our_machine(&sshd, &ours), 100);
    for (what, body) in [
        ("our provisioner on a plugin's machine", on_its_machine(&ours)),
        ("a plugin's provisioner on our machine", on_our_machine(&sshd, &its)),
        ("a plugin's provisioner on a plugin's machine", on_its_machine(&its)),
        // Of these the plugin waits for an answer to each: one for 32 KiB.
        ("the same on our machine with progress", on_our_machine(&sshd, &tracked)),
        ("the same on its machine with progress", on_its_machine(&tracked)),
    ] {
        let relayed = uploaded(&program, &body, 100);
        let ratio = own.as_secs_f64() / relayed.as_secs_f64();
        println!("100 MiB, {what}: {relayed:?}; ours over SSH {own:?}; {ratio:.2} of its speed");
    }
}

#[test]
#[ignore = "a measurement"]
fn a_template_with_one_plugin_costs_little_beside_the_plugin() {
    let Some(program) = with_sources(1, 0) else { return };
    let best = |arguments: &[&str]| {
        let once = |_| {
            let started = Instant::now();
            program.run(arguments.iter().copied()).succeeded();
            started.elapsed()
        };
        (0..20).map(once).min().unwrap()
    };
    let whole = best(&["validate", "t.pkr.hcl"]);
    let version = best(&["version"]);
    let plugin = (0..20).map(|_| started_and_prepared(&probe().unwrap())).min().unwrap();
    println!(
        "validate {whole:?}; imgbake's own start {version:?}; the plugin's start and Prepare {plugin:?}"
    );
}

/// How long the plugin takes to start and to check options, if it is asked for nothing else.
fn started_and_prepared(program: &std::path::Path) -> Duration {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(["start", "builder", "--protobuf", "box"])
        .env(
            "PACKER_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let socket = line.trim().rsplit('|').next().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::UnixStream::connect(socket).await.unwrap();
        let session = imgbake::plugin::mux::Session::over(socket, yamux::Mode::Client);
        let client = imgbake::plugin::rpc::Client::new(session.dial(0).await.unwrap());
        let options = imgbake::plugin::pack::object([("name", "web".into())]);
        let configs = rmpv::Value::Array(vec![options]);
        let argument = imgbake::plugin::pack::object([("Configs", configs)]);
        client.call("Builder.Prepare", argument, Duration::from_secs(10)).await.unwrap();
    });
    let took = started.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

/// A builder of Debian's `packer` 1.6.6 as plugins are today: its greeting has one number less.
const OLD: &str = r#"#!/bin/sh
case "$1" in
describe)
  echo '{"version":"1.0.0","sdk_version":"0.0.1","api_version":"x5.0","builders":["null"],"post_processors":[],"provisioners":[],"datasources":[]}' ;;
start)
  packer plugin packer-builder-null | sed -u 's/^5|/5|0|/' ;;
esac
"#;

#[test]
#[ignore = "a measurement"]
fn two_hundred_sources_of_a_plugin_beside_packer() {
    if Command::new("packer").arg("version").output().is_err() {
        println!("no packer here");
        return;
    }
    let body = |kind: &str| {
        let numbers = 0..200;
        let source = |n| format!("source \"{kind}\" \"w{n}\" {{\n  communicator = \"none\"\n}}\n");
        let sources: String = numbers.clone().map(source).collect();
        let names: Vec<_> = numbers.map(|n| format!("\"source.{kind}.w{n}\"")).collect();
        format!("{sources}build {{\n  sources = [{}]\n}}\n", names.join(", "))
    };
    let program = with_plugins();
    let source = "github.com/acme/old";
    put(&program, source, "1.0.0", OLD.as_bytes());
    program.write("t.pkr.hcl", requiring("old", source, ">= 1", &body("old-null")));
    let marker = "plugin packer-builder-null";
    for cache in ["cold", "warm"] {
        let (took, most) = watched(program.start(["validate", "t.pkr.hcl"]), marker);
        println!(
            "imgbake validate, 200 sources, a {cache} cache: {took:?}, {most} processes at most"
        );
    }
    let theirs = Program::new();
    theirs.write("t.pkr.hcl", body("null"));
    let packer = Command::new("packer")
        .args(["validate", "t.pkr.hcl"])
        .current_dir(theirs.dir())
        .env("HOME", theirs.dir())
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (took, most) = watched(packer, marker);
    println!("packer 1.6.6 validate, 200 sources: {took:?}, {most} processes at most");
}
