//! What becomes of the container: an image, or a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use async_trait::async_trait;

use super::find_image::Found;
use crate::component::{Artifact, BuildContext};
use crate::docker::artifact::EXPORTED;
use crate::docker::made::{self, Names};
use crate::docker::name::ImageName;
use crate::docker::{Commit, Engine, write_file};
use crate::event::Phase;
use crate::interpolate::BuildData;
use crate::journal::Thing;
use crate::retry::or_cancelled;
use crate::step::{Ending, Step, remove_if_there};
use crate::whole_file::beside;

/// Makes an image of the container.
///
/// Nobody can tell whose an image without a name is. So it is made with a name of ours, which
/// [`TakeNameAway`] takes away when it is finished.
pub(super) struct CommitContainer {
    engine: Engine,
    container: String,
    changes: Vec<String>,
    author: String,
    message: String,
    name: ImageName,
    thing: Arc<Thing>,
}

impl CommitContainer {
    pub fn new(cx: &BuildContext, engine: &Engine, container: &str, changes: Vec<String>) -> Self {
        let name = Names::new(&cx.facts.scope.environment).image();
        let thing = Arc::new(engine.image_thing(&name).as_product());
        let (engine, container) = (engine.clone(), container.to_owned());
        let (author, message) = Default::default();
        Self { engine, container, changes, author, message, name, thing }
    }

    /// The same, with who has made it and why.
    pub fn signed(self, author: &str, message: &str) -> Self {
        Self { author: author.to_owned(), message: message.to_owned(), ..self }
    }

    /// What finishes the image, which was made of a container of `source`.
    pub fn finish(&self, source: &Found) -> TakeNameAway {
        let (engine, source) = (self.engine.clone(), source.id.clone());
        TakeNameAway { engine, source, name: self.name.clone() }
    }
}

/// Takes the temporary name of an image away: then it is finished, and counts for `-skip-unchanged`.
///
/// The image of the container's source is called so for a moment, for an image whose last name is taken
/// away would go with it.
pub(super) struct TakeNameAway {
    engine: Engine,
    source: String,
    name: ImageName,
}

#[async_trait]
impl Step for TakeNameAway {
    type Output = ();

    fn name(&self) -> &'static str {
        "take the image's temporary name away"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, _cx: &BuildContext) -> anyhow::Result<()> {
        let unnamed = async {
            self.engine.tag(&self.source, &self.name).await?;
            self.engine.remove_image(&self.name.to_string()).await
        };
        unnamed.await.context("cannot take the image's temporary name away")
    }
}

#[async_trait]
impl Step for CommitContainer {
    type Output = String;

    fn name(&self) -> &'static str {
        "commit the container"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<String> {
        cx.ui.say("Committing the container");
        self.thing.attempt();
        let commit = Commit {
            container: &self.container,
            name: &self.name,
            author: &self.author,
            message: &self.message,
            changes: &self.changes,
        };
        let made = self.engine.commit(commit).await.inspect_err(|error| {
            if error.is_unsure() {
                self.thing.doubt();
            }
        });
        let id = made.context("cannot commit the container")?;
        cx.journal.made(&self.thing, &id);
        cx.ui.say(format!("Image ID: {id}"));
        Ok(id)
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match (ending, self.thing.id()) {
            (Ending::Done, _) => Ok(()),
            (Ending::Failed, Some(id)) if cx.provisioning.keeps_failed_image() => {
                let failed = made::failed(&self.name);
                self.engine.tag(id, &failed).await?;
                self.engine.remove_image(&self.name.to_string()).await?;
                cx.ui.say(format!("{failed} ({id}) stays, as `keep_failed` asks"));
                Ok(())
            }
            (Ending::Failed, _) => self.engine.remove_thing(&self.thing).await,
        }
    }
}

/// Writes all that is in the container to a file.
pub(super) struct ExportContainer {
    engine: Engine,
    container: String,
    path: PathBuf,
    /// From here on the file is ours to remove.
    written: AtomicBool,
}

impl ExportContainer {
    pub fn new(engine: Engine, container: String, path: PathBuf) -> Self {
        Self { engine, container, path, written: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Step for ExportContainer {
    type Output = ();

    fn name(&self) -> &'static str {
        "export the container"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say(format!("Exporting the container to {}", self.path.display()));
        let export = write_file(self.engine.export(&self.container), &self.path);
        let exported = or_cancelled(&cx.cancel, export).await?;
        exported.context("cannot export the container")?;
        self.written.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn undo(&self, _cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending == Ending::Failed && self.written.load(Ordering::Relaxed) {
            true => remove_if_there(&self.path).await,
            false => Ok(()),
        }
    }
}

/// Where the record of the image at `path` stands.
pub(super) fn record_of(path: &Path) -> PathBuf {
    beside(path, ".made-from.json")
}

/// The file, as the artifact.
pub(super) struct Exported {
    pub path: PathBuf,
    pub build_data: BuildData,
}

#[async_trait]
impl Artifact for Exported {
    fn builder_id(&self) -> &str {
        EXPORTED
    }

    fn id(&self) -> String {
        "Container".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn describe(&self) -> String {
        format!("Exported Docker file: {}", self.path.display())
    }

    fn build_data(&self) -> BuildData {
        self.build_data.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        remove_if_there(&self.path).await?;
        remove_if_there(&record_of(&self.path)).await
    }
}
