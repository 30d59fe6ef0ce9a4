//! The volume comes to the host. Builds that run at the same time take one device each.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};

use crate::aws::allow::Regions;
use crate::aws::attachment::{self, Waiting};
use crate::builder::amazon::build::Build;
use crate::builder::amazon::chroot::host::Host;
use crate::builder::amazon::chroot::options::ChrootOptions;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::retry;
use crate::step::{Ending, Step};

/// What all builds on this host hold while they choose a device.
const LOCK: &str = "/var/lock/packer-chroot/lock";
/// How often to see whether it is free.
const LOOK: Duration = Duration::from_millis(200);
/// How the kernel may call a device that EC2 calls `/dev/sdf`.
const PREFIXES: [&str; 2] = ["sd", "xvd"];

/// Attaches the volume.
pub(super) struct AttachVolume {
    build: Build,
    options: Arc<ChrootOptions>,
    host: Host,
    volume: String,
}

impl AttachVolume {
    pub(super) fn new(
        build: &Build,
        options: &Arc<ChrootOptions>,
        host: &Host,
        volume: &str,
    ) -> Self {
        let (options, host) = (options.clone(), host.clone());
        Self { build: build.clone(), options, host, volume: volume.to_owned() }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.on(&["instance"], &["AttachVolume"]),
            at.on_ours("volume", &["AttachVolume"]),
            at.look(&["DescribeVolumes"]),
        ]
    }

    /// Takes the volume off the host again.
    pub(super) async fn detach(
        build: &Build,
        cx: &BuildContext,
        volume: &str,
    ) -> anyhow::Result<()> {
        attachment::detach(&build.ec2(cx), waiting(build, cx), volume).await
    }
}

fn waiting<'a>(build: &'a Build, cx: &'a BuildContext) -> Waiting<'a> {
    let patience = build.patience(cx, attachment::PATIENCE);
    Waiting { ui: &cx.ui, cancel: &cx.cancel, patience, memory: &build.account.memory }
}

/// The lock, when nobody else has it.
async fn locked(cx: &BuildContext) -> anyhow::Result<File> {
    let path = Path::new(LOCK);
    let open = || {
        DirBuilder::new().recursive(true).mode(0o755).create(path.parent()?).ok()?;
        OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()
    };
    let file = open().with_context(|| format!("cannot open the lock {LOCK}"))?;
    let wait = async {
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            retry::sleep(&cx.cancel, LOOK).await?;
        }
        anyhow::Ok(())
    };
    let said = || cx.ui.say(format!("Waiting for another build on this host ({LOCK})"));
    retry::told(wait, said).await?;
    Ok(file)
}

/// The first device that nothing is on.
fn free_device() -> anyhow::Result<String> {
    let is_free = |letter: &char| {
        PREFIXES.iter().all(|prefix| !Path::new(&format!("/dev/{prefix}{letter}")).exists())
    };
    let letter = ('f'..='p').find(is_free);
    let letter = letter.context("no device from /dev/sdf to /dev/sdp is free on this host")?;
    let has = |prefix: &str| {
        Path::new(&format!("/dev/{prefix}a")).exists()
            || Path::new(&format!("/dev/{prefix}a1")).exists()
    };
    let prefix = if has("xvd") { "xvd" } else { "sd" };
    Ok(format!("/dev/{prefix}{letter}"))
}

/// As EC2 wants to hear of it.
fn for_ec2(device: &str) -> String {
    device.replacen("/xvd", "/sd", 1)
}

#[async_trait]
impl Step for AttachVolume {
    /// The device on this host.
    type Output = String;

    fn name(&self) -> &'static str {
        "attach the volume"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let _lock = locked(cx).await?;
        let device = match self.options.device_path.as_str() {
            "" => free_device()?,
            given => {
                let is_taken = Path::new(given).exists();
                ensure!(!is_taken, "`device_path`: something is on {given} already");
                given.to_owned()
            }
        };
        cx.ui.say(format!("Attaching {} as {device}", self.volume));
        let (ec2, on_host) = (self.build.ec2(cx), for_ec2(&device));
        let place = (self.host.id.as_str(), on_host.as_str());
        attachment::attach(&ec2, waiting(&self.build, cx), &self.volume, place).await?;
        Ok(device)
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        Self::detach(&self.build, cx, &self.volume).await
    }
}

#[test]
fn ec2_calls_devices_as_it_does() {
    assert_eq!(for_ec2("/dev/xvdf"), "/dev/sdf");
    assert_eq!(for_ec2("/dev/sdf"), "/dev/sdf");
}
