//! The options that only `amazon-ebs` has: disks, and what becomes of them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{TagBlock, TagMap};
use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::image::ami::check_tags;
use crate::builder::amazon::image::copies::CopyOptions;
use crate::builder::amazon::image::fast_launch::FastLaunch;
use crate::component::Check;

/// Disks, and what becomes of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EbsOptions {
    /// Whether the build ends without making an AMI.
    pub skip_create_ami: bool,
    /// Whether `run_tags` are kept off the AMI and its snapshots.
    pub skip_ami_run_tags: bool,
    /// Disks of the AMI that differ from those of the machine.
    pub ami_block_device_mappings: Vec<BlockDevice>,
    /// Disks of the machine that differ from those of the source AMI.
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// Tags of the machine's volumes.
    pub run_volume_tags: TagMap,
    /// The same as `run_volume_tags`, a block for each.
    pub run_volume_tag: Vec<TagBlock>,
    /// Whether instance stores are kept out of the AMI (`xvdca` to `xvdcz` are mapped to nothing).
    pub no_ephemeral: bool,
    /// Windows only: instances that EC2 starts ahead of time, so that later ones come up sooner.
    pub fast_launch: FastLaunch,
}

impl EbsOptions {
    /// Reports what is wrong, also with the region of the build and of its `copies`.
    pub fn check(&self, region: &str, copies: &CopyOptions, check: &mut Check<'_>) {
        for (option, devices) in [
            ("ami_block_device_mappings", &self.ami_block_device_mappings),
            ("launch_block_device_mappings", &self.launch_block_device_mappings),
        ] {
            devices.iter().for_each(|device| device.check(option, check));
        }
        check_tags("run_volume_tag", &self.run_volume_tag, check);
        self.fast_launch.check(region, copies, check);
    }
}
