//! The run with builders, provisioners and post-processors made for the test.

mod builds;
mod post_processing;
mod provisioning;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::{Outcome, RunRequest, execute};
use crate::component::{
    Artifact, BuildContext, Builder, Command, Communicator, Exit, Facts, OnError,
    PostProcessContext, PostProcessor, Processed, ProvisionContext, Provisioner, Upload,
};
use crate::config::Node;
use crate::diagnostic::Diagnostics;
use crate::event::{Event, Message, Ui};
use crate::fingerprint::Fingerprint;
use crate::guest::GuestOutput;
use crate::interpolate::{BuildData, Scope};
use crate::journal::Journal;
use crate::plan::{Plan, PlannedBuild, PlannedPostProcessor, PlannedProvisioner};
use crate::secret::Redactor;
use crate::source::{SourceMap, Span};
use crate::stop::{Cause, Stop};

type Made = anyhow::Result<Option<Arc<dyn Artifact>>>;

/// A builder that does what a test says.
struct Builds<F>(F);

#[async_trait]
impl<F> Builder for Builds<F>
where
    F: Fn(BuildContext) -> BoxFuture<'static, Made> + Send + Sync,
{
    async fn build(&self, cx: &BuildContext) -> Made {
        (self.0)(cx.clone()).await
    }
}

/// A provisioner that does what a test says.
struct Provisions<F>(F);

#[async_trait]
impl<F> Provisioner for Provisions<F>
where
    F: Fn(ProvisionContext) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync,
{
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        (self.0)(cx.clone()).await
    }
}

/// A post-processor that does what a test says with its input.
struct Processes<F>(F);

#[async_trait]
impl<F> PostProcessor for Processes<F>
where
    F: Fn(Arc<dyn Artifact>) -> anyhow::Result<Processed> + Send + Sync,
{
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        cx.ui.say(format!("given {}", input.id()));
        (self.0)(input)
    }
}

/// An artifact that is nothing but its name.
struct Named {
    name: String,
    destroyed: Arc<Mutex<Vec<String>>>,
    indestructible: bool,
}

#[async_trait]
impl Artifact for Named {
    fn builder_id(&self) -> &str {
        "test"
    }
    fn id(&self) -> String {
        self.name.clone()
    }
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
    fn describe(&self) -> String {
        format!("the {}", self.name)
    }
    async fn destroy(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.indestructible, "permission denied");
        self.destroyed.lock().unwrap().push(self.name.clone());
        Ok(())
    }
}

/// A connection that does nothing.
struct Connected;

#[async_trait]
impl Communicator for Connected {
    async fn run(
        &self,
        _command: Command<'_>,
        _output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        Ok(Exit::Status(0))
    }
    async fn upload(&self, _from: Upload<'_>, _to: &str, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn upload_dir(&self, _from: &str, _to: &str, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn download(&self, _from: &str, _to: &std::path::Path, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }
    async fn download_dir(
        &self,
        _from: &str,
        _to: &std::path::Path,
        _ui: &Ui,
    ) -> anyhow::Result<()> {
        Ok(())
    }
    async fn close(&self) {}
}

fn artifact(name: &str) -> Arc<dyn Artifact> {
    Arc::new(Named { name: name.to_owned(), destroyed: Arc::default(), indestructible: false })
}

/// The template that everything here stands in, at one place.
fn sources() -> Arc<SourceMap> {
    let mut sources = SourceMap::default();
    sources.add("template.json", "\n  {}");
    Arc::new(sources)
}

fn span() -> Span {
    Span::new(SourceMap::default().add("template.json", ""), 3, 3)
}

/// A build of the name `name` that does `work` and nothing after it.
fn build<F>(name: &str, work: F) -> PlannedBuild
where
    F: Fn(BuildContext) -> BoxFuture<'static, Made> + Send + Sync + 'static,
{
    let scope = Scope::for_tests();
    let facts = Facts::without_build("test", scope).named(name);
    PlannedBuild {
        name: name.to_owned(),
        facts: Arc::new(facts),
        span: span(),
        options: Node::empty(span()),
        builder: Arc::new(Builds(work)),
        provisioners: Vec::new(),
        error_cleanup: None,
        post_processors: Vec::new(),
        fingerprint: Fingerprint::default(),
    }
}

/// A provisioner of the type `kind`.
fn provisioner<F>(kind: &str, work: F) -> PlannedProvisioner
where
    F: Fn(ProvisionContext) -> BoxFuture<'static, anyhow::Result<()>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    PlannedProvisioner {
        kind: kind.to_owned(),
        name: None,
        span: span(),
        options: Node::empty(span()),
        reads: None,
        waits_first: None,
        plugin: None,
        recipe: Arc::new(move |_data| {
            Ok((Box::new(Provisions(work.clone())), Diagnostics::default()))
        }),
        pause_before: Duration::ZERO,
        timeout: None,
        max_retries: 0,
        continue_on_error: false,
    }
}

/// A post-processor of the type `kind`.
fn post_processor<F>(kind: &str, keep_input_artifact: Option<bool>, work: F) -> PlannedPostProcessor
where
    F: Fn(Arc<dyn Artifact>) -> anyhow::Result<Processed> + Clone + Send + Sync + 'static,
{
    PlannedPostProcessor {
        kind: kind.to_owned(),
        name: None,
        span: span(),
        options: Node::empty(span()),
        first: Box::new(Processes(work.clone())),
        recipe: Arc::new(move |_data| {
            Ok((Box::new(Processes(work.clone())), Diagnostics::default()))
        }),
        keep_input_artifact,
        misfit: None,
    }
}

fn request() -> RunRequest {
    RunRequest {
        skip_unchanged: None,
        tested: None,
        sbom: None,
        keep_failed: None,
        parallel_builds: None,
        debug: false,
        on_error: OnError::Cleanup,
        environment: Scope::for_tests().environment,
        sources: sources(),
        journal: Journal::default(),
    }
}

/// Runs `builds`; the outcome and all that was said, one `target| text` a line.
async fn run(builds: Vec<PlannedBuild>, request: &RunRequest) -> (Outcome, Vec<String>) {
    run_until(builds, request, Stop::default()).await
}

async fn run_until(
    builds: Vec<PlannedBuild>,
    request: &RunRequest,
    stop: Stop,
) -> (Outcome, Vec<String>) {
    let (ui, mut said) = Ui::new();
    let outcome =
        execute(Plan { builds, ..Plan::default() }, request, ui, Redactor::default(), stop).await;
    let mut texts = Vec::new();
    while let Ok(event) = said.try_recv() {
        texts.extend(text_of(&event));
    }
    (outcome, texts)
}

fn text_of(event: &Event) -> Option<String> {
    let target = event.target.as_ref().map(ToString::to_string).unwrap_or_default();
    match &event.message {
        Message::Say(text) | Message::Error(text) | Message::Ask { question: text, .. } => {
            Some(format!("{target}| {text}"))
        }
        _ => None,
    }
}

/// The errors of an outcome in words.
fn errors(outcome: &Outcome) -> Vec<String> {
    let errors = outcome.builds.iter().filter_map(|build| build.error.as_ref());
    errors.map(|error| format!("{error:#}")).collect()
}
