//! Snapshots of the volumes, where the template wants them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_snapshot::CreateSnapshotOutput;
use aws_sdk_ec2::types::{ResourceType, SnapshotState, Tag};
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::resource::volume_snapshot::{self, VolumeSnapshot};
use crate::aws::resource::{Resource as _, snapshot};
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::build::Build;
use crate::builder::amazon::share_snapshot::share_snapshot;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How long a snapshot may stay without progress.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A snapshot that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct WantedSnapshot {
    /// The volume.
    pub volume: String,
    /// Where the volume is attached.
    pub device: String,
    /// What the template says of it, if anything.
    pub description: String,
    /// The tags that it is made with, beside ours.
    pub tags: Vec<Tag>,
    /// Accounts that may make volumes of it.
    pub users: Vec<String>,
    /// Groups that may make volumes of it.
    pub groups: Vec<String>,
}

/// A snapshot that was made.
#[derive(Clone, Debug)]
pub(crate) struct MadeSnapshot {
    /// Where its volume is attached.
    pub device: String,
    /// Its id.
    pub id: String,
}

/// Makes the snapshots, waits for them, and shares them. A failed build leaves none.
pub(super) struct SnapshotVolumes {
    build: Build,
    snapshots: Vec<(WantedSnapshot, Arc<Thing>)>,
    /// Whether the AMI that is made of them goes when it fails its tests, whatever these say: an old one
    /// gets its name back.
    force: bool,
}

impl SnapshotVolumes {
    /// Of the volumes of a machine that is stopped, unless it is a spot instance. They go in any case if
    /// they are there only until an AMI is copied: `is_intermediary`.
    pub(super) fn new(build: &Build, wanted: Vec<WantedSnapshot>, is_intermediary: bool) -> Self {
        let snapshot = |wanted: WantedSnapshot| {
            let (volume, token) = (wanted.volume.clone(), build.token.clone());
            let made = VolumeSnapshot { volume, token, is_intermediary };
            (wanted, Arc::new(made.thing(&build.account, build.account.region())))
        };
        let snapshots = wanted.into_iter().map(snapshot).collect();
        Self { build: build.clone(), snapshots, force: false }
    }

    /// The same, for an AMI with `force_deregister`.
    pub(super) fn with_force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(is_shared: bool, at: &Regions) -> Vec<Permission> {
        let mut all = vec![
            at.on_ours("volume", &["CreateSnapshot"]),
            at.make("snapshot", &["CreateSnapshot"]),
            at.tag_with(&["snapshot"], &["CreateSnapshot"]),
        ];
        all.extend(VolumeSnapshot::permissions(at));
        let share = || at.on(&["snapshot"], &["ModifySnapshotAttribute"]);
        all.extend(is_shared.then(share));
        all
    }

    async fn make(
        &self,
        cx: &BuildContext,
        wanted: &WantedSnapshot,
        made: &Thing,
    ) -> anyhow::Result<MadeSnapshot> {
        let WantedSnapshot { volume, device, .. } = wanted;
        let tags = wanted.tags.iter().cloned().chain(self.build.known_as_ours(cx));
        let tags = specification(ResourceType::Snapshot, &tags.collect::<Vec<_>>());
        let description = match wanted.description.as_str() {
            "" => format!("Packer: {}", cx.facts.scope.environment.started),
            given => given.to_owned(),
        };
        let ec2 = self.build.ec2(cx);
        cx.ui.say(format!("Creating a snapshot of {volume} ({device})"));
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
        share_snapshot(&ec2, &id, &wanted.users, &wanted.groups).await?;
        Ok(MadeSnapshot { device: device.clone(), id })
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
    type Output = Vec<MadeSnapshot>;

    fn name(&self) -> &'static str {
        "make snapshots of the volumes"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.snapshots.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<MadeSnapshot>> {
        let all = self.snapshots.iter().map(|(wanted, made)| self.make(cx, wanted, made));
        join_all(all).await.into_iter().collect()
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let mut goes = self.makes();
        let stays = ending == Ending::Done || (cx.provisioning.keeps_failed_image() && !self.force);
        goes.retain(|made| !(stays && made.is_product()));
        self.build.removal(cx).remove_all(&goes).await
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
