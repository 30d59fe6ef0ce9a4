//! What becomes of a finished artifact: chains of post-processors, and which artifacts stay.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{anyhow, bail};

use super::contents::ImageContents;
use super::ending::{bullet_list, or_dropped, unusable};
use super::outcome::{Located, fault_of};
use crate::component::{Artifact, Facts, OnError, PostProcessContext, Processed};
use crate::event::{Message, Phase, SpentBy, Ui};
use crate::fault::{Fault, Kind};
use crate::fingerprint::MadeFrom;
use crate::interpolate::BuildData;
use crate::journal::{Journal, Thing};
use crate::plan::PlannedPostProcessor;
use crate::retry::Cancelled;
use crate::secret::Redactor;
use crate::source::SourceMap;
use crate::stop::Stop;

/// The post-processing of one build.
pub(super) struct PostProcessing {
    /// The build, with a scope that knows what the machine said of itself.
    pub facts: Arc<Facts>,
    /// The same data for the recipes.
    pub data: BuildData,
    /// The build's voice.
    pub ui: Ui,
    /// Says when the run shall stop.
    pub stop: Stop,
    /// Takes secrets that turn up on the way.
    pub redactor: Redactor,
    /// The texts that the post-processors were written in.
    pub sources: Arc<SourceMap>,
    /// What to do when a step of a post-processor fails.
    pub on_error: OnError,
    /// What post-processors make, and which artifact could not be destroyed.
    pub journal: Journal,
    /// What the builder's artifact was made from, if that travels with it.
    pub made_from: Option<MadeFrom>,
    /// What is in it, if that is known.
    pub packages: Option<Arc<ImageContents>>,
}

/// What is left of a build after all chains.
#[derive(Default)]
pub(super) struct Results {
    /// In the order in which they are listed.
    pub artifacts: Vec<Arc<dyn Artifact>>,
    /// Each ended one chain, or is an artifact that could not be destroyed.
    pub errors: Vec<anyhow::Error>,
}

/// What is known while the chains run.
struct Progress<'a> {
    phase: &'a PostProcessing,
    built: Arc<dyn Artifact>,
    /// Whether the builder's artifact stays.
    keep_built: bool,
    /// What is no more (or, for the builder's artifact, will be when all chains have seen it).
    destroyed: Vec<Arc<dyn Artifact>>,
    results: Results,
}

impl PostProcessing {
    /// Runs `chains` one after the other, each from the artifact that the builder `built`.
    ///
    /// The builder's artifact stays if no chain is there or the first post-processor of any chain
    /// keeps its input; later post-processors decide about the artifact before them. What an earlier
    /// run has made stays in any case.
    pub async fn run(
        &self,
        built: Arc<dyn Artifact>,
        chains: Vec<Vec<PlannedPostProcessor>>,
    ) -> Results {
        let keep_built = built.was_there() || chains.iter().all(Vec::is_empty);
        let (destroyed, results) = (Vec::new(), Results::default());
        let mut progress = Progress { phase: self, built, keep_built, destroyed, results };
        for chain in chains.iter().filter(|chain| !chain.is_empty()) {
            self.run_chain(chain, &mut progress).await;
        }
        progress.finish().await
    }

    async fn run_chain(&self, chain: &[PlannedPostProcessor], progress: &mut Progress<'_>) {
        let mut current = progress.built.clone();
        for (index, planned) in chain.iter().enumerate() {
            let processed = match self.run_one(planned, current.clone()).await {
                Ok(processed) => processed,
                Err(error) => {
                    let place = self.sources.locate(planned.span);
                    let what = "Post-processor failed".to_owned();
                    let fault = blame(&error);
                    let located = Located { place, what, fault };
                    progress.results.errors.push(error.context(located));
                    if index > 0 {
                        progress.keep(current);
                    }
                    return;
                }
            };
            let keep = keeps_input(planned, &processed);
            let Some(artifact) = processed.artifact else { return };
            match (index, keep) {
                (0, keep) => progress.keep_built |= keep,
                (_, true) => progress.keep(current),
                (_, false) => progress.destroy(current).await,
            }
            current = artifact;
        }
        progress.keep(current);
    }

    async fn run_one(
        &self,
        planned: &PlannedPostProcessor,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        if let Some(cause) = self.stop.cause() {
            return Err(cause.into());
        }
        let name = planned.name.as_ref().unwrap_or(&planned.kind);
        self.ui.send(Message::PhaseStarted(Phase::PostProcess(name.clone())));
        let processed = self.process(planned, input).await;
        self.ui.send(Message::PhaseFinished { ok: processed.is_ok() });
        processed
    }

