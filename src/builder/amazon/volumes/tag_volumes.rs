//! The volumes of the machine get their own tags, before anything is written on them.

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::Volume;
use futures::future::try_join_all;

use crate::aws::allow::Regions;
use crate::aws::instance;
use crate::aws::tags;
use crate::builder::amazon::build::{Build, render_tags};
use crate::builder::amazon::machine::VolumeTags;
use crate::builder::amazon::snapshot_volumes::WantedSnapshot;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::amazon::volumes::options::{EbsVolume, VolumesOptions};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Finds the volumes that the template describes, and tags them.
pub(crate) struct TagVolumes {
    build: Build,
    source: SourceAmi,
    /// The machine.
    instance: String,
    wanted: Vec<EbsVolume>,
    /// The tags that volumes have as long as they are the machine's.
    of_machine: VolumeTags,
}

/// A volume of the machine, as the template wants it.
#[derive(Clone, Debug)]
pub(crate) struct AttachedVolume {
    /// Its id.
    pub id: String,
    /// What the template says of it.
    pub wanted: EbsVolume,
}

impl AttachedVolume {
    /// The snapshot that the template wants of it, if it wants one.
    pub(crate) fn snapshot(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
    ) -> Option<anyhow::Result<WantedSnapshot>> {
        let Self { id, wanted } = self;
        let snapshot = |tags| WantedSnapshot {
            volume: id.clone(),
            device: wanted.device_name.clone(),
            description: wanted.snapshot_description.clone(),
            tags,
            users: wanted.snapshot_users.clone(),
            groups: wanted.snapshot_groups.clone(),
        };
        let tags = || wanted.render_snapshot_tags(cx, source);
        wanted.snapshot_volume.then(|| tags().map(snapshot))
    }
}

impl TagVolumes {
    pub(crate) fn new(
        build: &Build,
        source: &SourceAmi,
        instance: &str,
        options: &VolumesOptions,
        of_machine: &VolumeTags,
    ) -> Self {
        Self {
            build: build.clone(),
            source: source.clone(),
            instance: instance.to_owned(),
            wanted: options.ebs_volumes.clone(),
            of_machine: of_machine.clone(),
        }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(
        options: &VolumesOptions,
        of_machine: &VolumeTags,
        at: &Regions,
    ) -> Vec<Permission> {
        let volumes = &options.ebs_volumes;
        let stays = volumes.iter().any(|volume| !volume.delete_on_termination);
        let tags = || at.on_ours("volume", &["CreateTags"]);
        let untags = || at.on_ours("volume", &["DeleteTags"]);
        let mut all = vec![at.look(&["DescribeVolumes"])];
        all.extend(volumes.iter().any(EbsVolume::is_tagged).then(tags));
        all.extend((stays && of_machine.are_given()).then(untags));
        all
    }

    /// What the template says of `volume`, which is attached to the machine.
    fn wanted(&self, volume: Volume) -> Option<AttachedVolume> {
        let mut attachments = volume.attachments().iter();
        let here = attachments.find(|one| one.instance_id() == Some(self.instance.as_str()))?;
        let wanted = self
            .wanted
            .iter()
            .find(|wanted| here.device() == Some(&wanted.device_name))
            .cloned()?;
        Some(AttachedVolume { id: volume.volume_id?, wanted })
    }

    /// Has `volume` tagged as the template says; what stays loses the tags `before`, of the machine's
    /// volumes.
    async fn tag(
        &self,
        cx: &BuildContext,
        volume: &AttachedVolume,
        before: &[&str],
    ) -> anyhow::Result<()> {
        let (ec2, ids) = (self.build.ec2(cx), std::slice::from_ref(&volume.id));
        let wanted = &volume.wanted;
        if !wanted.delete_on_termination && !before.is_empty() {
            tags::remove(&ec2, ids, before).await?;
        }
        let own = render_tags(cx, &self.source, "ebs_volumes.tags", &wanted.tags, &wanted.tag)?;
        if !own.is_empty() {
            cx.ui.say(format!("Tagging the volume {} ({})", volume.id, wanted.device_name));
            tags::put(&ec2, ids, &own).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Step for TagVolumes {
    type Output = Vec<AttachedVolume>;

    fn name(&self) -> &'static str {
        "tag the volumes"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<AttachedVolume>> {
        // What is missing for the texts of the snapshots should not be found out when all is baked.
        for one in self.wanted.iter().filter(|one| one.snapshot_volume) {
            one.render_snapshot_tags(cx, &self.source)?;
        }
        let before = self.of_machine.render(cx, &self.source)?;
        let before: Vec<&str> = before.iter().filter_map(|tag| tag.key()).collect();
        let attached = instance::volumes(&self.build.ec2(cx), &self.instance).await?;
        let mut volumes: Vec<_> =
            attached.into_iter().filter_map(|volume| self.wanted(volume)).collect();
        volumes.sort_by(|one, other| one.id.cmp(&other.id));
        let tagged = try_join_all(volumes.iter().map(|volume| self.tag(cx, volume, &before))).await;
        tagged.context("cannot tag the volumes")?;
        Ok(volumes)
    }
}
