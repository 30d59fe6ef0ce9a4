//! A step does something and can undo it. [`Steps`] runs them in order. It writes what each will make
//! into the [`Journal`](crate::journal) *before* the step starts, and undoes them in reverse. A failed
//! undo is written down. Every undo has a time limit, and independent undos run in parallel.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::component::{BuildContext, OnError};
use crate::event::{Message, Phase};
use crate::fault::{Fault, Kind};
use crate::journal::Thing;
use crate::retry::{self, Cancelled};
use crate::stop::{Cause, Share};

/// How the build ended. An undo may depend on it: a product is removed only after `Failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps did what they should.
    Done,
    /// A step failed or the run was interrupted.
    Failed,
}

impl Ending {
    /// How steps ended that gave `result`.
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Done } else { Self::Failed }
    }
}

/// One step of a build.
///
/// Names and tokens of what it makes are chosen when it is constructed, so that [`undo`](Self::undo)
/// can find what a half-finished or unanswered [`run`](Self::run) made.
#[async_trait]
pub trait Step: Send + Sync {
    /// What the step gives to those after it.
    type Output: Send;

    /// How messages call it.
    fn name(&self) -> &'static str;

    /// The part of the build that it belongs to.
    fn phase(&self) -> Phase {
        Phase::Prepare
    }

    /// What exists from now on outside of us that must be undone. Asked before `run`, and after it
    /// for what was decided only then; the step tells the journal ids as soon as it hears them.
    fn makes(&self) -> Vec<Arc<Thing>> {
        Vec::new()
    }

    /// Does it. A call that changes something is always awaited to its end; waits between calls
    /// stop when `cx.cancel` fires.
    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Self::Output>;

    /// Takes it back, as far as it happened. May be called after a failed or partial `run`, and
    /// may be called twice.
    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether the undo need not wait for the undo of the steps that came later, nor they for it:
    /// such undos start at once, beside the others, because an interrupted run may have only
    /// seconds left.
    fn undoes_independently(&self) -> bool {
        false
    }

    /// How long the undo may take. Then it is dropped, and has failed.
    fn undo_limit(&self, _cx: &BuildContext) -> Duration {
        UNDO_LIMIT
    }
}

/// How long an undo may take of which its step says nothing: longer than clouds take.
pub const UNDO_LIMIT: Duration = Duration::from_secs(10 * 60);

/// A step without its output type, as the undo stack holds it.
#[async_trait]
trait Undo: Send + Sync {
    fn name(&self) -> &'static str;
    fn makes(&self) -> Vec<Arc<Thing>>;
    fn undoes_independently(&self) -> bool;
    fn undo_limit(&self, cx: &BuildContext) -> Duration;
    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()>;
}

#[async_trait]
impl<S: Step> Undo for S {
    fn name(&self) -> &'static str {
        Step::name(self)
    }
    fn makes(&self) -> Vec<Arc<Thing>> {
        Step::makes(self)
    }
    fn undoes_independently(&self) -> bool {
        Step::undoes_independently(self)
    }
    fn undo_limit(&self, cx: &BuildContext) -> Duration {
        Step::undo_limit(self, cx)
    }
    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        Step::undo(self, cx, ending).await
    }
}

/// The steps of one build that have started, in order.
///
/// Steps that do not need each other may run at the same time: `join!` several calls of
/// [`run`](Self::run). (Never `try_join!`: it would drop a step in the middle of a call.)
pub struct Steps<'a> {
    cx: &'a BuildContext,
    started: Mutex<Vec<Arc<dyn Undo>>>,
    /// Whether nothing is undone.
    aborted: Arc<AtomicBool>,
}

impl<'a> Steps<'a> {
    /// No step yet.
    pub fn new(cx: &'a BuildContext) -> Self {
        Self { cx, started: Mutex::default(), aborted: Arc::default() }
    }

    /// Steps that come and go within these: an abort is one of both.
    pub fn within(&self) -> Self {
        Self { cx: self.cx, started: Mutex::default(), aborted: self.aborted.clone() }
    }

    fn started(&self) -> MutexGuard<'_, Vec<Arc<dyn Undo>>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what `step` makes; what was written before is not written again.
    async fn write_down(&self, step: &impl Step) -> anyhow::Result<()> {
        let made = self.cx.journal.intend(&self.cx.facts.unique_name, step.makes()).await;
        made.context("nothing is made that cannot be written into the journal (see -state-dir)")
    }

