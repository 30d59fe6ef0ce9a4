//! Cleaning up after dead runs: what their journals list in an engine is found and removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::endpoint::Endpoint;
use super::engine::{Engine, EngineError, Program};
use super::made::{Made, MadeKind};
use crate::component::{CleanupContext, OneByOne, Wanted};
use crate::journal::{Entry, Thing};

/// How often what a call may still be making is looked for, a second apart.
const LOOKS: usize = 10;

/// How long the end of a container is waited for that the engine removes by itself: ten seconds.
const REMOVAL_LOOKS: usize = 200;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// Cleans up in container engines.
#[derive(Debug)]
pub struct DockerCleaner {
    cx: CleanupContext,
    engines: Mutex<Engines>,
}

/// The engines that were asked for, or why they cannot be reached.
type Engines = HashMap<Endpoint, Result<Engine, String>>;

/// What is there in an engine.
#[derive(Debug)]
pub struct InEngine {
    engine: Engine,
    kind: MadeKind,
    id: String,
}

#[async_trait]
impl OneByOne for DockerCleaner {
    type Found = InEngine;

    fn context(&self) -> &CleanupContext {
        &self.cx
    }

    fn has(&self, thing: &Thing) -> bool {
        Made::is_one(thing)
    }

    /// Images last: a container of one keeps it.
    fn in_order(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.sort_by_key(|entry| {
            Made::of(&entry.thing).is_ok_and(|made| matches!(made.kind, MadeKind::Image(_)))
        });
        entries
    }

    async fn find(&self, thing: &Thing) -> anyhow::Result<Option<InEngine>> {
        let Made { engine, kind } = Made::of(thing)?;
        let engine = self.engine(&engine).await?;
        let id = engine.find_made(thing, &kind).await?;
        Ok(id.map(|id| InEngine { engine, kind, id }))
    }

    fn describe(&self, thing: &Thing, found: &InEngine) -> String {
        format!("{thing} ({})", found.id)
    }

    async fn remove(&self, entry: &Entry, found: InEngine) -> anyhow::Result<()> {
        self.cx.ui.say(format!("Removing {}", entry.thing));
        found.engine.remove_made(&entry.thing, &found.kind, &found.id).await
    }

    /// Containers and unfinished images in the engine of this environment, and in Podman's, where there are
    /// any. Regions have none.
    async fn search_all(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        if !wanted.places.is_empty() {
            return Ok(Vec::new());
        }
        let alive = wanted.alive.iter().filter_map(|thing| Made::of(thing).ok());
        // Both may be one engine.
        let mut known: Vec<_> = alive.map(|made| made.kind).collect();
        let mut left = Vec::new();
        for program in [Program::Docker, Program::Podman("podman".into())] {
            let found = match self.old(&program, wanted.before).await {
                Err(error) if program != Program::Docker => {
                    let ui = &self.cx.ui;
                    ui.error(format!("Warning: Podman's engine is not searched: {error:#}"));
                    continue;
                }
                found => found?,
            };
            for thing in found {
                let Ok(Made { kind, .. }) = Made::of(&thing) else { continue };
                if !known.contains(&kind) {
                    known.push(kind);
                    left.push(thing);
                }
            }
        }
        let build = "a run whose journal is gone".to_owned();
        let entry = |thing| Entry { build: build.clone(), thing: Arc::new(thing) };
        Ok(left.into_iter().map(entry).collect())
    }
}

impl DockerCleaner {
    /// Works with `cx`.
    pub fn new(cx: &CleanupContext) -> Self {
        Self { cx: cx.clone(), engines: Mutex::default() }
    }

    /// What is of ours in the engine of `program` and was made before this moment; nothing if there is no
    /// such engine.
    async fn old(&self, program: &Program, before: Timestamp) -> anyhow::Result<Vec<Thing>> {
        let engine = match Engine::open(&self.cx.environment, program).await {
            Ok(engine) => engine,
            Err(error) => {
                tracing::info!("no engine of {program:?} is searched: {error:#}");
                return Ok(Vec::new());
            }
        };
        // Images last: a container of one keeps it.
        let mut found = engine.old_containers(before).await?;
        found.extend(engine.old_images(before).await?);
        Ok(found)
    }

    /// The engine at `endpoint`, opened the first time.
    async fn engine(&self, endpoint: &Endpoint) -> anyhow::Result<Engine> {
        let mut engines = self.engines.lock().await;
        if !engines.contains_key(endpoint) {
            let opened = Engine::of_journal(endpoint, &self.cx.environment).await;
            engines.insert(endpoint.clone(), opened.map_err(|error| format!("{error:#}")));
        }
        match engines.get(endpoint) {
            Some(Ok(engine)) => Ok(engine.clone()),
            Some(Err(why)) => bail!("{why}"),
            None => bail!("a mistake in imgbake itself: the engine was not opened"),
        }
    }
}

impl Engine {
    /// Removes what a build has made, wherever it got to.
    pub async fn remove_thing(&self, thing: &Thing) -> anyhow::Result<()> {
        let made = Made::of(thing)?;
        match thing.is_attempted() {
            true => match self.find_made(thing, &made.kind).await? {
                Some(id) => self.remove_made(thing, &made.kind, &id).await,
                None => Ok(()),
            },
            false => Ok(()),
        }
    }

    /// The id of `thing`, if it is there: the one that it is known to have, else that of its name.
    /// Looks several times where a call may still be making it.
    async fn find_made(&self, thing: &Thing, kind: &MadeKind) -> anyhow::Result<Option<String>> {
        let looks = if thing.is_doubtful() && thing.id().is_none() { LOOKS } else { 1 };
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let found = match kind {
                MadeKind::Container(name) => {
                    let name = thing.id().unwrap_or(name);
                    self.find_container(name).await?.and_then(|found| found.id)
                }
                MadeKind::Image(name) => {
                    let by_id = match thing.id() {
                        Some(id) => self.find_image(id).await?,
                        None => None,
                    };
                    let found = match by_id {
                        Some(found) => Some(found),
                        None => self.find_image(name).await?,
                    };
                    found.and_then(|found| found.id)
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Removes an image, once the engine has removed the container that was ended.
    async fn remove_unused(&self, image: &str) -> Result<(), EngineError> {
        for _ in 0..REMOVAL_LOOKS {
            match self.remove_image(image).await {
                Err(error) if error.is_conflict() => tokio::time::sleep(REMOVAL_PAUSE).await,
                removed => return removed,
            }
        }
        self.remove_image(image).await
    }

    /// Removes `id`, which is `thing`. The name of an image goes first: it may lead to another one by
    /// now, and goes with its image if that has no other.
    async fn remove_made(&self, thing: &Thing, kind: &MadeKind, id: &str) -> anyhow::Result<()> {
        match kind {
            MadeKind::Container(_) => self.remove_container(id).await?,
            MadeKind::Image(name) => {
                self.remove_unused(name).await?;
                if let Some(id) = thing.id() {
                    self.remove_unused(id).await?;
                }
            }
        }
        Ok(())
    }
}
