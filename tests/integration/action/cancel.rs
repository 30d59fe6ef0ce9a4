//! A step that is cancelled, and the end of its job.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value as Json;

use super::outputs::amazon;
use super::runner::{Runner, Running, Step};
use crate::amazon_ebs::bed::{Bed, Cloud};
use crate::support::{pause, signal};

/// A build that would take minutes, and the cloud that it works in.
pub struct Long {
    pub cloud: Blocking,
    pub runner: Runner,
}

/// A cloud, for who waits.
pub struct Blocking {
    pub cloud: Cloud,
    runtime: tokio::runtime::Runtime,
}

impl Blocking {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cloud = runtime.block_on(Cloud::start());
        Self { cloud, runtime }
    }

    /// What came, and did not go.
    pub fn left(&self) -> BTreeSet<String> {
        self.runtime.block_on(self.cloud.left())
    }

    /// Removes images that shall be there.
    fn remove(&self, images: &BTreeSet<String>) {
        self.runtime.block_on(self.cloud.bed.remove_images(images));
    }
}

impl Long {
    pub fn new() -> Self {
        let cloud = Blocking::start();
        let bed = &cloud.cloud.bed;
        let runner = Runner::new("build")
            .vars(bed.moto.environment())
            .file("web.pkr.hcl", amazon(bed, "sleep 300"));
        Self { cloud, runner }
    }

    /// The step, as soon as its machine runs.
    pub fn started(&self) -> Running<'_> {
        let step = self.runner.start();
        let runs = || self.cloud.left().iter().any(|one| one.ends_with("running"));
        wait_for("the machine", runs);
        step
    }

    /// An interrupt is enough: in time, everything is undone.
    pub fn undoes_all_when_cancelled(&self) {
        let step = self.started();
        let asked = Instant::now();
        let step = step.cancel().failed();
        assert!(asked.elapsed() < Duration::from_millis(7500), "{:?}", asked.elapsed());
        assert_eq!(step.outputs["result"], "cancelled");
        assert_eq!(self.cloud.left(), BTreeSet::new());
        let post = self.runner.post(&step).succeeded();
        assert!(post.log.open().contains("There is nothing to clean up."), "{:#?}", post.log);
    }
}

#[test]
fn an_interrupt_is_enough_to_leave_nothing() {
    Long::new().undoes_all_when_cancelled();
}

/// Moments of a build: its steps, which the log says as they begin where it is for debugging, and
/// its scripts, of which each makes a file.
#[derive(Debug)]
enum Moment {
    Step(String),
    Script(&'static str),
}

const SCRIPTS: [&str; 3] = ["provision-there", "provision-here", "post-process"];

/// A build that is soon done.
fn short(bed: &Bed) -> Runner {
    let runner = Runner::new("build").vars(bed.moto.environment()).var("RUNNER_DEBUG", "1");
    let [there, here, after] =
        SCRIPTS.map(|name| format!("touch {}; sleep 0.5", runner.program.path(name).display()));
    let template = amazon(bed, &there).trim_end().trim_end_matches('}').to_owned();
    let rest = format!(
        "  provisioner \"shell-local\" {{ inline = [\"{here}\"] }}\n  post-processor \"shell-local\" {{ inline = [\"{after}\"] }}\n}}\n"
    );
    runner.file("web.pkr.hcl", template + &rest)
}

/// The steps of a build, as the log says that they begin.
fn steps(log: &[String]) -> impl Iterator<Item = String> {
    let begins = Regex::new("step started build=\"[^\"]+\" step=\"[^\"]+\"").unwrap();
    log.iter().filter_map(move |line| Some(begins.find(line)?.as_str().to_owned()))
}

/// The AMIs of a build that was finished before it was cancelled.
fn made(step: &Step) -> BTreeSet<String> {
    let ids = step.json("ami-ids");
    let ids = ids.as_object().unwrap().values().filter_map(Json::as_object);
    ids.flat_map(|ids| ids.values().map(|id| id.as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_cancellation_at_any_step_leaves_nothing_when_the_job_has_ended() {
    let clouds: Vec<_> = (0..3).map(|_| Blocking::start()).collect();
    let bed = &clouds[0].cloud.bed;
    let undisturbed = short(bed).run().succeeded();
    clouds[0].remove(&made(&undisturbed));
    let steps = steps(&undisturbed.log.debug).map(Moment::Step);
    let moments: Vec<_> = steps.chain(SCRIPTS.map(Moment::Script)).collect();
    assert!(moments.len() > 15 + SCRIPTS.len(), "{moments:#?}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for cloud in &clouds {
            scope.spawn(|| {
                while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
                    cancelled_at(cloud, moment);
                }
            });
        }
    });
}

fn cancelled_at(cloud: &Blocking, moment: &Moment) {
    let runner = short(&cloud.cloud.bed);
    let mut step = runner.start();
    match moment {
        Moment::Step(line) => assert!(step.prints(line), "{moment:?} never came"),
        Moment::Script(name) => wait_for(name, || runner.program.path(name).exists()),
    }
    let step = step.cancel();
    assert_eq!(step.outputs["result"], "cancelled", "{moment:?}: {:#?}", step.log);
    runner.post(&step).succeeded();
    cloud.remove(&made(&step));
    assert_eq!(cloud.left(), BTreeSet::new(), "{moment:?}: {:#?}", step.log);
}

fn wait_for(what: &str, has_come: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has_come() {
        assert!(Instant::now() < deadline, "{what} never came");
        pause(20);
    }
}

#[test]
fn what_a_killed_step_leaves_the_end_of_the_job_removes() {
    let long = Long::new();
    let step = long.started().kill();
    assert!(!long.cloud.left().is_empty());
    let post = long.runner.post(&step).succeeded();
    assert!(post.log.open().contains("Nothing is left of the run"), "{:#?}", post.log);
    assert_eq!(long.cloud.left(), BTreeSet::new());
}

#[test]
fn the_end_of_the_job_waits_for_a_step_that_is_still_alive() {
    let long = Long::new();
    let running = long.started();
    let step = Step { state: running.state(), ..Step::default() };
    let post = std::thread::scope(|scope| {
        let post = scope.spawn(|| long.runner.post(&step));
        pause(1500);
        signal(&running.child, "KILL");
        post.join().unwrap().succeeded()
    });
    drop(running.kill());
    let open = post.log.open();
    assert!(open.contains("which is still alive") && open.contains("Nothing is left"), "{open}");
    assert_eq!(long.cloud.left(), BTreeSet::new());
}

#[test]
fn a_time_limit_ends_a_build_while_there_is_time_to_clean_up() {
    let long = Long::new();
    let runner = long.runner;
    let runner = runner.with("timeout", "3s");
    let step = runner.run().failed();
    assert!(step.log.open().contains("The time limit of 3s is over"), "{:#?}", step.log);
    assert_eq!(step.outputs["result"], "cancelled");
    let told = &step.log.annotations.last().unwrap().message;
    assert!(told.contains("was cancelled after") && told.contains("time limit"), "{told}");
    assert!(step.summary.contains("the build was cancelled"), "{}", step.summary);
}
