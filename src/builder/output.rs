//! The directory that a build leaves its files in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use crate::builder::directories::{self, remove_directory};
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::step::{Ending, Step};

/// Makes the output directory; a failed build takes it back.
pub(super) struct OutputDirectory {
    path: PathBuf,
    /// Whether what is there goes, without `-force`.
    replaces: bool,
    /// Whether `imgbake cleanup` removes it after a run that died.
    is_written_down: bool,
    /// Once its turn has come. From when its id is known it is ours to remove.
    made: OnceLock<Arc<Thing>>,
}

impl OutputDirectory {
    pub(super) fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, replaces: false, is_written_down: false, made: OnceLock::new() }
    }

    /// This directory; if it `replaces`, what is there is an earlier image of this build, and goes.
    pub(super) fn replacing(self, replaces: bool) -> Self {
        Self { replaces, ..self }
    }

    /// This directory, which `imgbake cleanup` removes after a run that died.
    pub(super) fn written_down(self) -> Self {
        Self { is_written_down: true, ..self }
    }

    fn thing(&self) -> anyhow::Result<Arc<Thing>> {
        let thing = match self.is_written_down {
            true => directories::thing("the directory", &self.path)?,
            false => Thing::new("the directory", self.path.display().to_string()).shown_by_name(),
        };
        Ok(self.made.get_or_init(|| Arc::new(thing.as_product())).clone())
    }

    async fn make(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let thing = self.thing()?;
        cx.journal.intend(&cx.facts.unique_name, vec![thing.clone()]).await?;
        // Of two builds that want the same directory at the same time, one is told so here.
        tokio::fs::create_dir(&self.path).await?;
        cx.journal.made(&thing, &directories::identity(&self.path)?);
        Ok(())
    }
}

#[async_trait]
impl Step for OutputDirectory {
    type Output = ();

    fn name(&self) -> &'static str {
        "make the output directory"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.made.get().cloned().into_iter().collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let path = self.path.display();
        if tokio::fs::try_exists(&self.path).await? {
            if !cx.facts.force && !self.replaces {
                bail!(
                    "the output directory {path} exists already: remove it, or build with -force"
                );
            }
            cx.ui.say("Deleting previous output directory...");
            remove_directory(&self.path).await?;
        }
        if let Some(parent) = self.path.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        self.make(cx).await.with_context(|| format!("cannot make the directory {path}"))
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Failed && cx.provisioning.keeps_failed_image() {
            cx.ui.say(format!("{} stays, as `keep_failed` asks", self.path.display()));
            return Ok(());
        }
        let is_ours = self.made.get().is_some_and(|thing| thing.id().is_some());
        if ending == Ending::Failed && is_ours {
            cx.ui.say("Deleting output directory...");
            remove_directory(&self.path).await?;
        }
        Ok(())
    }
}
