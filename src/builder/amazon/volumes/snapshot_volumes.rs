//! Snapshots of the volumes, where the template wants them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_snapshot::CreateSnapshotOutput;
use aws_sdk_ec2::types::{ResourceType, SnapshotState};
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::resource::volume_snapshot::{self, VolumeSnapshot};
use crate::aws::resource::{Resource as _, snapshot};
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::build::Build;
use crate::builder::amazon::machine::Stopped;
use crate::builder::amazon::share_snapshot::share_snapshot;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::amazon::volumes::options::{EbsVolume, VolumesOptions};
use crate::builder::amazon::volumes::tag_volumes::AttachedVolume;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How long a snapshot may stay without progress.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Makes the snapshots, waits for them, and shares them. A failed build leaves none.
pub(crate) struct SnapshotVolumes {
    build: Build,
    source: SourceAmi,
    snapshots: Vec<(AttachedVolume, Arc<Thing>)>,
}

impl SnapshotVolumes {
    /// Of those of the `volumes` that the template wants snapshots of. Their machine is stopped, unless it is a spot instance.
    pub(crate) fn new(
        build: &Build,
        source: &SourceAmi,
        _stopped: &Stopped,
        volumes: &[AttachedVolume],
    ) -> Self {
        let wanted = volumes.iter().filter(|volume| volume.wanted.snapshot_volume);
        let snapshot = |volume: &AttachedVolume| {
            let made = VolumeSnapshot { volume: volume.id.clone(), token: build.token.clone() };
            (volume.clone(), Arc::new(made.thing(&build.account, build.account.region())))
        };
        let snapshots = wanted.map(snapshot).collect();
        Self { build: build.clone(), source: source.clone(), snapshots }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(options: &VolumesOptions, at: &Regions) -> Vec<Permission> {
        let wanted: Vec<&EbsVolume> = options.with_snapshots().collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut all = vec![
            at.on_ours("volume", &["CreateSnapshot"]),
            at.make("snapshot", &["CreateSnapshot"]),
            at.tag_with(&["snapshot"], &["CreateSnapshot"]),
        ];
        all.extend(VolumeSnapshot::permissions(at));
        let is_shared =
            |one: &&EbsVolume| !one.snapshot_users.is_empty() || !one.snapshot_groups.is_empty();
        let share = || at.on(&["snapshot"], &["ModifySnapshotAttribute"]);
        all.extend(wanted.iter().any(is_shared).then(share));
        all
    }

    async fn make(
        &self,
        cx: &BuildContext,
        AttachedVolume { id: volume, wanted }: &AttachedVolume,
        made: &Thing,
    ) -> anyhow::Result<String> {
        let mut tags = wanted.render_snapshot_tags(cx, &self.source)?;
        tags.extend(self.build.known_as_ours(cx));
        let tags = specification(ResourceType::Snapshot, &tags);
        let description = match wanted.snapshot_description.as_str() {
            "" => format!("Packer: {}", cx.facts.scope.environment.started),
            given => given.to_owned(),
        };
        let ec2 = self.build.ec2(cx);
        cx.ui.say(format!("Creating a snapshot of {volume} ({})", wanted.device_name));
        let request = ec2
            .create_snapshot()
            .volume_id(volume)
            .description(description)
            .set_tag_specifications(tags.map(|tags| vec![tags]));
        let id = |answer: CreateSnapshotOutput| answer.snapshot_id;
        let look = async || Ok(volume_snapshot::find(&ec2, volume, &self.build.token).await?);
        let call = ec2.make(made, "CreateSnapshot", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(made, &id);
        cx.ui.say(format!("Snapshot: {id}"));
        self.wait(cx, &id).await?;
        let ec2 = ec2.expecting([&id]);
        share_snapshot(&ec2, &id, &wanted.snapshot_users, &wanted.snapshot_groups).await?;
        Ok(id)
    }

    async fn wait(&self, cx: &BuildContext, id: &str) -> anyhow::Result<()> {
        let (ec2, memory) = (self.build.ec2(cx), &self.build.account.memory);
        let patience = self.build.patience(cx, PATIENCE);
        let wait = Wait { kind: "snapshot completed", what: id, patience, memory };
        wait.until(&cx.ui, &cx.cancel, || look(&ec2, id)).await
    }
}

async fn look(ec2: &Ec2, id: &str) -> anyhow::Result<Seen<()>> {
    let Some(found) = snapshot::own(ec2, id).await? else {
        return Ok(Seen::pending("not known yet"));
    };
    match found.state() {
        Some(SnapshotState::Completed) => Ok(Seen::Ready(())),
        Some(SnapshotState::Pending) | None => {
            let progress = snapshot::percent(&found);
            Ok(Seen::Pending { state: "pending".into(), progress })
        }
        Some(other) => bail!(
            "the snapshot {id} is {}: {}",
            other.as_str(),
            found.state_message().unwrap_or("EC2 gives no reason")
        ),
    }
}

#[async_trait]
impl Step for SnapshotVolumes {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "make snapshots of the volumes"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.snapshots.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let all = self.snapshots.iter().map(|(volume, made)| self.make(cx, volume, made));
        join_all(all).await.into_iter().collect()
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Done {
            return Ok(());
        }
        self.build.removal(cx).remove_all(&self.makes()).await
    }

    fn stands_alone(&self) -> bool {
        true
    }
}
