//! One build from its first step to its last artifact.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use futures::FutureExt as _;
use serde_json::Value as Json;

use super::contents::{ImageContents, PackageSurvey};
use super::image_tests::PlannedTest;
use super::outcome::{BuildOutcome, Located, RunRequest, fault_of};
use super::post_process::{self, PostProcessing};
use super::provision::Provisioners;
use crate::component::{Artifact, BuildContext, Builder, KeepFailed};
use crate::event::{ArtifactSummary, Finished, Message, Ui};
use crate::fault::{Fault, Kind};
use crate::fingerprint::Fingerprint;
use crate::plan::{PlannedBuild, PlannedPostProcessor};
use crate::retry::Cancelled;
use crate::secret::Redactor;
use crate::source::SourceMap;
use crate::step::panic_text;
use crate::stop::{Cause, Share, Stop};

/// What is said of things that were not removed in time.
const OUT_OF_TIME: &str = "the time to clean up was over";

/// What all builds of a run share.
#[derive(Clone)]
pub(super) struct Shared {
    pub request: Arc<RunRequest>,
    pub ui: Ui,
    pub redactor: Redactor,
    pub stop: Stop,
}

/// Runs one build. Whatever goes wrong with it, even a panic, is its own outcome; and once somebody
/// waits for the end of the run, it comes in time, whatever the build waits for.
pub(super) async fn run(planned: PlannedBuild, shared: Shared) -> BuildOutcome {
    let started = Instant::now();
    let name = planned.name.clone();
    let source = shared.request.sources.locate(planned.span);
    let ui = shared.ui.for_target(name.as_str());
    let (stop, journal) = (shared.stop.clone(), shared.request.journal.clone());
    let owner = planned.facts.unique_name.clone();
    let work = AssertUnwindSafe(work(planned, shared)).catch_unwind();
    let (artifacts, failed) = tokio::select! {
        done = work => done.unwrap_or_else(|panic| {
            let what = panic_text(&*panic);
            let error = anyhow!("a mistake in imgbake itself: {what}");
            (Vec::new(), Some((error, Fault::lasting(Kind::Imgbake))))
        }),
        () = stop.used(Share::Everything) => {
            journal.fail_rest(&owner, OUT_OF_TIME);
            (Vec::new(), Some((Cause::Interrupted.into(), INTERRUPTED)))
        }
    };
    let took = started.elapsed();
    let stopped = failed.as_ref().and_then(|(error, _)| stopped(error, &stop));
    let failed =
        failed.map(|(error, fault)| (error, if stopped.is_some() { INTERRUPTED } else { fault }));
    let (error, fault) = failed.unzip();
    let failed_at = error.as_ref().and_then(|error| error.downcast_ref::<Located>());
    ui.send(Message::BuildFinished(Box::new(Finished {
        took,
        error: error.as_ref().map(|error| format!("{error:#}")),
        fault,
        stopped,
        place: failed_at.map_or(source, |located| located.place.clone()),
        products: artifacts.iter().map(|artifact| product(&**artifact)).collect(),
    })));
    BuildOutcome { name, took, artifacts, error, fault }
}

/// An error, and whose fault it is.
type Failed = (anyhow::Error, Fault);

/// The fault of whoever stops a run.
pub(super) const INTERRUPTED: Fault = Fault::passing(Kind::Interrupted);

/// Why the run was stopped, if that is why the build failed.
fn stopped(error: &anyhow::Error, stop: &Stop) -> Option<Cause> {
    stop.cause().filter(|_| error.is::<Cause>() || error.is::<Cancelled>())
}

/// What can be told of an artifact. The images are what every builder of machine images says of
/// its regions.
fn product(artifact: &dyn Artifact) -> ArtifactSummary {
    let metadata = artifact.state("atlas.artifact.metadata");
    let metadata = metadata.iter().filter_map(Json::as_object).flatten();
    let image = |(key, id): (&String, &Json)| {
        Some((key.strip_prefix("region.")?.to_owned(), id.as_str()?.to_owned()))
    };
    let facts = artifact.build_data().into_iter();
    ArtifactSummary {
        builder_id: artifact.builder_id().to_owned(),
        id: artifact.id(),
        files: artifact.files().iter().map(|file| file.display().to_string()).collect(),
        description: artifact.describe(),
        images: metadata.filter_map(image).collect(),
        facts: facts.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect(),
    }
}

