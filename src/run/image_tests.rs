//! The tests of a build's image: post-processors that look at a machine which was started from it.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::ending::{limited, unusable};
use super::machine::{Machine, blame};
use super::outcome::{Located, RunRequest};
use crate::component::{BuildContext, PostProcessor};
use crate::event::{Message, Phase};
use crate::plan::{PlannedPostProcessor, Recipe};
use crate::source::Span;

/// The post-processors that test the image of one build before all others see it.
pub(super) struct ImageTests {
    planned: Vec<PlannedTest>,
    /// Whether the first of them has begun.
    have_begun: AtomicBool,
    /// Whether the image has failed, and stays.
    failed_stays: AtomicBool,
}

/// A post-processor that tests the image.
pub(super) struct PlannedTest {
    /// What messages call it.
    pub name: String,
    /// Where it was written.
    pub span: Span,
    /// Makes it.
    pub recipe: Recipe<dyn PostProcessor>,
    /// Whether an image that fails stays.
    pub keep_failed: bool,
}

impl PlannedTest {
    /// Those of `chains`.
    pub fn of(chains: &[Vec<PlannedPostProcessor>]) -> Vec<Self> {
        let planned = chains.iter().flatten().filter_map(|one| {
            let keep_failed = one.first.image_test()?.keep_failed;
            let name = one.name.as_ref().unwrap_or(&one.kind).clone();
            Some(Self { name, span: one.span, recipe: one.recipe.clone(), keep_failed })
        });
        planned.collect()
    }
}

impl ImageTests {
    /// Those that are `planned`, of which none has begun.
    pub fn of(planned: Vec<PlannedTest>) -> Self {
        Self { planned, have_begun: AtomicBool::default(), failed_stays: AtomicBool::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Whether the image has failed, and stays.
    pub fn failed_stays(&self) -> bool {
        self.failed_stays.load(Ordering::Relaxed)
    }

    /// As if none had begun.
    pub fn begin_anew(&self) {
        self.have_begun.store(false, Ordering::Relaxed);
        self.failed_stays.store(false, Ordering::Relaxed);
    }

    /// Runs them in their order on `machine`; the first that fails is the last.
    pub async fn run(
        &self,
        cx: &BuildContext,
        machine: &Machine,
        request: &RunRequest,
    ) -> anyhow::Result<()> {
        self.have_begun.store(true, Ordering::Relaxed);
        for planned in &self.planned {
            cx.ui.send(Message::PhaseStarted(Phase::Test(planned.name.clone())));
            let tested = self.run_one(cx, machine, planned, request).await;
            cx.ui.send(Message::PhaseFinished { ok: tested.is_ok() });
            tested?;
        }
        Ok(())
    }

    async fn run_one(
        &self,
        cx: &BuildContext,
        machine: &Machine,
        planned: &PlannedTest,
        request: &RunRequest,
    ) -> anyhow::Result<()> {
        let (component, _shown_by_the_plan) = (planned.recipe)(&machine.data).map_err(unusable)?;
        let test = component.image_test().context("it tests nothing")?;
        let context = machine.context(cx);
        let tested =
            limited(test.checks.provision(&context), &context.cancel, None, &cx.stop).await;
        let Err(error) = tested else { return Ok(()) };
        if test.keep_failed && !cx.cancel.is_cancelled() {
            self.failed_stays.store(true, Ordering::Relaxed);
        }
        let place = request.sources.locate(planned.span);
        let what = format!("the image did not pass {}", planned.name);
        let fault = blame(&error);
        Err(error.context(Located { place, what, fault }))
    }

    /// No test could be run at all.
    pub fn image_failed(&self, cx: &BuildContext) {
        // Nobody could look: whoever wants a failed image kept wants this one, too.
        let have_begun = self.have_begun.load(Ordering::Relaxed);
        let stays = self.planned.iter().any(|test| test.keep_failed);
        if !have_begun && !cx.cancel.is_cancelled() && stays {
            self.failed_stays.store(true, Ordering::Relaxed);
        }
    }
}
