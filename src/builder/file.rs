//! The `file` builder: no machine, just a file; for trying post-processors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::fs;
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use crate::component::{
    Artifact, BuildContext, Builder, Check, Command, Communicator, Component, Exit, Upload,
};
use crate::diagnostic::code;
use crate::event::Ui;
use crate::guest::GuestOutput;
use crate::interpolate::BuildData;
use crate::peer;
use crate::step::{Ending, Step, Steps, remove_if_there};

/// What artifacts of this builder are known by.
pub const BUILDER_ID: &str = "packer.file";

/// The options of `file`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The file to write. Its directory is made where it is missing.
    target: PathBuf,
    /// A file to copy to `target`. Not together with `content`.
    source: Option<PathBuf>,
    /// The text to write to `target`. Not together with `source`.
    content: Option<String>,
}

/// See [`Options`].
#[derive(Debug)]
pub struct File {
    target: PathBuf,
    from: From,
}

/// What the file is made of.
#[derive(Clone, Debug)]
enum From {
    Source(PathBuf),
    Content(String),
}

impl Component for File {
    const TYPE: &'static str = "file";
    const ABOUT: &'static str = "Writes a file instead of an image; for trying post-processors.";
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if options.target.as_os_str().is_empty() {
            check.missing("target", "say which file to write");
        }
        let given = |text: &String| !text.is_empty();
        let source = options.source.filter(|path| !path.as_os_str().is_empty());
        let from = match (source, options.content.filter(given)) {
            (Some(_), Some(_)) => {
                check.error("content", "`source` and `content` exclude each other");
                return None;
            }
            (Some(source), None) => {
                if check.may_read("source", &source)
                    && let Err(error) = std::fs::metadata(&source)
                {
                    check.error("source", format!("cannot read {}: {error}", source.display()));
                }
                From::Source(source)
            }
            (None, Some(content)) => From::Content(content),
            (None, None) => {
                let text = "neither `source` nor `content` is given: the target will be empty";
                check.warn(code::OPTION_VALUE, "target", text);
                From::Content(String::new())
            }
        };
        Some(Self { target: options.target, from })
    }
}

#[async_trait]
impl Builder for File {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        steps.finish(self.write_and_provision(cx, &steps)).await?;
        Ok(Some(Arc::new(Stored { target: self.target.clone() })))
    }

    fn makes(&self) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

impl File {
    async fn write_and_provision(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<()> {
        let (target, from) = (self.target.clone(), self.from.clone());
        steps.run(Write { target, from, begun: AtomicBool::new(false) }).await?;
        let data = BuildData::from([("ID".to_owned(), "File".into())]);
        cx.provisioning.provision(cx, Arc::new(Nobody), data).await
    }
}

/// Writes the target; a build that fails later takes it back.
struct Write {
    target: PathBuf,
    from: From,
    /// From here on the target is ours to remove.
    begun: AtomicBool,
}

#[async_trait]
impl Step for Write {
    type Output = ();

    fn name(&self) -> &'static str {
        "write the file"
    }

    async fn run(&self, _cx: &BuildContext) -> anyhow::Result<()> {
        if let Some(dir) = self.target.parent() {
            let made = fs::create_dir_all(dir).await;
            made.with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        match &self.from {
            From::Source(source) => {
                let opened = peer::open_regular(source)
                    .with_context(|| format!("cannot read {}", source.display()))?;
                self.write(&mut fs::File::from_std(opened), 0o666).await
            }
            // The text may hold what was meant for one person's eyes.
            From::Content(content) => self.write(&mut content.as_bytes(), 0o600).await,
        }
        .with_context(|| format!("cannot write {}", self.target.display()))
    }

    async fn undo(&self, _cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Failed && self.begun.load(Ordering::Relaxed) {
            remove_if_there(&self.target).await?;
        }
        Ok(())
    }
}

impl Write {
    async fn write(&self, from: &mut (impl AsyncRead + Unpin), mode: u32) -> anyhow::Result<()> {
        self.begun.store(true, Ordering::Relaxed);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut target = options.open(&self.target).await?;
        tokio::io::copy(from, &mut target).await?;
        Ok(target.flush().await?)
    }
}

/// The artifact.
struct Stored {
    target: PathBuf,
}

#[async_trait]
impl Artifact for Stored {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        "File".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.target.clone()]
    }

    fn describe(&self) -> String {
        format!("Stored file: {}", self.target.display())
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        remove_if_there(&self.target).await
    }
}

/// The machine of a build that has none: provisioners run and nothing happens.
struct Nobody;

#[async_trait]
impl Communicator for Nobody {
    async fn run(
        &self,
        _command: Command<'_>,
        _output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        Ok(Exit::Status(0))
    }

    async fn upload(&self, _from: Upload<'_>, _to: &str, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }

    async fn upload_dir(&self, _from: &str, _to: &str, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }

    async fn download(&self, _from: &str, _to: &Path, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }

    async fn download_dir(&self, _from: &str, _to: &Path, _ui: &Ui) -> anyhow::Result<()> {
        Ok(())
    }

    async fn close(&self) {}
}
