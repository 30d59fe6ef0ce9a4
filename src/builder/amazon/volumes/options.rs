//! The options of the volumes that are made.

use aws_sdk_ec2::types::Tag;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{TagBlock, TagMap};
use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::build::{check_tags, render_tags};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{BuildContext, Check};
use crate::diagnostic::code;

/// The volumes to make.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumesOptions {
    /// The volumes that the machine gets, a block for each. Those without `delete_on_termination`
    /// are what the build leaves.
    pub ebs_volumes: Vec<EbsVolume>,
}

/// A volume, and its snapshot.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EbsVolume {
    /// The device, e.g. `/dev/xvdf`.
    pub device_name: String,
    /// Its size in GiB; that of the snapshot if not given.
    pub volume_size: Option<i32>,
    /// `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`.
    pub volume_type: String,
    /// Operations each second, for `io1`, `io2` and `gp3`.
    pub iops: Option<i32>,
    /// MiB each second, for `gp3`: 125 to 1000.
    pub throughput: Option<i32>,
    /// Whether the volume goes when the build ends.
    pub delete_on_termination: bool,
    /// Whether the volume is encrypted.
    pub encrypted: Option<bool>,
    /// The key to encrypt it with.
    pub kms_key_id: String,
    /// The snapshot that the volume is made of.
    pub snapshot_id: String,
    /// `ephemeral0` and so on: an instance store instead of a volume.
    pub virtual_name: String,
    /// Whether the device is left out, although the source AMI has it.
    pub no_device: bool,
    /// Tags of the volume; keys and values may use `{{ .SourceAMI }}` and its like. A volume that
    /// stays has these instead of `run_volume_tags`.
    pub tags: TagMap,
    /// The same as `tags`, a block for each.
    pub tag: Vec<TagBlock>,
    /// Whether a snapshot is made of the volume when the machine is stopped. A spot instance is not
    /// stopped: have a provisioner flush what was written.
    pub snapshot_volume: bool,
    /// The description of the snapshot; `Packer: ` and the time if not given.
    pub snapshot_description: String,
    /// Tags of the snapshot.
    pub snapshot_tags: TagMap,
    /// The same as `snapshot_tags`, a block for each.
    pub snapshot_tag: Vec<TagBlock>,
    /// Account ids that may make volumes of the snapshot.
    pub snapshot_users: Vec<String>,
    /// Groups that may make volumes of the snapshot: `all` makes it public.
    pub snapshot_groups: Vec<String>,
}

const OPTION: &str = "ebs_volumes";

impl VolumesOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        for volume in &self.ebs_volumes {
            volume.device().check(OPTION, check);
            check_tags(&format!("{OPTION}.tag"), &volume.tag, check);
            check_tags(&format!("{OPTION}.snapshot_tag"), &volume.snapshot_tag, check);
            if !volume.snapshot_description.is_empty() && !volume.snapshot_volume {
                let cause = "there is no snapshot to describe: set `snapshot_volume`";
                check.error(&format!("{OPTION}.snapshot_description"), cause);
            }
            if !volume.snapshot_volume {
                volume.warn_of_idle_options(check);
            }
        }
    }

    /// Those of which snapshots are made.
    pub fn with_snapshots(&self) -> impl Iterator<Item = &EbsVolume> {
        self.ebs_volumes.iter().filter(|volume| volume.snapshot_volume)
    }

    /// Whether others may make volumes of one of the snapshots.
    pub fn shares_snapshots(&self) -> bool {
        let is_shared =
            |one: &EbsVolume| !one.snapshot_users.is_empty() || !one.snapshot_groups.is_empty();
        self.with_snapshots().any(is_shared)
    }

    /// The devices that the machine gets.
    pub fn devices(&self) -> Vec<BlockDevice> {
        self.ebs_volumes.iter().map(EbsVolume::device).collect()
    }
}

impl EbsVolume {
    /// The device of the machine. A volume that does not go with the machine is kept.
    fn device(&self) -> BlockDevice {
        BlockDevice {
            device_name: self.device_name.clone(),
            volume_size: self.volume_size,
            volume_type: self.volume_type.clone(),
            iops: self.iops,
            throughput: self.throughput,
            delete_on_termination: Some(self.delete_on_termination),
            encrypted: self.encrypted,
            kms_key_id: self.kms_key_id.clone(),
            snapshot_id: self.snapshot_id.clone(),
            virtual_name: self.virtual_name.clone(),
            no_device: self.no_device,
        }
    }

    /// Says which options have no snapshot to be about.
    fn warn_of_idle_options(&self, check: &mut Check<'_>) {
        let given = [
            ("snapshot_tags", !self.snapshot_tags.is_empty()),
            ("snapshot_tag", !self.snapshot_tag.is_empty()),
            ("snapshot_users", !self.snapshot_users.is_empty()),
            ("snapshot_groups", !self.snapshot_groups.is_empty()),
        ];
        for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            let text = format!("`{option}` has no effect: there is no snapshot");
            let warning = check.warn(code::OPTION_VALUE, &format!("{OPTION}.{option}"), text);
            warning.help = Some("set `snapshot_volume`, or remove it".to_owned());
        }
    }

    /// The tags of its snapshot, with the facts of the source AMI filled in.
    pub(super) fn render_snapshot_tags(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
    ) -> anyhow::Result<Vec<Tag>> {
        let option = "ebs_volumes.snapshot_tags";
        render_tags(cx, source, option, &self.snapshot_tags, &self.snapshot_tag)
    }

    /// Whether it has tags of its own.
    pub fn is_tagged(&self) -> bool {
        !self.tags.is_empty() || !self.tag.is_empty()
    }
}
