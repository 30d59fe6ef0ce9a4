//! States of a machine, disks and memory, that a later run can go on from. They are in the machine's own
//! disks as long as it is built, and nothing of them is in the finished image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use crate::builder::directories::remove_directory;
use crate::component::{self, BuildContext};
use crate::event::Phase;
use crate::retry::or_cancelled;
use crate::step::Step;
use crate::vm::disk::QemuImg;
use crate::vm::machine::Machine;

/// What a state is called on the disks: this, and how many provisioners have done their work.
const PREFIX: &str = "imgbake-";

/// What the state is called in which the first `done` provisioners have done their work.
pub(super) fn name(done: usize) -> String {
    format!("{PREFIX}{done}")
}

/// The states of a machine that were taken.
pub(super) struct Checkpoints {
    machine: Arc<Machine>,
    /// Where its disks are.
    directory: PathBuf,
    /// Its memory in MiB.
    memory: u64,
    taken: Mutex<BTreeSet<usize>>,
}

impl Checkpoints {
    /// Of `machine`, of which those in `taken` are there.
    pub fn new(machine: Arc<Machine>, directory: &Path, memory: u64, taken: Vec<usize>) -> Self {
        let taken = Mutex::new(taken.into_iter().collect());
        Self { machine, directory: directory.to_owned(), memory, taken }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how many provisioners they were taken, the first one first.
    pub fn all(&self) -> Vec<usize> {
        self.taken().iter().copied().collect()
    }

    /// Takes one, unless it is there.
    pub async fn save(&self, done: usize) -> anyhow::Result<()> {
        if self.taken().contains(&done) {
            return Ok(());
        }
        self.check_room()?;
        self.machine.save(&name(done)).await?;
        self.taken().insert(done);
        Ok(())
    }

    /// The memory may need all of its size. A build must not end because somebody fills its disk.
    fn check_room(&self) -> anyhow::Result<()> {
        let shown = self.directory.display();
        let facts = rustix::fs::statvfs(&self.directory);
        let facts = facts.with_context(|| format!("nobody says how much is free in {shown}"))?;
        let free = facts.f_bavail.saturating_mul(facts.f_frsize) >> 20;
        let memory = self.memory;
        ensure!(
            free > memory,
            "{free} MiB are free in {shown}, and the machine's memory may need {memory}"
        );
        Ok(())
    }
}

#[async_trait]
impl component::Checkpoints for Checkpoints {
    async fn take(&self, cx: &BuildContext, done: usize) {
        if self.taken().contains(&done) {
            return;
        }
        cx.ui.say(format!("Checkpoint {done}: keeping the machine's state"));
        if let Ok(Err(error)) = or_cancelled(&cx.cancel, self.save(done)).await {
            cx.ui.error(format!("Warning: there is no checkpoint {done}: {error:#}"));
        }
    }
}

/// Takes all that only a later run would have needed out of the finished machine.
pub(super) struct ForgetCheckpoints {
    pub checkpoints: Arc<Checkpoints>,
    pub disks: Vec<PathBuf>,
    /// The directory for what else a later run needs.
    pub inside: PathBuf,
}

#[async_trait]
impl Step for ForgetCheckpoints {
    type Output = ();

    fn name(&self) -> &'static str {
        "forget the checkpoints"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if !self.checkpoints.all().is_empty() {
            forget_after(&QemuImg::new(&cx.cancel), &self.disks, None).await?;
        }
        remove_directory(&self.inside).await
    }
}

/// Takes the states beyond `last` out of `disks`; all where there is none. States that others have taken
/// stay.
pub(super) async fn forget_after(
    qemu_img: &QemuImg,
    disks: &[PathBuf],
    last: Option<usize>,
) -> anyhow::Result<()> {
    for disk in disks {
        for state in qemu_img.states(disk).await? {
            let done = state.strip_prefix(PREFIX).and_then(|done| done.parse().ok());
            if done.is_some_and(|done: usize| last.is_none_or(|last| done > last)) {
                qemu_img.forget_state(disk, &state).await?;
            }
        }
    }
    Ok(())
}
