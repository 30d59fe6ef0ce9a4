//! `docker-import`: makes an image of an exported container.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{engine, name, program};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::docker::artifact::{EXPORTED, IMPORTED, Image};
use crate::docker::name::ImageName;
use crate::docker::{Import as Making, Program};
use crate::peer;
use crate::post_processor::artifice;
use crate::retry::or_cancelled;

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
    /// `podman` for Podman's engine; otherwise it is Docker's.
    docker_path: String,
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
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let Options { repository, tag, changes, platform, docker_path } = options;
        let program = program(&docker_path, check);
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
        if ![EXPORTED, artifice::BUILDER_ID].contains(&input.builder_id()) {
            bail!(
                "Unknown artifact type: {}\n{} takes what the builder `docker` exports \
                 (`export_path`), and files of `artifice`",
                input.builder_id(),
                Self::TYPE
            );
        }
        let files = input.files();
        ensure!(!files.is_empty(), "the artifact has no file to import");
        let (path, engine) = (&files[0], engine(&self.program, cx).await?);
        let shown = if self.id.is_empty() { "an image without a name" } else { &self.id };
        cx.ui.say(format!("Importing {} as {shown}", path.display()));
        let file = peer::open_regular(path);
        let file = file.with_context(|| format!("cannot read {}", path.display()))?;
        let archive = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
        let (name, platform) = (self.name.as_ref(), self.platform.as_str());
        let making = Making { name, platform, changes: &self.changes };
        let made = or_cancelled(&cx.cancel, engine.import(archive, making)).await?;
        let made = made.with_context(|| format!("cannot import {}", path.display()))?;
        cx.ui.say(format!("Imported ID: {made}"));
        let id = if self.id.is_empty() { made } else { self.id.clone() };
        let (build_data, tags) = (input.build_data(), Vec::new());
        let image = Image { engine, builder_id: IMPORTED, id, tags, build_data };
        Ok(Processed { artifact: Some(Arc::new(image)), keep_input: false, keep_forced: false })
    }
}
