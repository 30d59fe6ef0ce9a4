//! The end of a job: what it does not need, what it leaves alone, what it cannot know.

use std::fs;

use super::cancel::{Blocking, Long};
use super::commands::GOOD;
use super::outputs::amazon;
use super::runner::{Runner, Step};

#[track_caller]
fn is_silent(post: &Step) {
    assert!(post.log.shown.is_empty() && post.summary.is_empty(), "{post:#?}");
}

#[test]
fn a_step_that_kept_nothing_has_a_silent_end() {
    for runner in [
        Runner::new("validate").file("web.pkr.hcl", GOOD),
        Runner::new("buidl"),
        Runner::new("build").with("working-directory", "nowhere"),
        Runner::new("build").with("parallel", "no"),
    ] {
        let step = runner.run();
        is_silent(&runner.post(&step).succeeded());
        is_silent(&runner.post(&Step::default()).succeeded());
    }
}

#[test]
fn it_cleans_up_where_the_working_directory_is_gone_and_inputs_are_wrong() {
    let Long { cloud, runner } = Long::new();
    let template = runner.program.read("web.pkr.hcl");
    let runner = runner.file("images/web.pkr.hcl", template).with("working-directory", "images");
    let long = Long { cloud, runner };
    let step = long.started().kill();
    assert!(!long.cloud.left().is_empty());
    fs::remove_dir_all(long.runner.program.path("images")).unwrap();
    let Long { cloud, runner } = long;
    let runner = runner.with("parallel", "no").with("nonsense", "x");
    let post = runner.post(&step).succeeded();
    assert!(post.log.open().contains("Nothing is left of the run"), "{:#?}", post.log);
    assert!(post.log.annotations.is_empty() && post.summary.is_empty(), "{post:#?}");
    assert_eq!(cloud.left().len(), 0);
    assert!(!runner.program.path("_temp/imgbake").exists());
}

#[test]
fn it_finds_the_journals_of_a_step_whose_state_is_lost() {
    let long = Long::new();
    drop(long.started().kill());
    assert!(!long.cloud.left().is_empty());
    let post = long.runner.post(&Step::default()).succeeded();
    assert!(post.log.open().contains("Nothing is left of the run"), "{:#?}", post.log);
    assert_eq!(long.cloud.left().len(), 0);
}

#[test]
fn where_the_journals_are_gone_it_says_that_nobody_can_know() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["echo it began; sleep 60"] }
}
"#;
    let runner = Runner::new("build").file("web.pkr.hcl", template);
    let mut running = runner.start();
    assert!(running.prints("it began"), "it never did");
    let step = running.kill();
    fs::remove_dir_all(runner.program.path("_temp/imgbake")).unwrap();
    let post = runner.post(&step).succeeded();
    let [warning] = post.log.annotations.as_slice() else { panic!("{post:#?}") };
    assert_eq!(warning.kind, "warning");
    assert!(warning.message.contains("nobody can know"), "{warning:?}");
}

#[test]
fn what_abort_leaves_on_purpose_stays_until_it_is_asked_for() {
    let cloud = Blocking::start();
    let bed = &cloud.cloud.bed;
    let aborts = Runner::new("build")
        .vars(bed.moto.environment())
        .with("on-error", "abort")
        .file("web.pkr.hcl", amazon(bed, "exit 1"));
    let step = aborts.run().failed();
    let open = step.log.open();
    assert!(open.contains("These were left as they are, as `on-error` asks"), "{open}");
    assert!(!step.log.raw.contains("skipping cleanup"), "{}", step.log.raw);
    // Another step of the same job, which keeps its journal in the same place.
    let aborts = aborts.file("db.pkr.hcl", GOOD);
    let other = aborts.with("templates", "db.pkr.hcl").with("on-error", "cleanup");
    let second = other.run().succeeded();
    let runs = |cloud: &Blocking| cloud.left().iter().any(|one| one.ends_with("running"));
    for step in [&second, &step] {
        let post = other.post(step).succeeded();
        assert!(runs(&cloud), "{:#?}", post.log);
    }
    let post = other.post(&step).succeeded();
    assert!(post.log.open().contains("These were left on purpose"), "{:#?}", post.log);
    let cleaned = other.with("command", "cleanup").run().succeeded();
    assert!(cleaned.log.open().contains("Nothing is left of the run"), "{:#?}", cleaned.log);
    assert_eq!(cloud.left().len(), 0);
}