    /// Runs `step`. Where it fails, `-on-error` is obeyed: `ask` may have it run again.
    pub async fn run<S: Step + 'static>(&self, step: S) -> anyhow::Result<S::Output> {
        let name = Step::name(&step);
        if self.cx.cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        let step = Arc::new(step);
        self.started().push(step.clone());
        self.write_down(&*step).await?;
        let result = loop {
            let result = self.run_once(&*step, name).await;
            // What it makes may have been decided only now.
            let written = self.write_down(&*step).await;
            let result = result.and_then(|output| written.map(|()| output));
            match &result {
                Err(error) if self.handle_failure(name, error).await => {}
                _ => break result,
            }
        };
        if result.is_ok() {
            pause(
                self.cx,
                &format!("Pausing after run of step '{name}'. Press enter to continue."),
            )
            .await;
        }
        result
    }

    async fn run_once<S: Step>(&self, step: &S, name: &'static str) -> anyhow::Result<S::Output> {
        let started = Instant::now();
        self.cx.ui.send(Message::StepStarted { step: name.to_owned(), phase: step.phase() });
        let result = caught(step.run(self.cx)).await;
        let (took, ok) = (started.elapsed(), result.is_ok());
        self.cx.ui.send(Message::StepFinished { step: name.to_owned(), took, ok });
        result
    }

    /// What `-on-error` makes of a failed step.
    async fn handle_failure(&self, name: &str, error: &anyhow::Error) -> bool {
        let interrupted = self.cx.cancel.is_cancelled();
        match self.cx.on_error {
            OnError::Cleanup => false,
            OnError::Ask if interrupted => false,
            OnError::Abort | OnError::RunCleanupProvisioner => {
                if !self.aborted.swap(true, Ordering::Relaxed) {
                    self.cx.ui.error(format!("{error:#}"));
                }
                self.cx.ui.error(match self.cx.stop.cause() {
                    Some(Cause::TimeLimit) => "Stopped at the time limit, aborting...".to_owned(),
                    _ if interrupted => "Interrupted, aborting...".to_owned(),
                    _ => format!("Step \"{name}\" failed, aborting..."),
                });
                false
            }
            OnError::Ask => {
                self.cx.ui.error(format!("Step \"{name}\" failed: {error:#}"));
                self.ask().await
            }
        }
    }

    async fn ask(&self) -> bool {
        const QUESTION: &str = "[c] Clean up and exit, [a] abort without cleanup, or [r] retry step (build may fail even if retry succeeds)?";
        loop {
            let asked = self.cx.ui.ask(QUESTION);
            let Ok(answer) = retry::or_cancelled(&self.cx.cancel, asked).await else {
                return false;
            };
            match answer.unwrap_or_default().trim_start().chars().next() {
                None | Some('c') => return false,
                Some('r') => return true,
                Some('a') => {
                    self.aborted.store(true, Ordering::Relaxed);
                    return false;
                }
                Some(_) => {}
            }
        }
    }

    /// Runs `work`, then undoes the steps. A panic counts as a failure. If the run was stopped, that is
    /// the error that is returned, even if `work` succeeded or failed for another reason: the reason was
    /// the stop.
    pub async fn finish<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut result = tokio::select! {
            result = caught(work) => result,
            () = self.cx.stop.used(Share::Working) => {
                self.doubt();
                Err(anyhow!("it did not end when it was asked to"))
            }
        };
        if self.cx.cancel.is_cancelled() {
            if let Err(error) = result {
                tracing::debug!(
                    build = self.cx.facts.unique_name,
                    "when it was stopped: {error:#}"
                );
            }
            result = Err(self.cx.stop.cause().map_or_else(|| Cancelled.into(), Into::into));
        }
        self.undo(Ending::of(&result)).await;
        result
    }

    /// Marks what has no id yet: its call may have been cut off, so the thing may exist.
    fn doubt(&self) {
        let made = self.started().iter().flat_map(|step| step.makes()).collect::<Vec<_>>();
        let unknown = |thing: &&Arc<Thing>| thing.is_attempted() && thing.id().is_none();
        made.iter().filter(unknown).for_each(|thing| thing.doubt());
    }

    /// Undoes all steps that started: the last first, and those that are
    /// [undone independently](Step::undoes_independently) beside the others. Nothing interrupts this.
    ///
    /// After a failure the error-cleanup provisioner runs before anything is undone.
    async fn undo(&self, ending: Ending) {
        let cx = BuildContext { cancel: CancellationToken::new(), ..self.cx.clone() };
        let aborted = self.aborted.load(Ordering::Relaxed);
        if ending == Ending::Failed && (!aborted || cx.on_error == OnError::RunCleanupProvisioner) {
            cx.provisioning.after_failure(&cx).await;
        }
        let started = std::mem::take(&mut *self.started());
        if ending == Ending::Done {
            self.hand_over(&started).await;
        }
        if aborted {
            for skipped in started.iter().rev() {
                let name = skipped.name();
                let text = format!("aborted: skipping cleanup of step \"{name}\"");
                cx.ui.send(Message::Left(text));
            }
            return;
        }
        let begun = Instant::now();
        cx.ui.send(Message::PhaseStarted(Phase::Cleanup));
        // A person who watches each step sees one at a time.
        let (alone, chain): (Vec<_>, Vec<_>) =
            started.iter().rev().partition(|one| one.undoes_independently() && !cx.facts.debug);
        let in_order = async {
            let mut ok = true;
            for one in chain {
                ok &= self.undo_one(&cx, &**one, ending).await;
            }
            ok
        };
        let beside = alone.into_iter().map(|one| self.undo_one(&cx, &**one, ending));
        let (in_order, beside) =
            futures::future::join(in_order, futures::future::join_all(beside)).await;
        let (step, took) = ("clean up".to_owned(), begun.elapsed());
        let ok = in_order && beside.into_iter().all(|ok| ok);
        cx.ui.send(Message::StepFinished { step, took, ok });
        cx.ui.send(Message::PhaseFinished { ok });
    }

    /// The build ended well: what it was for is nobody's garbage any more.
    async fn hand_over(&self, started: &[Arc<dyn Undo>]) {
        let made: Vec<_> = started.iter().flat_map(|step| step.makes()).collect();
        if let Err(error) = self.cx.journal.done(&made).await {
            self.cx.ui.error(format!("the journal does not say that the build is done: {error}"));
        }
    }

    /// Whether nothing is left of it.
    async fn undo_one(&self, cx: &BuildContext, step: &dyn Undo, ending: Ending) -> bool {
        let name = step.name();
        pause(
            self.cx,
            &format!("Pausing before cleanup of step '{name}'. Press enter to continue."),
        )
        .await;
        let undone = caught(undo_in_time(cx, step, ending)).await;
        let made = step.makes();
        match undone.with_context(|| format!("cannot undo step \"{name}\"")) {
            Ok(()) => {
                let gone = made.iter().filter(|thing| !cx.journal.is_reserved(thing));
                gone.for_each(|thing| cx.journal.gone(thing));
                true
            }
            Err(error) => {
                let why = format!("{error:#}");
                made.iter().for_each(|thing| cx.journal.mark_failed(thing, why.as_str()));
                cx.ui.error(why);
                false
            }
        }
    }
}

