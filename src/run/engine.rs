//! Runs all builds of a plan at the same time, each on its own task.

use std::sync::Arc;
use std::time::Instant;

use futures::future;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::build::{self, Shared};
use super::outcome::{BuildOutcome, Outcome, RunRequest};
use crate::event::{Message, Ui};
use crate::fault::{Fault, Kind};
use crate::plan::{Plan, PlannedBuild};
use crate::retry;
use crate::secret::Redactor;
use crate::stop::{Cause, Stop};

/// Runs all builds of `plan` and waits for all of them. When it shall `stop`, no further build
/// starts, and those that run undo what they did.
pub async fn execute(
    plan: Plan,
    request: &RunRequest,
    ui: Ui,
    redactor: Redactor,
    stop: Stop,
) -> Outcome {
    let started = Instant::now();
    ui.send(Message::BuildsPlanned(plan.builds.iter().map(|one| one.name.clone()).collect()));
    let shared = Shared { request: Arc::new(request.clone()), ui, redactor, stop };
    let tasks = start_in_order(plan.builds, &shared).await;
    let finished = tasks.into_iter().map(|task| task.finished(shared.stop.cause()));
    let builds = future::join_all(finished).await;
    Outcome {
        builds,
        took: started.elapsed(),
        stopped: shared.stop.cause(),
        left_behind: request.journal.left_behind(),
        kept: request.journal.reserved(),
        untouched: request.journal.untouched(),
    }
}

/// A build that has started, or never will.
struct BuildTask {
    name: String,
    task: Option<JoinHandle<BuildOutcome>>,
}

/// Starts each build as soon as it may run, in the order of the plan.
async fn start_in_order(builds: Vec<PlannedBuild>, shared: &Shared) -> Vec<BuildTask> {
    let slots = Arc::new(Semaphore::new(slots(&shared.request)));
    let mut tasks = Vec::with_capacity(builds.len());
    for planned in builds {
        let name = planned.name.clone();
        let cancel = shared.stop.token();
        let slot = retry::or_cancelled(cancel, slots.clone().acquire_owned()).await;
        // The slot may have come free because of the interruption.
        let slot = slot.ok().filter(|_| !cancel.is_cancelled());
        let task = slot.map(|slot| {
            let shared = shared.clone();
            tokio::spawn(async move {
                let _held_until_the_end = slot;
                build::run(planned, shared).await
            })
        });
        tasks.push(BuildTask { name, task });
    }
    tasks
}

/// How many builds may run at a time.
fn slots(request: &RunRequest) -> usize {
    let wanted = if request.debug { Some(1) } else { request.parallel_builds };
    wanted.unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS)
}

impl BuildTask {
    async fn finished(self, stopped: Option<Cause>) -> BuildOutcome {
        let (error, fault) = match self.task {
            None => {
                let why = stopped.unwrap_or(Cause::Interrupted);
                let error = anyhow::anyhow!("not started: the run was {why} before its turn");
                (error, build::INTERRUPTED)
            }
            Some(task) => match task.await {
                Ok(outcome) => return outcome,
                // `build::run` catches what panics in a build; this is the runtime going down.
                Err(error) => {
                    let error = anyhow::Error::from(error).context("the build was cut off");
                    (error, Fault::lasting(Kind::Imgbake))
                }
            },
        };
        let (took, artifacts) = Default::default();
        let (error, fault) = (Some(error), Some(fault));
        BuildOutcome { name: self.name, took, artifacts, error, fault }
    }
}
