//! The directory that a build leaves its files in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use crate::component::BuildContext;
use crate::journal::Thing;
use crate::step::{Ending, Step};

/// Makes the output directory; a failed build takes it back.
pub(super) struct OutputDirectory {
    path: PathBuf,
    /// Whether what is there goes, without `-force`.
    replaces: bool,
    /// From here on it is ours to remove.
    made: OnceLock<Arc<Thing>>,
}

impl OutputDirectory {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), replaces: false, made: OnceLock::new() }
    }

    /// The same; whether what is there is known to be an earlier image of this build, which goes.
    pub(super) fn replacing(self, replaces: bool) -> Self {
        Self { replaces, ..self }
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
        // Of two builds that want the same directory at the same time, one is told so here.
        let made = tokio::fs::create_dir(&self.path).await;
        made.with_context(|| format!("cannot make the directory {path}"))?;
        let path = path.to_string();
        self.made.get_or_init(|| Arc::new(Thing::new("the directory", path)));
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Failed && cx.provisioning.keeps_failed_image() {
            cx.ui.say(format!("{} stays, as `keep_failed` asks", self.path.display()));
            return Ok(());
        }
        if ending == Ending::Failed && self.made.get().is_some() {
            cx.ui.say("Deleting output directory...");
            remove_directory(&self.path).await?;
        }
        Ok(())
    }
}

/// Removes a directory and all that is in it, if it is there.
pub(super) async fn remove_directory(path: &Path) -> anyhow::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