/// Undoes `step`, but not for ever; says so where it takes a while.
async fn undo_in_time(cx: &BuildContext, step: &dyn Undo, ending: Ending) -> anyhow::Result<()> {
    let undo = retry::told(step.undo(cx, ending), || {
        let made = step.makes().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let made = if made.is_empty() { made } else { format!(": {made}") };
        cx.ui.say(format!("Waiting for the cleanup of step \"{}\"{made}", step.name()));
    });
    let limit = step.undo_limit(cx);
    match tokio::time::timeout(limit, undo).await {
        Ok(undone) => undone,
        Err(_) => bail!("it was not done within {limit:?}"),
    }
}

/// `future`, with a panic as an error: what was done so far is undone all the same.
async fn caught<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let error = anyhow!("a mistake in imgbake itself: {}", panic_text(&*panic));
            Err(Fault::lasting(Kind::Imgbake).mark(error))
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

/// A place for what a step holds between its run and its undo.
#[derive(Debug)]
pub struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    /// Puts `thing` there.
    pub fn keep(&self, thing: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(thing);
    }

    /// Takes it out, if it is there.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// With `-debug`, waits for the person at the terminal.
pub async fn pause(cx: &BuildContext, question: &str) {
    if cx.facts.debug {
        // An interruption shows at the next step.
        let _ = retry::or_cancelled(&cx.cancel, cx.ui.ask(question)).await;
    }
}

/// Removes the file `path`; it is no error if it is gone already.
pub async fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
