//! A step = do + undo. [`Steps`] runs them forward, remembers each *before* it starts, and undoes
//! them backward; an undo that fails is written into the [`Ledger`](crate::ledger::Ledger), never
//! swallowed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::component::{BuildContext, OnError};
use crate::event::Message;
use crate::ledger::Entry;
use crate::retry::Cancelled;

/// How the steps ended: some undo only what a failed build must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps did what they should.
    Done,
    /// A step failed or the run was interrupted.
    Failed,
}

impl Ending {
    /// How steps ended that gave `result`.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
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

    /// What exists from now on that must be undone, for people; `None`: nothing outside of us.
    fn makes(&self) -> Option<String> {
        None
    }

    /// Does it. A call that changes something is always awaited to its end; waits between calls
    /// stop when `cx.cancel` fires.
    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Self::Output>;

    /// Takes it back, as far as it happened. May be called after a failed or partial `run`, and
    /// may be called twice.
    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether the undo need not wait for the undo of the steps that came later: such undos start
    /// at once, beside the others, because an interrupted run may have only seconds left.
    fn stands_alone(&self) -> bool {
        false
    }
}

/// A step without its output type, as the undo stack holds it.
#[async_trait]
trait Undo: Send + Sync {
    fn name(&self) -> &'static str;
    fn makes(&self) -> Option<String>;
    fn stands_alone(&self) -> bool;
    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()>;
}

#[async_trait]
impl<S: Step> Undo for S {
    fn name(&self) -> &'static str {
        Step::name(self)
    }
    fn makes(&self) -> Option<String> {
        Step::makes(self)
    }
    fn stands_alone(&self) -> bool {
        Step::stands_alone(self)
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
    started: Mutex<Vec<Started>>,
    aborted: AtomicBool,
}

/// A step that may have to be undone, and its line in the ledger.
type Started = (Arc<dyn Undo>, Option<Entry>);

impl<'a> Steps<'a> {
    /// No step yet.
    pub fn new(cx: &'a BuildContext) -> Self {
        Self { cx, started: Mutex::default(), aborted: AtomicBool::new(false) }
    }

    /// Runs `step`. Where it fails, `-on-error` is obeyed: `ask` may have it run again.
    pub async fn run<S: Step + 'static>(&self, step: S) -> anyhow::Result<S::Output> {
        let name = Step::name(&step);
        if self.cx.cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        let step = Arc::new(step);
        self.remember(step.clone());
        let result = loop {
            let result = self.run_once(&*step, name).await;
            match &result {
                Err(error) if self.wants_retry(name, error).await => {}
                _ => break result,
            }
        };
        if result.is_ok() {
            self.pause(&format!("Pausing after run of step '{name}'. Press enter to continue."))
                .await;
        }
        result
    }

    fn remember(&self, step: Arc<dyn Undo>) {
        let made = step.makes().map(|what| self.cx.ledger.enter(&self.cx.facts.build_name, what));
        let mut started = self.started.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        started.push((step, made));
    }

    async fn run_once<S: Step>(&self, step: &S, name: &'static str) -> anyhow::Result<S::Output> {
        let started = Instant::now();
        self.cx.ui.send(Message::StepStarted(name.to_owned()));
        let result = step.run(self.cx).await;
        let (took, ok) = (started.elapsed(), result.is_ok());
        self.cx.ui.send(Message::StepFinished { step: name.to_owned(), took, ok });
        result
    }

    /// What `-on-error` makes of a failed step.
    async fn wants_retry(&self, name: &str, error: &anyhow::Error) -> bool {
        if self.cx.cancel.is_cancelled() {
            return false;
        }
        match self.cx.on_error {
            OnError::Cleanup => false,
            OnError::Abort | OnError::RunCleanupProvisioner => {
                self.aborted.store(true, Ordering::Relaxed);
                self.cx.ui.error(format!("Step \"{name}\" failed, aborting..."));
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
            let Ok(answer) = crate::retry::or_cancelled(&self.cx.cancel, asked).await else {
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

    /// With `-debug`, waits for the person at the terminal.
    async fn pause(&self, question: &str) {
        if self.cx.facts.debug {
            // An interruption shows at the next step.
            let _ = crate::retry::or_cancelled(&self.cx.cancel, self.cx.ui.ask(question)).await;
        }
    }

    /// Undoes all steps that started: the last first, and those that
    /// [stand alone](Step::stands_alone) beside the others. Nothing interrupts this.
    pub async fn undo(self, ending: Ending) {
        let cx = BuildContext { cancel: CancellationToken::new(), ..self.cx.clone() };
        let started = self.started.lock().map(|mut steps| std::mem::take(&mut *steps));
        let started =
            started.unwrap_or_else(|poisoned| std::mem::take(&mut *poisoned.into_inner()));
        // A person who watches each step sees one at a time.
        let (alone, chain): (Vec<_>, Vec<_>) =
            started.iter().rev().partition(|(step, _)| step.stands_alone() && !cx.facts.debug);
        let in_order = async {
            for started in chain {
                self.undo_one(&cx, started, ending).await;
            }
        };
        let beside = alone.into_iter().map(|started| self.undo_one(&cx, started, ending));
        futures::future::join(in_order, futures::future::join_all(beside)).await;
    }

    async fn undo_one(&self, cx: &BuildContext, (step, made): &Started, ending: Ending) {
        let name = step.name();
        if self.aborted.load(Ordering::Relaxed) {
            cx.ui.error(format!("aborted: skipping cleanup of step \"{name}\""));
            return;
        }
        self.pause(&format!("Pausing before cleanup of step '{name}'. Press enter to continue."))
            .await;
        let undone = step.undo(cx, ending).await;
        match undone.with_context(|| format!("cannot undo step \"{name}\"")) {
            Ok(()) => made.iter().for_each(|entry| cx.ledger.gone(entry)),
            Err(error) => {
                cx.ui.error(format!("{error:#}"));
                if let Some(entry) = made {
                    cx.ledger.stuck(entry, format!("{error:#}"));
                }
            }
        }
    }
}
