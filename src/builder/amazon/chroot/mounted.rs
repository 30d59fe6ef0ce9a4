//! What is mounted and copied on this host for a build, and how it is taken back: early, before the
//! volume becomes a snapshot, or when the build fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::builder::amazon::chroot::local::Local;
use crate::builder::amazon::chroot::mount::Mount;
use crate::component::BuildContext;
use crate::guest::shell::quote;
use crate::journal::Thing;

/// The volume where it is mounted, and what is in it that does not belong there.
#[derive(Debug)]
pub(super) struct Mounted {
    pub local: Local,
    /// The root of the volume.
    pub path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were made.
    mounts: Vec<(Mount, Arc<Thing>)>,
    copied: Vec<PathBuf>,
}

impl Mounted {
    /// Nothing so far, at `path`.
    pub(super) fn new(local: Local, path: PathBuf) -> Self {
        Self { local, path, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `path` of the volume is on this host.
    pub(super) fn inside(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// Mounts with the arguments `what`, as `mount`, which is written down already.
    pub(super) async fn mount(
        &self,
        cx: &BuildContext,
        what: &str,
        mount: &Mount,
        thing: &Arc<Thing>,
    ) -> anyhow::Result<()> {
        thing.attempt();
        self.state().mounts.push((mount.clone(), thing.clone()));
        let path = mount.path.display().to_string();
        let command = format!("mount {what} {}", quote(&path));
        self.local.run(&command, &cx.ui, &cx.cancel).await?;
        cx.journal.made(thing, &path);
        Ok(())
    }

    /// Copies `file` of this host to the same place in the volume.
    pub(super) async fn copy(&self, cx: &BuildContext, file: &str) -> anyhow::Result<()> {
        let to = self.inside(file);
        self.state().copied.push(to.clone());
        let to = to.display().to_string();
        let command = format!("cp --remove-destination {} {}", quote(file), quote(&to));
        self.local.run(&command, &cx.ui, &cx.cancel).await
    }

    /// Removes what was copied. It may be done twice.
    pub(super) async fn remove_copies(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let copied = std::mem::take(&mut self.state().copied);
        for file in copied {
            let command = format!("rm -f {}", quote(&file.display().to_string()));
            self.local.run(&command, &cx.ui, &CancellationToken::new()).await?;
        }
        Ok(())
    }

    /// Unmounts all that was mounted after the first `kept`, the last one first. It may be done twice.
    pub(super) async fn unmount(&self, cx: &BuildContext, kept: usize) -> anyhow::Result<()> {
        loop {
            let last = self.state().mounts.get(kept..).and_then(<[_]>::last).cloned();
            let Some((mount, thing)) = last else { return Ok(()) };
            if mount.is_there().context("cannot see what is mounted")? {
                let command = format!("umount {}", quote(&mount.path.display().to_string()));
                self.local.run(&command, &cx.ui, &CancellationToken::new()).await?;
            }
            cx.journal.gone(&thing);
            self.state().mounts.pop();
        }
    }
}

/// `path` with the directories above it.
pub(super) fn make_directory(path: &Path) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}
