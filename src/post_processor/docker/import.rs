//! `docker-import`: makes an image of an exported container.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{EngineOptions, engine, name};
use crate::component::{
    Artifact, BuildContext, Check, Cleaner, CleanupContext, Component, PostProcessContext,
    PostProcessor, Processed,
};
use crate::docker::artifact::{EXPORTED, IMPORTED, Image};
use crate::docker::cleanup::DockerCleaner;
use crate::docker::made::Names;
use crate::docker::name::ImageName;
use crate::docker::{Engine, Import as Making, Program, label};
use crate::fingerprint::MadeFrom;
use crate::journal::Thing;
use crate::peer;
use crate::post_processor::artifice;
use crate::retry::or_cancelled;
use crate::step::{Ending, Step, Steps};

/// What is read at a time.
const CHUNK: usize = 1024 * 1024;

/// The options of `docker-import`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What the image is called, without a tag; if not given, it has no name.
    repository: String,
    /// The tag of `repository`; `latest` if not given.
    tag: String,
    /// Lines of a Dockerfile for the image: `CMD ["nginx"]`, `ENV A=1`.
    changes: Vec<String>,
    /// The `os/architecture` of the image; the engine's own if not given.
    platform: String,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Import {
    name: Option<ImageName>,
    /// What the artifact is known by.
    id: String,
    changes: Vec<String>,
    platform: String,
    program: Program,
}

impl Component for Import {
    const TYPE: &'static str = "docker-import";
    const ABOUT: &'static str = "Makes a Docker image of an exported container.";
    type Options = (Options, EngineOptions);

    fn prepare((options, engine): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let Options { repository, tag, changes, platform } = options;
        let program = engine.program(check);
        let id = match tag.as_str() {
            "" => repository.clone(),
            tag => format!("{repository}:{tag}"),
        };
        let name = match repository.as_str() {
            "" => {
                if !tag.is_empty() {
                    check.missing("repository", "`tag` is the tag of a repository: name it");
                }
                None
            }
            _ => Some(name("repository", &id, check)?),
        };
        Some(Self { name, id, changes, platform, program: program? })
    }
}

#[async_trait]
impl PostProcessor for Import {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let files = input.files();
        ensure!(!files.is_empty(), "the artifact has no file to import");
        let (path, engine) = (&files[0], engine(&self.program, cx).await?);
        let shown = if self.id.is_empty() { "an image without a name" } else { &self.id };
        cx.ui.say(format!("Importing {} as {shown}", path.display()));
        let (cx, made_from) = (&cx.for_steps(), cx.made_from.as_ref());
        let steps = Steps::new(cx);
        let import = ImportImage::new(self, cx, &engine, path, made_from);
        let made = steps.finish(steps.run(import)).await?;
        cx.ui.say(format!("Imported ID: {made}"));
        let id = if self.id.is_empty() { made } else { self.id.clone() };
        let (build_data, tags) = (input.build_data(), Vec::new());
        let image = Image { engine, builder_id: IMPORTED, id, tags, build_data };
        Ok(Processed { artifact: Some(Arc::new(image)), keep_input: false, keep_forced: false })
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        let is_file = [EXPORTED, artifice::BUILDER_ID].contains(&builder_id);
        (!is_file).then(|| {
            format!(
                "Unknown artifact type: {builder_id}\n{} takes what the builder `docker` exports \
                 (`export_path`), and files of `artifice`",
                Self::TYPE
            )
        })
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(IMPORTED)
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(DockerCleaner::new(cx)))
    }
}

/// Makes the image. Until the journal knows its id it has a name of ours, by which it is found after
/// a run that died; one that is to have no name cannot have that.
struct ImportImage {
    engine: Engine,
    path: PathBuf,
    name: Option<ImageName>,
    platform: String,
    changes: Vec<String>,
    temporary: ImageName,
    thing: Arc<Thing>,
}

impl ImportImage {
    fn new(
        import: &Import,
        cx: &BuildContext,
        engine: &Engine,
        path: &Path,
        made_from: Option<&MadeFrom>,
    ) -> Self {
        let temporary = Names::new(&cx.facts.scope.environment).image();
        let thing = Arc::new(engine.image_thing(&temporary).as_product());
        let mut changes = import.changes.clone();
        // An imported image has but one step.
        changes.extend(made_from.into_iter().flat_map(|made_from| label::lines(made_from, 1)));
        let (engine, path, name) = (engine.clone(), path.to_owned(), import.name.clone());
        Self { engine, path, name, platform: import.platform.clone(), changes, temporary, thing }
    }

    async fn import(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let file = peer::open_regular(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let archive = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
        let name = self.name.as_ref().map(|_| &self.temporary);
        let making = Making { name, platform: &self.platform, changes: &self.changes };
        self.thing.attempt();
        let made = or_cancelled(&cx.cancel, self.engine.import(archive, making)).await;
        // An engine that was left alone may not have heard of it yet.
        let made =
            made.map_err(anyhow::Error::from).flatten().inspect_err(|_| self.thing.doubt())?;
        cx.journal.made(&self.thing, &made);
        if let Some(name) = &self.name {
            self.engine.tag(&made, name).await?;
            self.engine.remove_image(&self.temporary.to_string()).await?;
        }
        Ok(made)
    }
}

#[async_trait]
impl Step for ImportImage {
    type Output = String;

    fn name(&self) -> &'static str {
        "import the image"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let made = self.import(cx).await;
        made.with_context(|| format!("cannot import {}", self.path.display()))
    }

    async fn undo(&self, _cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending {
            Ending::Done => Ok(()),
            Ending::Failed => self.engine.remove_thing(&self.thing).await,
        }
    }
}
