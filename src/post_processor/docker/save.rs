//! `docker-save`: writes an image to a file, with its layers and its names.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{EngineOptions, Input, engine, not_an_image};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::docker::{Program, check_file, write_file};
use crate::retry::or_cancelled;

/// The options of `docker-save`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The file to write, which `docker load` reads. Required. It appears when it is whole.
    path: PathBuf,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Save {
    path: PathBuf,
    program: Program,
}

impl Component for Save {
    const TYPE: &'static str = "docker-save";
    const ABOUT: &'static str = "Writes a Docker image to a file.";
    type Options = (Options, EngineOptions);

    fn prepare((Options { path }, engine): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let program = engine.program(check);
        if path.as_os_str().is_empty() {
            check.missing("path", "name the file to write");
        } else {
            check_file("path", &path, check);
        }
        Some(Self { path, program: program? })
    }
}

#[async_trait]
impl PostProcessor for Save {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let image = Input::of(&*input)?;
        let engine = engine(&self.program, cx).await?;
        cx.ui.say(format!("Saving image: {}", image.id));
        let save = write_file(engine.save(&image.id), &self.path);
        let saved = or_cancelled(&cx.cancel, save).await?;
        saved.with_context(|| format!("cannot save {}", image.id))?;
        Ok(Processed { artifact: Some(input), keep_input: true, keep_forced: false })
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        not_an_image(builder_id, Self::TYPE)
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }
}
