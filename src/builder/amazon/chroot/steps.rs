//! What happens on this host: commands, mounts, copies; and the way back.

use std::sync::Arc;

use async_trait::async_trait;

use crate::builder::amazon::build::Build;
use crate::builder::amazon::chroot::attach_volume::AttachVolume;
use crate::builder::amazon::chroot::local::Local;
use crate::builder::amazon::chroot::mount::Mount;
use crate::builder::amazon::chroot::mounted::{Mounted, make_directory};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::guest::shell::quote;
use crate::journal::Thing;
use crate::step::{Ending, Step};

/// Runs commands on this host.
pub(super) struct RunCommands {
    pub local: Local,
    pub commands: Vec<String>,
    /// When that is.
    pub name: &'static str,
}

#[async_trait]
impl Step for RunCommands {
    type Output = ();

    fn name(&self) -> &'static str {
        self.name
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        for command in &self.commands {
            cx.ui.say(format!("Executing command: {command}"));
            self.local.run(command, &cx.ui, &cx.cancel).await?;
        }
        Ok(())
    }
}

/// Mounts things: the volume, or what is mounted into it.
pub(super) struct MountAll {
    mounted: Arc<Mounted>,
    /// The arguments of each, and what comes of it.
    mounts: Vec<(String, Mount, Arc<Thing>)>,
    /// How many mounts there were before.
    before: usize,
    name: &'static str,
}

impl MountAll {
    /// The volume, which is `device`, with these options.
    pub(super) fn of_volume(
        mounted: &Arc<Mounted>,
        device: &str,
        options: &[String],
    ) -> anyhow::Result<Self> {
        let options = options.iter().map(|option| format!("-o {option} "));
        let what = format!("{}{}", options.collect::<String>(), quote(device));
        let mount = Mount::at(&mounted.path)?;
        let thing = Arc::new(mount.thing());
        let (mounts, name) = (vec![(what, mount, thing)], "mount the volume");
        Ok(Self { mounted: mounted.clone(), mounts, before: 0, name })
    }

    /// What the template wants to have in the volume: type, source and place of each.
    pub(super) fn into_volume(
        mounted: &Arc<Mounted>,
        wanted: &[Vec<String>],
    ) -> anyhow::Result<Self> {
        let mounts = wanted.iter().filter_map(|mount| match mount.as_slice() {
            [kind, source, place] => Some((kind, source, place)),
            _ => None,
        });
        let mounts = mounts.map(|(kind, source, place)| {
            let what = match kind.as_str() {
                "bind" => format!("--bind {}", quote(source)),
                kind => format!("-t {} {}", quote(kind), quote(source)),
            };
            let mount = Mount::at(&mounted.inside(place))?;
            let thing = Arc::new(mount.thing());
            Ok((what, mount, thing))
        });
        let mounts = mounts.collect::<anyhow::Result<_>>()?;
        Ok(Self { mounted: mounted.clone(), mounts, before: 1, name: "mount into the volume" })
    }
}

#[async_trait]
impl Step for MountAll {
    type Output = ();

    fn name(&self) -> &'static str {
        self.name
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.mounts.iter().map(|(.., thing)| thing.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        for (what, mount, thing) in &self.mounts {
            make_directory(&mount.path)?;
            cx.ui.say(format!("Mounting {}", mount.path.display()));
            self.mounted.mount(cx, what, mount, thing).await?;
        }
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.mounted.unmount(cx, self.before).await
    }
}

/// Copies files of this host into the volume, for as long as it is provisioned.
pub(super) struct CopyFiles {
    pub mounted: Arc<Mounted>,
    pub files: Vec<String>,
}

#[async_trait]
impl Step for CopyFiles {
    type Output = ();

    fn name(&self) -> &'static str {
        "copy files"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        for file in &self.files {
            cx.ui.say(format!("Copying {file} into the volume"));
            self.mounted.copy(cx, file).await?;
        }
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.mounted.remove_copies(cx).await
    }
}

/// Takes all of it back before the volume becomes a snapshot.
pub(super) struct LeaveVolume {
    pub build: Build,
    pub mounted: Arc<Mounted>,
    pub volume: String,
}

#[async_trait]
impl Step for LeaveVolume {
    type Output = ();

    fn name(&self) -> &'static str {
        "leave the volume"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say(format!("Unmounting and detaching {}", self.volume));
        self.mounted.remove_copies(cx).await?;
        self.mounted.unmount(cx, 0).await?;
        AttachVolume::detach(&self.build, cx, &self.volume).await
    }
}
