//! A step that is cancelled, and the end of its job.

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use super::outputs::amazon;
use super::runner::{Runner, Step};
use crate::amazon_ebs::bed::Bed;
use crate::support::{pause, signal};

/// A bed, a build on it that would take minutes, and what is there without it.
struct Long {
    bed: Bed,
    runner: Runner,
    before: BTreeSet<String>,
    runtime: tokio::runtime::Runtime,
}

impl Long {
    fn new() -> Self {
        let bed = Bed::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let before = runtime.block_on(bed.inventory_of_all());
        let runner = Runner::new("build")
            .vars(bed.moto.environment())
            .file("web.pkr.hcl", amazon(&bed, "sleep 300"));
        Self { bed, runner, before, runtime }
    }

    fn left(&self) -> BTreeSet<String> {
        let there = self.runtime.block_on(self.bed.inventory_of_all());
        there.difference(&self.before).cloned().collect()
    }

    /// The step, as soon as its machine runs.
    fn started(&self) -> Child {
        let child = self.runner.start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.left().iter().any(|one| one.ends_with("running")) {
            assert!(Instant::now() < deadline, "the machine starts");
            pause(200);
        }
        child
    }
}

#[test]
fn an_interrupt_is_enough_to_leave_nothing() {
    let long = Long::new();
    let child = long.started();
    signal(&child, "INT");
    let asked = Instant::now();
    let step = long.runner.wait(child).failed();
    assert!(asked.elapsed() < Duration::from_millis(7500), "{:?}", asked.elapsed());
    assert_eq!(step.outputs["result"], "cancelled");
    assert_eq!(long.left(), BTreeSet::new());
    let post = long.runner.post(&step).succeeded();
    assert!(post.log.open().contains("There is nothing to clean up."), "{:#?}", post.log);
}

#[test]
fn what_a_killed_step_leaves_the_end_of_the_job_removes() {
    let long = Long::new();
    let child = long.started();
    let state =
        std::fs::read_to_string(long.runner.program.path("_temp/imgbake-action_GITHUB_STATE"));
    signal(&child, "KILL");
    drop(child.wait_with_output());
    assert!(!long.left().is_empty());
    let step = Step { state: super::runner::entries(&state.unwrap()), ..Step::default() };
    let post = long.runner.post(&step).succeeded();
    assert!(post.log.open().contains("Nothing is left of the run"), "{:#?}", post.log);
    assert_eq!(long.left(), BTreeSet::new());
}

#[test]
fn the_end_of_the_job_waits_for_a_step_that_is_still_alive() {
    let long = Long::new();
    let child = long.started();
    let state =
        std::fs::read_to_string(long.runner.program.path("_temp/imgbake-action_GITHUB_STATE"));
    let step = Step { state: super::runner::entries(&state.unwrap()), ..Step::default() };
    let post = std::thread::scope(|scope| {
        let post = scope.spawn(|| long.runner.post(&step));
        pause(1500);
        signal(&child, "KILL");
        post.join().unwrap().succeeded()
    });
    drop(child.wait_with_output());
    let open = post.log.open();
    assert!(open.contains("which is still alive") && open.contains("Nothing is left"), "{open}");
    assert_eq!(long.left(), BTreeSet::new());
}

#[test]
fn a_time_limit_ends_a_build_while_there_is_time_to_clean_up() {
    let long = Long::new();
    let runner = long.runner;
    let runner = runner.with("timeout", "3s");
    let step = runner.run().failed();
    assert!(step.log.open().contains("it has had its 3s"), "{:#?}", step.log);
    assert_eq!(step.outputs["result"], "cancelled");
}

#[test]
fn what_abort_leaves_on_purpose_stays() {
    let bed = Bed::new();
    let runner = Runner::new("build")
        .vars(bed.moto.environment())
        .with("on-error", "abort")
        .file("web.pkr.hcl", amazon(&bed, "exit 1"));
    let step = runner.run().failed();
    assert!(step.log.open().contains("These were left as they are"), "{:#?}", step.log);
    let post = runner.post(&step).succeeded();
    assert!(post.log.open().contains("There is nothing to clean up."), "{:#?}", post.log);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let there = runtime.block_on(bed.inventory("us-east-1"));
    assert!(there.iter().any(|one| one.ends_with("running")), "{there:?}");
}
