//! The provisioners of one build, each in its wrapping: pause or time limit, then retries, then
//! `continue_on_error`.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::contents::{Moment, PackageSurvey};
use super::ending::{limited, unusable};
use super::image_tests::{ImageTests, PlannedTest};
use super::machine::{Machine, blame};
use super::outcome::{Located, RunRequest};
use crate::component::{BuildContext, Checkpoints, Communicator, Provisioning};
use crate::config::GoDuration;
use crate::event::{Message, Phase};
use crate::interpolate::BuildData;
use crate::plan::PlannedProvisioner;
use crate::retry::{self, Cancelled};
use crate::stop::Share;

/// How long the error-cleanup provisioner may take, unless its `timeout` is longer. The machine that
/// it waits for costs money.
const ERROR_CLEANUP_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The provisioners of one build.
pub(super) struct Provisioners {
    planned: Vec<PlannedProvisioner>,
    error_cleanup: Option<PlannedProvisioner>,
    request: Arc<RunRequest>,
    /// What the machine has inside, before and after.
    survey: Arc<PackageSurvey>,
    tests: ImageTests,
    /// The machine that provisioning failed on, for the error-cleanup provisioner.
    failed_machine: Mutex<Option<Machine>>,
    /// How many of `planned` have done their work on the machine in an earlier run.
    already_done: AtomicUsize,
    /// Takes the machine's state between two of them, if somebody wants that.
    checkpoints: Mutex<Option<Arc<dyn Checkpoints>>>,
    /// How many had done it when the next one failed.
    done_when_failed: Mutex<Option<usize>>,
}

impl Provisioners {
    /// Runs `planned` in their order, and `error_cleanup` where one of them failed, for `request`;
    /// `survey` asks the machine before and after. The image must pass `tests`.
    pub fn new(
        planned: Vec<PlannedProvisioner>,
        error_cleanup: Option<PlannedProvisioner>,
        tests: Vec<PlannedTest>,
        request: Arc<RunRequest>,
        survey: Arc<PackageSurvey>,
    ) -> Self {
        Self {
            planned,
            error_cleanup,
            request,
            survey,
            tests: ImageTests::of(tests),
            failed_machine: Mutex::default(),
            already_done: AtomicUsize::default(),
            checkpoints: Mutex::default(),
            done_when_failed: Mutex::default(),
        }
    }

    fn failed_machine(&self) -> MutexGuard<'_, Option<Machine>> {
        self.failed_machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done_when_failed(&self) -> MutexGuard<'_, Option<usize>> {
        self.done_when_failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkpoints(&self) -> MutexGuard<'_, Option<Arc<dyn Checkpoints>>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run_all(&self, cx: &BuildContext, machine: &Machine) -> anyhow::Result<()> {
        let before = self.already_done.load(Ordering::Relaxed);
        *self.done_when_failed() = None;
        for (done, planned) in self.planned.iter().enumerate().skip(before) {
            if cx.cancel.is_cancelled() {
                return Err(Cancelled.into());
            }
            if cx.facts.debug {
                let question = "Pausing before the next provisioner. Press enter to continue.";
                retry::or_cancelled(&cx.cancel, cx.ui.ask(question)).await?;
            }
            let checkpoints = self.checkpoints().clone();
            if let Some(checkpoints) = checkpoints {
                checkpoints.take(cx, done).await;
            }
            let name = planned.name.as_ref().unwrap_or(&planned.kind);
            let result = self.run_one(cx, machine, planned, Phase::Provision(name.clone())).await;
            // One that was stopped has not failed by itself.
            if result.is_err() && !cx.cancel.is_cancelled() {
                *self.done_when_failed() = Some(done);
            }
            result?;
        }
        Ok(())
    }

    /// Runs one provisioner with its retries; `continue_on_error` turns a failure into a warning.
    async fn run_one(
        &self,
        cx: &BuildContext,
        machine: &Machine,
        planned: &PlannedProvisioner,
        phase: Phase,
    ) -> anyhow::Result<()> {
        cx.ui.send(Message::PhaseStarted(phase));
        let result = with_retries(cx, machine, planned).await;
        cx.ui.send(Message::PhaseFinished { ok: result.is_ok() });
        let Err(error) = result else { return Ok(()) };
        if planned.continue_on_error && !cx.cancel.is_cancelled() {
            cx.ui.error(format!(
                "Warning: Provisioner failed with \"{error:#}\", but continue_on_error is set; continuing the build."
            ));
            return Ok(());
        }
        let place = self.request.sources.locate(planned.span);
        let what = format!("the provisioner {} failed", called(planned));
        let fault = blame(&error);
        Err(error.context(Located { place, what, fault }))
    }
}