    async fn process(
        &self,
        planned: &PlannedPostProcessor,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let kind = &planned.kind;
        self.ui.say(match &planned.name {
            Some(name) if name != kind => format!("Running post-processor: {name} (type {kind})"),
            _ => format!("Running post-processor: {kind}"),
        });
        let (component, _shown_by_the_plan) = (planned.recipe)(&self.data).map_err(unusable)?;
        if let Some(why) = component.refuses(input.builder_id()) {
            bail!("{why}");
        }
        let packages = component.wants_packages().zip(self.packages.as_ref());
        let packages = packages.map(|(but, contents)| Arc::new(contents.documents(but)));
        let context = PostProcessContext {
            packages,
            facts: self.facts.clone(),
            ui: self.ui.for_part(kind.as_str()),
            cancel: self.stop.token().clone(),
            redactor: self.redactor.clone(),
            stop: self.stop.clone(),
            on_error: self.on_error,
            journal: self.journal.clone(),
            made_from: self.made_from.clone(),
        };
        let begun = Instant::now();
        let work = component.post_process(&context, input);
        let processed = or_dropped(work, &context.cancel, &self.stop).await;
        let processed = processed.unwrap_or_else(|| Err(Cancelled.into()));
        let (whose, what, took) = (SpentBy::Templates, "post-processing", begun.elapsed());
        self.ui.send(Message::Spent { whose, what, took });
        // A mark would hide that it was cancelled.
        let is_settled = |error: &_| fault_of(error).is_some() || error.is::<Cancelled>();
        processed.map_err(|error| match is_settled(&error) {
            true => error,
            false => component.blame(&error).mark(error),
        })
    }
}

/// Whose fault it is that a post-processor failed. One that could not be made says nothing.
fn blame(error: &anyhow::Error) -> Fault {
    fault_of(error).unwrap_or(Fault::lasting(Kind::Environment))
}

/// What the template says about the input wins, unless the post-processor needs it kept.
fn keeps_input(planned: &PlannedPostProcessor, processed: &Processed) -> bool {
    match planned.keep_input_artifact {
        Some(false) if processed.keep_input && processed.keep_forced => true,
        Some(keep) => keep,
        None => processed.keep_input,
    }
}

impl Progress<'_> {
    /// `artifact` is one of the results.
    fn keep(&mut self, artifact: Arc<dyn Artifact>) {
        self.results.artifacts.push(artifact);
    }

    /// `artifact` is not wanted any more. The builder's own, handed on by a post-processor that
    /// only looked at it, stays until all chains have started from it.
    async fn destroy(&mut self, artifact: Arc<dyn Artifact>) {
        if artifact.was_there() {
            return;
        }
        if Arc::ptr_eq(&artifact, &self.built) {
            self.destroyed.push(artifact);
        } else {
            self.destroy_now(artifact).await;
        }
    }

    async fn destroy_now(&mut self, artifact: Arc<dyn Artifact>) {
        let PostProcessing { ui, journal, facts, .. } = self.phase;
        ui.say(format!("Destroying the artifact {}", artifact.id()));
        let what = artifact.describe();
        let thing = Arc::new(Thing::new("artifact", what.as_str()));
        journal.insert(&facts.unique_name, thing.clone());
        let destroyed = artifact.destroy().await;
        journal.removed(&thing, &destroyed);
        if let Err(error) = destroyed {
            let what = format!("cannot destroy an artifact ({what})");
            self.results.errors.push(error.context(what));
        }
        self.destroyed.push(artifact);
    }

    /// Destroys the builder's artifact if nothing keeps it, and lists what is left.
    async fn finish(mut self) -> Results {
        let built = self.built.clone();
        let is_unwanted = self.destroyed.iter().any(|gone| Arc::ptr_eq(gone, &built));
        if self.keep_built && !is_unwanted {
            self.results.artifacts.insert(0, built);
        } else {
            self.destroy_now(built).await;
        }
        let gone = self.destroyed;
        self.results.artifacts.retain(|one| !gone.iter().any(|gone| Arc::ptr_eq(gone, one)));
        self.results
    }
}

/// All errors as one, and whose fault they are.
pub(super) fn joined(mut errors: Vec<anyhow::Error>) -> Option<(anyhow::Error, Fault)> {
    let fault = Fault::together(errors.iter().map(blame))?;
    if errors.len() == 1 {
        return Some((errors.pop()?, fault));
    }
    let texts: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
    Some((anyhow!(bullet_list(&texts)), fault))
}
