//! Volumes come to instances and go, and both take a moment.

use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_ec2::types::{Volume, VolumeAttachmentState, VolumeState};
use tokio_util::sync::CancellationToken;

use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::wait::{Memory, Seen, Wait};
use crate::event::Ui;

/// How long a volume may take.
pub const PATIENCE: Duration = Duration::from_secs(200);

/// How it is waited.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// Who says that it takes long.
    pub ui: &'a Ui,
    /// Ends the wait.
    pub cancel: &'a CancellationToken,
    /// How long nothing may change.
    pub patience: Duration,
    /// How long it took before.
    pub memory: &'a Memory,
}

impl Waiting<'_> {
    async fn until<F>(
        self,
        kind: &'static str,
        what: &str,
        look: impl FnMut() -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<Seen<()>>>,
    {
        let wait = Wait { kind, what, patience: self.patience, memory: self.memory };
        wait.until(self.ui, self.cancel, look).await
    }
}

/// Waits until the new volume `id` is there.
pub async fn available(ec2: &Ec2, waiting: Waiting<'_>, id: &str) -> anyhow::Result<()> {
    waiting.until("volume available", id, || is_free(ec2, id)).await
}

/// Attaches the volume `id` to an instance as a device, and waits until it is there.
pub async fn attach(
    ec2: &Ec2,
    waiting: Waiting<'_>,
    id: &str,
    (instance, device): (&str, &str),
) -> anyhow::Result<()> {
    let request = ec2.attach_volume().volume_id(id).instance_id(instance).device(device);
    match ec2.call("AttachVolume", |_| request.clone().send()).await {
        // A try before this one may have done it, although nobody heard of it.
        Err(error) if error.meaning == Meaning::TooSoon => {
            let elsewhere = |one: &Volume| {
                one.attachments().iter().all(|at| at.instance_id() != Some(instance))
            };
            let found = by_id(ec2, id).await?;
            if found.is_none_or(|volume| elsewhere(&volume)) {
                return Err(error.into());
            }
        }
        attached => drop(attached?),
    }
    waiting.until("volume attached", id, || is_attached(ec2, id, instance)).await
}

/// Takes the volume `id` off its instance, and waits until it is free. It is no error if it is that
/// already, or gone.
pub async fn detach(ec2: &Ec2, waiting: Waiting<'_>, id: &str) -> anyhow::Result<()> {
    let Some(volume) = by_id(ec2, id).await? else { return Ok(()) };
    let Some(attached) = volume.attachments().first() else { return Ok(()) };
    let request = ec2
        .detach_volume()
        .volume_id(id)
        .set_instance_id(attached.instance_id().map(str::to_owned))
        .set_device(attached.device().map(str::to_owned));
    match ec2.call("DetachVolume", |_| request.clone().send()).await {
        // It is on its way already.
        Err(error) if error.meaning == Meaning::TooSoon => {}
        detached => drop(detached?),
    }
    waiting.until("volume detached", id, || is_free(ec2, id)).await
}

async fn is_free(ec2: &Ec2, id: &str) -> anyhow::Result<Seen<()>> {
    let Some(volume) = by_id(ec2, id).await? else { return Ok(Seen::pending("not known yet")) };
    match volume.state() {
        Some(VolumeState::Available) => Ok(Seen::Ready(())),
        Some(VolumeState::Error) => bail!("EC2 cannot make the volume {id}"),
        other => Ok(Seen::pending(other.map_or("not known yet", VolumeState::as_str))),
    }
}

async fn is_attached(ec2: &Ec2, id: &str, instance: &str) -> anyhow::Result<Seen<()>> {
    let volume = by_id(ec2, id).await?.with_context(|| format!("the volume {id} is gone"))?;
    let here = volume.attachments().iter().find(|one| one.instance_id() == Some(instance));
    match here.and_then(|one| one.state()) {
        Some(VolumeAttachmentState::Attached) => Ok(Seen::Ready(())),
        other => Ok(Seen::pending(other.map_or("not known yet", VolumeAttachmentState::as_str))),
    }
}

/// The volume `id`, if the API knows it.
pub async fn by_id(ec2: &Ec2, id: &str) -> Result<Option<Volume>, ApiError> {
    let request = ec2.describe_volumes().volume_ids(id);
    match ec2.call("DescribeVolumes", |_| request.clone().send()).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => Ok(found?.volumes.unwrap_or_default().into_iter().next()),
    }
}
