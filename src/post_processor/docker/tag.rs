//! `docker-tag`: gives names to an image.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{EngineOptions, Input, engine, name, not_an_image};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::diagnostic::code;
use crate::docker::Program;
use crate::docker::artifact::{Image, TAGGED};
use crate::docker::name::ImageName;

/// The options of `docker-tag`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What the image is called, e.g. `registry.example.com/web`. Required.
    repository: String,
    /// The tags that it gets there; `latest` if none is given.
    tags: Vec<String>,
    /// More tags, after `tags`. It is deprecated: write them into `tags`.
    tag: Vec<String>,
    /// Means nothing: an engine moves a tag in any case.
    force: bool,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Tag {
    /// Each with what it is known by.
    names: Vec<(ImageName, String)>,
    program: Program,
}

impl Component for Tag {
    const TYPE: &'static str = "docker-tag";
    const ABOUT: &'static str = "Gives names to a Docker image.";
    type Options = (Options, EngineOptions);

    fn prepare((options, engine): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let Options { repository, tags, tag, force } = options;
        let program = engine.program(check);
        if !tag.is_empty() {
            let text = "`tag` of `docker-tag` is deprecated: it is called `tags` today";
            check.warn(code::OPTION_VALUE, "tag", text).help =
                Some("write `tags`, or run `imgbake fix` on a JSON template".to_owned());
        }
        if force {
            let text = "every engine since Docker 1.12 moves a tag without `force`";
            check.warn(code::OPTION_VALUE, "force", text).help = Some("leave it away".to_owned());
        }
        if repository.is_empty() {
            check.missing("repository", "say what the image is called");
            return None;
        }
        // Else each tag would be blamed for it.
        name("repository", &repository, check)?;
        let full = |tag: &String| format!("{repository}:{tag}");
        let listed = |option: &str, tags: &[String]| -> Vec<_> {
            (0_usize..).zip(tags).map(|(at, tag)| (format!("{option}.{at}"), full(tag))).collect()
        };
        let mut names = [listed("tags", &tags), listed("tag", &tag)].concat();
        if names.is_empty() {
            names.push(("repository".to_owned(), repository.clone()));
        }
        let names =
            names.into_iter().map(|(option, given)| Some((name(&option, &given, check)?, given)));
        // All are looked at, so that one run shows what is wrong with any.
        let names: Vec<_> = names.collect();
        let names = names.into_iter().collect::<Option<_>>()?;
        Some(Self { names, program: program? })
    }
}

#[async_trait]
impl PostProcessor for Tag {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let image = Input::of(&*input)?;
        let engine = engine(&self.program, cx).await?;
        for (name, given) in &self.names {
            cx.ui.say(format!("Tagging image: {}", image.id));
            cx.ui.say(format!("Repository: {given}"));
            let tagged = engine.tag(&image.id, name).await;
            tagged.with_context(|| format!("cannot call {} {given}", image.id))?;
        }
        let tags: Vec<String> = self.names.iter().map(|(_, given)| given.clone()).collect();
        let id = tags.last().cloned().unwrap_or_default();
        let build_data = input.build_data();
        let image = Image { engine, builder_id: TAGGED, id, tags, build_data };
        Ok(Processed { artifact: Some(Arc::new(image)), keep_input: true, keep_forced: true })
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        not_an_image(builder_id, Self::TYPE)
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(TAGGED)
    }
}
