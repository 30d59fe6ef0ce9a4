//! The action as the runner starts it: a container of the image.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::process::Command;

use super::cancel::Long;
use super::commands::GOOD;
use super::engine::{Image, done};
use super::outputs::amazon;
use super::runner::Runner;
use crate::amazon_ebs::bed::Bed;
use crate::support::pause;

fn long() -> Long {
    let Long { cloud, runner } = Long::new();
    Long { cloud, runner: runner.in_container(Image::slim()) }
}

#[test]
fn a_container_bakes_three_builds_of_two_templates() {
    let bed = Bed::new();
    let db = amazon(&bed, "true").replace("\"web\"", "\"db\"").replace(".web\"", ".db\"");
    let local = r#"source "null" "local" { communicator = "none" }
build {
  sources = ["null.local"]
  provisioner "shell-local" { inline = ["echo I am $(id -un) in $PWD, $HOME"] }
}
"#;
    let runner = Runner::new("build")
        .vars(bed.moto.environment())
        .file("images/web.pkr.hcl", amazon(&bed, "true") + local)
        .file("images/db.pkr.hcl", db)
        .with("templates", "*.pkr.hcl")
        .with("working-directory", "images")
        .in_container(Image::slim());
    chown(runner.program.dir(), Some(1001), Some(1001)).unwrap();
    let step = runner.run().succeeded();
    let amis = step.json("ami-ids");
    for build in ["amazon-ebs.web", "amazon-ebs.db"] {
        assert!(amis[build]["us-east-1"].as_str().unwrap().starts_with("ami-"), "{amis}");
    }
    let group = step.log.group("null.local: provision: shell-local");
    let said = "I am root in /github/workspace/images, /github/home";
    assert!(group.iter().any(|line| line == said), "{group:?}");
    assert!(step.summary.contains("3 of 3 builds succeeded"), "{}", step.summary);
    // What stays in the checkout belongs to whom that belongs.
    assert_eq!(step.outputs["manifest-path"], "images/imgbake-manifest.json");
    let manifest = runner.program.path("images/imgbake-manifest.json");
    assert_eq!(std::fs::metadata(manifest).unwrap().uid(), 1001);
    let post = runner.post(&step).succeeded();
    assert!(post.log.open().contains("There is nothing to clean up."), "{:#?}", post.log);
}

#[test]
fn a_cancelled_container_undoes_what_it_has_done() {
    long().undoes_all_when_cancelled();
}

/// The runner kills docker's client, and no signal of that reaches the container.
#[test]
fn a_container_that_outlives_its_client_is_waited_for_and_cleaned_up_after() {
    let image = Image::slim();
    let long = long();
    let step = long.started();
    let workspace = long.runner.program.dir().display().to_string();
    let container = || {
        let filter = format!("volume={workspace}");
        done(image.docker().args(["ps", "--quiet", "--filter", &filter]))
    };
    let id = container();
    // It hears nothing, as on a machine that is out of memory.
    let first = done(image.docker().args(["inspect", "--format", "{{.State.Pid}}", &id]));
    done(Command::new("kill").args(["-STOP", &first]));
    let step = step.cancel();
    assert_eq!((step.code, container()), (None, id));
    assert!(!long.cloud.left().is_empty());
    let post = std::thread::scope(|scope| {
        let post = scope.spawn(|| long.runner.post(&step));
        pause(1500);
        done(Command::new("kill").args(["-CONT", &first]));
        post.join().unwrap().succeeded()
    });
    assert!(post.log.open().contains("which is still alive"), "{:#?}", post.log);
    assert_eq!(long.cloud.left(), BTreeSet::new());
}

/// There the step is a script in a container that is there already, and that does nothing itself.
#[test]
fn kubernetes_runners_find_the_commands_that_they_need() {
    let image = Image::slim();
    let runner = Runner::new("validate").file("web.pkr.hcl", GOOD).with("fail-on-warnings", "true");
    let workspace = runner.program.dir().display().to_string();
    let mut pod = image.docker();
    pod.args(["run", "--detach", "--rm", "--network", "none", "--entrypoint", "tail"]);
    pod.args(["-v", &format!("{workspace}:{workspace}"), image.name(), "-f", "/dev/null"]);
    let pod = done(&mut pod);
    let vars = runner.environment("imgbake-action", &BTreeMap::new());
    let vars: Vec<_> = vars.iter().map(|(name, value)| format!("\"{name}={value}\"")).collect();
    let script = format!(
        "#!/bin/sh -e\nrm -f none\ncd {workspace}\nexec env {} /usr/local/bin/imgbake-action\n",
        vars.join(" ")
    );
    runner.program.write("_temp/script", script);
    let script = runner.program.path("_temp/script").display().to_string();
    let said = done(image.docker().args(["exec", &pod, "sh", "-e", &script]));
    assert!(said.contains("The configuration is valid."), "{said}");
    done(image.docker().args(["kill", &pod]));
}
