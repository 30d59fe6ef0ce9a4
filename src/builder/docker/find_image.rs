//! The image that the container is made of: fetched, or built.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use serde_json::json;

use super::options::Build;
use crate::component::BuildContext;
use crate::docker::login::Login;
use crate::docker::made::Names;
use crate::docker::name::ImageName;
use crate::docker::{self, Engine, Recipe, registry};
use crate::event::Phase;
use crate::fault::{Fault, Kind};
use crate::interpolate::BuildData;
use crate::journal::Thing;
use crate::retry::or_cancelled;
use crate::step::{Ending, Step};

/// The image, as the engine knows it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What it is called in `run_command`.
    pub name: String,
    /// `sha256:…`.
    pub id: String,
    /// `debian@sha256:…`, if it came from a registry.
    pub digest: Option<String>,
    command: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
}

impl Found {
    async fn of(engine: &Engine, name: &str) -> anyhow::Result<Self> {
        let found = engine.find_image(name).await?;
        let found = found.with_context(|| format!("there is no image {name}"))?;
        let id = found.id.context("the engine does not say what the image is called")?;
        let digest = found.repo_digests.and_then(|digests| digests.into_iter().next());
        let config = found.config.unwrap_or_default();
        let (command, entrypoint) = (config.cmd, config.entrypoint);
        Ok(Self { name: name.to_owned(), id, digest, command, entrypoint })
    }

    /// What provisioners know of it.
    pub fn build_data(&self) -> BuildData {
        let digest = self.digest.as_deref().unwrap_or("ERR_SOURCE_IMAGE_DIGEST_NOT_FOUND");
        BuildData::from([
            ("ImageSha256".to_owned(), json!("ERR_IMAGE_SHA256_NOT_FOUND")),
            ("SourceImageDigest".to_owned(), json!(digest)),
            ("SourceImageSha256".to_owned(), json!(self.id)),
        ])
    }

    /// `changes`, so that the image starts what this one does: the container was started otherwise.
    pub fn with_defaults(&self, changes: &[String]) -> Vec<String> {
        let is_given = |word: &str| {
            let begins = |line: &String| line.trim_start().to_uppercase().starts_with(word);
            changes.iter().any(begins)
        };
        let own = [("CMD ", &self.command), ("ENTRYPOINT ", &self.entrypoint)];
        let mut all: Vec<String> = own
            .into_iter()
            .filter(|(word, _)| !is_given(word))
            .map(|(word, words)| {
                let words = words.clone().filter(|words| !words.is_empty());
                format!("{word}{}", json!(words.unwrap_or_else(|| vec![String::new()])))
            })
            .collect();
        all.extend(changes.iter().cloned());
        all
    }
}

/// Fetches the image, if that is asked for.
pub(super) struct PullImage {
    pub engine: Engine,
    pub name: String,
    pub pull: bool,
    pub platform: String,
    pub login: Login,
}

#[async_trait]
impl Step for PullImage {
    type Output = Found;

    fn name(&self) -> &'static str {
        "pull the image"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Found> {
        if self.pull {
            cx.ui.say(format!("Pulling Docker image: {}", self.name));
            let pulled = or_cancelled(&cx.cancel, self.fetch(cx)).await?;
            pulled.with_context(|| format!("cannot pull {}", self.name))?;
        }
        let found = Found::of(&self.engine, &self.name).await;
        found.map_err(|error| match self.pull {
            true => error,
            false => error.context("`pull = false`, so it must be here"),
        })
    }
}

impl PullImage {
    async fn fetch(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let name = ImageName::parse(&self.name).map_err(|cause| anyhow!(cause))?;
        let environment = &cx.facts.scope.environment;
        let who = registry::login(name.registry(), &self.login, environment, &cx.redactor).await?;
        let pulled = self.engine.pull(&name, &self.platform, who.as_ref(), &cx.ui).await;
        pulled.map_err(|error| Fault::passing(Kind::Environment).mark(error))
    }
}

/// Builds the image. It has a name until the build ends; after that it stays as what the committed
/// image stands on, or goes.
pub(super) struct BuildImage {
    engine: Engine,
    build: Build,
    platform: String,
    login: Login,
    name: ImageName,
    thing: Arc<Thing>,
}

impl BuildImage {
    pub fn new(
        cx: &BuildContext,
        engine: &Engine,
        build: Build,
        platform: String,
        login: Login,
    ) -> Self {
        let name = Names::new(&cx.facts.scope.environment).image();
        let thing = Arc::new(engine.image_thing(&name));
        Self { engine: engine.clone(), build, platform, login, name, thing }
    }

    async fn recipe(&self, cx: &BuildContext) -> anyhow::Result<Recipe<'_>> {
        let environment = &cx.facts.scope.environment;
        let mut credentials = Vec::new();
        for host in docker::registries_of(&self.build.path)? {
            let who = registry::login(&host, &self.login, environment, &cx.redactor).await?;
            credentials.extend(who.map(|who| (host, who)));
        }
        let arguments = self.build.arguments.iter();
        Ok(Recipe {
            dockerfile: &self.build.path,
            directory: &self.build.build_dir,
            name: &self.name,
            arguments: arguments.map(|(name, value)| (name.clone(), value.clone())).collect(),
            pull: self.build.pull,
            compress: self.build.compress,
            platform: &self.platform,
            credentials,
        })
    }
}

#[async_trait]
impl Step for BuildImage {
    type Output = Found;

    fn name(&self) -> &'static str {
        "build the image"
    }

    fn phase(&self) -> Phase {
        Phase::Prepare
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Found> {
        cx.ui.say(format!("Building base image from {}", self.build.path.display()));
        let recipe = self.recipe(cx).await?;
        self.thing.attempt();
        let built = or_cancelled(&cx.cancel, self.engine.build(recipe, &cx.ui)).await;
        // An engine that was left alone may not have heard of it yet.
        let id = built.inspect_err(|_| self.thing.doubt())?;
        let id = id.with_context(|| format!("cannot build {}", self.build.path.display()))?;
        cx.ui.say(format!("Finished building base image {id}"));
        Ok(Found { name: id.clone(), ..Found::of(&self.engine, &id).await? })
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.engine.remove_thing(&self.thing).await
    }
}
