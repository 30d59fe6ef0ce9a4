//! `docker-push`: sends an image to its registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{EngineOptions, Input, engine, not_an_image};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::docker::artifact::{IMPORTED, Image};
use crate::docker::login::Login;
use crate::docker::name::ImageName;
use crate::docker::{Engine, Program, registry};
use crate::env::Environment;
use crate::fault::{Fault, Kind};
use crate::permission::Permission;
use crate::retry::or_cancelled;

/// The options of `docker-push`, beside those of the login.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The `os/architecture` to send of an image that has several; all if not given.
    platform: String,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Push {
    login: Login,
    platform: String,
    program: Program,
}

impl Component for Push {
    const TYPE: &'static str = "docker-push";
    const ABOUT: &'static str = "Sends a Docker image to its registry, under each of its names.";
    type Options = (Login, Options, EngineOptions);

    fn prepare((login, own, engine): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        login.check(check);
        let program = engine.program(check)?;
        Some(Self { login, platform: own.platform, program })
    }
}

#[async_trait]
impl PostProcessor for Push {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let image = Input::of(&*input)?;
        let names = image.names()?;
        ensure!(
            !names.is_empty(),
            "the image has no name, which says where it goes: put `docker-tag` before `docker-push`"
        );
        let engine = engine(&self.program, cx).await?;
        let pushed = or_cancelled(&cx.cancel, self.push_all(&engine, &names, cx)).await?;
        let digest = pushed?;
        let mut build_data = input.build_data();
        if let Some(digest) = digest {
            build_data.insert("Digest".to_owned(), json!(digest));
        }
        let (id, tags) = (image.id, image.tags);
        let image = Image { engine, builder_id: IMPORTED, id, tags, build_data };
        Ok(Processed { artifact: Some(Arc::new(image)), keep_input: true, keep_forced: false })
    }

    fn permissions(&self, _environment: &Environment) -> Vec<Permission> {
        self.login.permissions(true)
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        not_an_image(builder_id, Self::TYPE)
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(IMPORTED)
    }
}

impl Push {
    /// Pushes under each of `names`; the digest of the last.
    async fn push_all(
        &self,
        engine: &Engine,
        names: &[ImageName],
        cx: &PostProcessContext,
    ) -> anyhow::Result<Option<String>> {
        let (mut digest, mut known) = (None, BTreeMap::new());
        for name in names {
            cx.ui.say(format!("Pushing: {name}"));
            let registry = name.registry();
            if !known.contains_key(registry) {
                let environment = &cx.facts.scope.environment;
                let who = registry::login(registry, &self.login, environment, &cx.redactor);
                known.insert(registry, who.await?);
            }
            let who = known.get(registry).and_then(Option::as_ref);
            let pushed = engine.push(name, &self.platform, who, &cx.ui).await;
            let pushed = pushed.with_context(|| format!("cannot push {name}"));
            let pushed = pushed.map_err(|error| Fault::passing(Kind::Environment).mark(error))?;
            digest = pushed.or(digest);
        }
        Ok(digest)
    }
}
