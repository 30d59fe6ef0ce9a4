//! A machine that an earlier run has kept goes on.
//!
//! Another run may have found it, too. Moving its directory into our own claims it: only one of both
//! can, and from then on it is a part of our output directory, which goes with a failed or killed run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use super::checkpoints::{self, forget_after};
use super::kept::{CD, FLOPPY, INSIDE, KEY, Kept};
use super::run::Start;
use crate::builder::directories::remove_directory;
use crate::builder::keep;
use crate::communicator::TemporaryKey;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::peer;
use crate::secret::Secret;
use crate::step::{Ending, Step};
use crate::vm::disk::QemuImg;
use crate::vm::format;
use crate::vm::machine::Machine;

/// How large the file of a private key may be.
const LARGEST_KEY: u64 = 64 << 10;

/// Claims a machine that was kept, and puts its files where they were.
pub(super) struct Claim {
    pub kept: Kept,
    /// The directory of the image.
    pub output: PathBuf,
    /// Where the disks are, the main one first.
    pub disks: Vec<PathBuf>,
    /// Where the UEFI's variables are.
    pub variables: Option<PathBuf>,
    /// What the main disk is an overlay of, and in which format that is.
    pub base: Option<(PathBuf, &'static str)>,
    pub has_cd: bool,
    pub has_floppy: bool,
    pub has_key: bool,
}

/// A machine that is ours now.
pub(super) struct Claimed {
    pub kept: Kept,
    pub cd: Option<PathBuf>,
    pub floppy: Option<PathBuf>,
    pub key: Option<Arc<TemporaryKey>>,
}

impl Claim {
    async fn take(&self, cx: &BuildContext, inside: &Path) -> anyhow::Result<Claimed> {
        let there = |wanted: bool, name: &str| {
            let path = inside.join(name);
            ensure!(!wanted || path.is_file(), "it has no {name}");
            anyhow::Ok(wanted.then_some(path))
        };
        for file in self.disks.iter().chain(&self.variables) {
            let name = file.file_name().context("a disk has no name")?;
            fs::rename(inside.join(name), file)
                .with_context(|| format!("it has no {}", name.display()))?;
        }
        self.check_disks(cx).await?;
        Ok(Claimed {
            kept: self.kept.clone(),
            cd: there(self.has_cd, CD)?,
            floppy: there(self.has_floppy, FLOPPY)?,
            key: there(self.has_key, KEY)?.map(|path| read_key(cx, &path)).transpose()?,
        })
    }

    /// Whoever has changed the disks must not get QEMU to open other files of this machine. States beyond
    /// the one to go on from are of no use.
    async fn check_disks(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let qemu_img = QemuImg::new(&cx.cancel);
        for (index, disk) in self.disks.iter().enumerate() {
            match self.base.as_ref().filter(|_| index == 0) {
                Some((base, base_format)) => {
                    format::check_overlay(disk)?;
                    qemu_img.set_base(disk, (base, base_format)).await?;
                }
                None => {
                    let format = format::of(disk)?;
                    ensure!(format == "qcow2", "{} is {format}", disk.display());
                }
            }
        }
        forget_after(&qemu_img, &self.disks, Some(self.kept.done)).await
    }
}

fn read_key(cx: &BuildContext, path: &Path) -> anyhow::Result<Arc<TemporaryKey>> {
    let text = peer::read_regular_text(path, LARGEST_KEY);
    let text = Secret::new(text.context("its key cannot be read")?);
    cx.redactor.register(text.expose());
    Ok(Arc::new(TemporaryKey::from_openssh(&text)?))
}

#[async_trait]
impl Step for Claim {
    /// `None`: it cannot be gone on with.
    type Output = Option<Claimed>;

    fn name(&self) -> &'static str {
        "claim the machine"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Claimed>> {
        let (path, inside) = (self.kept.path.display(), self.output.join(INSIDE));
        if let Err(error) = fs::rename(&self.kept.path, &inside) {
            cx.ui.say(format!("A clean start: {path} cannot be claimed: {error}"));
            return Ok(None);
        }
        cx.ui.say(format!("Going on with the machine of {path}: {}", keep::words(self.kept.done)));
        match self.take(cx, &inside).await {
            Ok(claimed) => Ok(Some(claimed)),
            Err(error) if cx.cancel.is_cancelled() => Err(error),
            Err(error) => {
                cx.ui.error(format!("A clean start: {path} cannot be gone on with: {error:#}"));
                drop_claimed(&self.output).await?;
                Ok(None)
            }
        }
    }
}

/// Empties the directory `output`: all in there is of a machine that cannot be gone on with.
async fn drop_claimed(output: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(output).with_context(|| output.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_directory(&path).await?;
        } else {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Starts a machine in a state in which it was kept.
pub(super) struct Resume {
    pub start: Start,
    /// How many provisioners had done their work then.
    pub done: usize,
    /// The directory of the image.
    pub output: PathBuf,
}

#[async_trait]
impl Step for Resume {
    /// `None`: it cannot be gone on with.
    type Output = Option<Arc<Machine>>;

    fn name(&self) -> &'static str {
        "go on with the machine"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<Machine>>> {
        let resumed = async {
            let machine = self.start.start(cx).await?;
            machine.load(&checkpoints::name(self.done)).await?;
            anyhow::Ok(machine)
        };
        match resumed.await {
            Ok(machine) => {
                cx.ui.say(
                    "The machine's clock has stood still since then, and its connections are gone",
                );
                Ok(Some(machine))
            }
            Err(error) if cx.cancel.is_cancelled() => Err(error),
            Err(error) => {
                cx.ui.error(format!("A clean start: the machine does not go on: {error:#}"));
                self.start.stop().await;
                drop_claimed(&self.output).await?;
                Ok(None)
            }
        }
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.start.undo(cx, ending).await
    }
}