#[async_trait]
impl Provisioning for Provisioners {
    async fn provision(
        &self,
        cx: &BuildContext,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()> {
        let machine = Machine::new(cx, &self.request, communicator, data);
        // On the machine of an earlier run, nobody knows how it began.
        if self.already_done.load(Ordering::Relaxed) == 0 {
            self.survey.look(cx, &*machine.communicator, Moment::Before).await;
        }
        let result = self.run_all(cx, &machine).await;
        if result.is_ok() {
            self.survey.look(cx, &*machine.communicator, Moment::After).await;
        }
        *self.failed_machine() = result.is_err().then_some(machine);
        result
    }

    fn has_tests(&self) -> bool {
        !self.tests.is_empty()
    }

    async fn test(
        &self,
        cx: &BuildContext,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()> {
        let machine = Machine::new(cx, &self.request, communicator, data);
        self.tests.run(cx, &machine, &self.request).await
    }

    fn image_failed(&self, cx: &BuildContext) {
        self.tests.image_failed(cx);
    }

    fn keeps_failed_image(&self) -> bool {
        self.tests.failed_stays()
    }

    fn begin_after(&self, done: usize) {
        self.already_done.store(done, Ordering::Relaxed);
        *self.done_when_failed() = None;
        self.tests.begin_anew();
    }

    fn take_checkpoints(&self, checkpoints: Arc<dyn Checkpoints>) {
        *self.checkpoints() = Some(checkpoints);
    }

    fn done_before_failure(&self) -> Option<usize> {
        *self.done_when_failed()
    }

    async fn after_failure(&self, cx: &BuildContext) {
        let failed = self.failed_machine().take();
        let (Some(machine), Some(planned)) = (failed, &self.error_cleanup) else { return };
        cx.ui.say("Provisioning step had errors: Running the cleanup provisioner, if present...");
        let cx = BuildContext { cancel: CancellationToken::new(), ..cx.clone() };
        let run = self.run_one(&cx, &machine, planned, Phase::Cleanup);
        if let Err(error) = ended_in_time(&cx, planned, run).await {
            cx.ui.error(format!("the error-cleanup provisioner failed, too: {error:#}"));
        }
    }
}

/// Awaits the error-cleanup provisioner; when its time is over, it is cancelled like any other.
async fn ended_in_time(
    cx: &BuildContext,
    planned: &PlannedProvisioner,
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut run = pin!(run);
    let limit = planned.timeout.unwrap_or_default().max(ERROR_CLEANUP_LIMIT);
    let why = tokio::select! {
        result = &mut run => return result,
        () = tokio::time::sleep(limit) => format!("it was not done within {}", GoDuration::from(limit)),
        () = cx.stop.used(Share::Working) => "an interrupted run has no more time for it".to_owned(),
    };
    cx.cancel.cancel();
    run.await.context(why)
}

/// `shell`, or `"install" (shell)` for one that has a name.
fn called(planned: &PlannedProvisioner) -> String {
    match &planned.name {
        Some(name) if *name != planned.kind => format!("\"{name}\" ({})", planned.kind),
        _ => planned.kind.clone(),
    }
}

/// Where all tries fail, the first one's error counts: the later ones often only follow from it.
async fn with_retries(
    cx: &BuildContext,
    machine: &Machine,
    planned: &PlannedProvisioner,
) -> anyhow::Result<()> {
    let Err(first) = attempt(cx, machine, planned).await else { return Ok(()) };
    let mut latest = format!("{first:#}");
    for left in (1..=planned.max_retries).rev() {
        if cx.cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        cx.ui.say(format!(
            "Provisioner failed with \"{latest}\", retrying with {left} trie(s) left"
        ));
        match attempt(cx, machine, planned).await {
            Ok(()) => return Ok(()),
            Err(error) => latest = format!("{error:#}"),
        }
    }
    if planned.max_retries > 0 {
        cx.ui.say("retry limit reached.");
    }
    Err(first)
}

/// One try: the component is made anew with the machine's data, after its pause or within its
/// time limit.
async fn attempt(
    cx: &BuildContext,
    machine: &Machine,
    planned: &PlannedProvisioner,
) -> anyhow::Result<()> {
    let pause = planned.pause_before;
    if !pause.is_zero() {
        cx.ui.say(format!("Pausing {} before the next provisioner...", GoDuration::from(pause)));
        retry::sleep(&cx.cancel, pause).await?;
    }
    let limit = planned.timeout.filter(|_| pause.is_zero());
    if let Some(limit) = limit {
        let limit = GoDuration::from(limit);
        cx.ui.say(format!("Setting a {limit} timeout for the next provisioner..."));
    }
    let (component, _shown_by_the_plan) = (planned.recipe)(&machine.data).map_err(unusable)?;
    let context = machine.context(cx);
    limited(component.provision(&context), &context.cancel, limit, &cx.stop).await
}