/// Builds, then post-processes: what is left, and what went wrong.
async fn work(planned: PlannedBuild, shared: Shared) -> (Vec<Arc<dyn Artifact>>, Option<Failed>) {
    let PlannedBuild {
        name,
        facts,
        builder,
        provisioners,
        error_cleanup,
        post_processors,
        fingerprint,
        ..
    } = planned;
    let ui = shared.ui.for_target(name.as_str());
    let RunRequest { mut skip_unchanged, keep_failed, .. } = *shared.request;
    let keep_failed = keep_failed.and_then(|wanted| kept_by(&*builder, wanted, &ui));
    if let Some(why) = skip_unchanged.and_then(|_| always_baked(&*builder, &fingerprint)) {
        ui.error(format!("Warning: it cannot be known whether anything has changed: {why}"));
        if skip_unchanged.is_some_and(|wanted| wanted.only_explains) {
            return (Vec::new(), None);
        }
        skip_unchanged = None;
    }
    let is_wanted =
        post_processors.iter().flatten().any(|planned| planned.first.wants_packages().is_some());
    let survey = Arc::new(PackageSurvey::new(shared.request.sbom.clone(), is_wanted));
    let request = shared.request.clone();
    let tests = PlannedTest::of(&post_processors);
    let provisioners =
        Provisioners::new(provisioners, error_cleanup, tests, request, survey.clone());
    let cx = BuildContext {
        facts,
        ui,
        cancel: shared.stop.token().clone(),
        stop: shared.stop,
        on_error: shared.request.on_error,
        journal: shared.request.journal.clone(),
        redactor: shared.redactor,
        provisioning: Arc::new(provisioners),
        skip_unchanged,
        keep_failed,
        fingerprint,
    };
    if cx.skip_unchanged.is_some() || cx.keep_failed.is_some() {
        // What changes while it is baked is not in the image. An error is told where it is asked for.
        let _ = cx.fingerprint.record().await;
    }
    if let Err(failed) = tried_out(&cx, &shared.request, &post_processors).await {
        return (Vec::new(), Some(failed));
    }
    let built = match built(&*builder, &cx, &shared.request).await {
        Ok(Some(artifact)) => artifact,
        Ok(None) => return (Vec::new(), None),
        Err(failed) => return (Vec::new(), Some(failed)),
    };
    if let Some(cause) = cx.stop.cause() {
        return (vec![built], Some((cause.into(), INTERRUPTED)));
    }
    let packages = survey.tell(&cx, &name, &*built);
    let sources = shared.request.sources.clone();
    post_processed(&cx, sources, (built, packages), post_processors).await
}

/// What the builder makes; nothing where it only tests what is there.
async fn built(
    builder: &dyn Builder,
    cx: &BuildContext,
    request: &RunRequest,
) -> Result<Option<Arc<dyn Artifact>>, Failed> {
    let ended = match &request.tested {
        Some(image) => builder.test(cx, image).await.map(|()| None),
        None => builder.build(cx).await,
    };
    ended.map_err(|error| {
        let fault = fault_of(&error).unwrap_or_else(|| builder.blame(&error));
        (error, fault)
    })
}

/// Has each post-processor find out whether it can work when its time comes. Where nothing is built, none
/// will.
async fn tried_out(
    cx: &BuildContext,
    request: &RunRequest,
    chains: &[Vec<PlannedPostProcessor>],
) -> Result<(), Failed> {
    let only_explains = cx.skip_unchanged.is_some_and(|wanted| wanted.only_explains);
    if request.tested.is_some() || only_explains {
        return Ok(());
    }
    for planned in chains.iter().flatten() {
        let tried = match &planned.misfit {
            Some(cause) => Err(Fault::lasting(Kind::Template).mark(anyhow!("{cause}"))),
            None => planned.first.try_out(cx).await,
        };
        if let Err(error) = tried {
            let fault = fault_of(&error).unwrap_or_else(|| planned.first.blame(&error));
            let place = request.sources.locate(planned.span);
            let what = format!("`{}` could not work when the build is done", planned.kind);
            return Err((error.context(Located { place, what, fault }), fault));
        }
    }
    Ok(())
}

/// What of `-keep-failed` the builder does; it is said where that is not all.
fn kept_by(builder: &dyn Builder, wanted: KeepFailed, ui: &Ui) -> Option<KeepFailed> {
    if !builder.capabilities().keeps_failed {
        ui.error("Warning: this builder keeps no machine on which a provisioner has failed");
        return None;
    }
    let checkpoints = wanted.checkpoints && builder.capabilities().takes_checkpoints;
    if wanted.checkpoints && !checkpoints {
        ui.error("Warning: this builder takes no checkpoints: its machine is kept as it fails");
    }
    Some(KeepFailed { checkpoints, ..wanted })
}

/// Why a build is baked though nothing may have changed.
fn always_baked(builder: &dyn Builder, fingerprint: &Fingerprint) -> Option<String> {
    if let Err(why) = builder.capabilities().skips_unchanged {
        return Some(why.to_owned());
    }
    let unseen = fingerprint.unseen();
    (!unseen.is_empty()).then(|| format!("it depends on {}", unseen.join(", ")))
}

async fn post_processed(
    cx: &BuildContext,
    sources: Arc<SourceMap>,
    (built, packages): (Arc<dyn Artifact>, Option<Arc<ImageContents>>),
    chains: Vec<Vec<PlannedPostProcessor>>,
) -> (Vec<Arc<dyn Artifact>>, Option<Failed>) {
    let data = built.build_data();
    let phase = PostProcessing {
        facts: Arc::new(cx.facts.with_build_data(data.clone())),
        data,
        ui: cx.ui.clone(),
        stop: cx.stop.clone(),
        redactor: cx.redactor.clone(),
        on_error: cx.on_error,
        journal: cx.journal.clone(),
        made_from: built.made_from(),
        packages,
        sources,
    };
    let post_process::Results { artifacts, errors } = phase.run(built, chains).await;
    (artifacts, post_process::joined(errors))
}
