//! Disks of the machine and of the image.

use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice, VolumeType};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::Check;

/// One disk.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BlockDevice {
    /// The device, e.g. `/dev/sda1` or `xvdb`.
    pub device_name: String,
    /// Its size in GiB; that of the snapshot if not given.
    pub volume_size: Option<i32>,
    /// `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`.
    pub volume_type: String,
    /// Operations each second, for `io1`, `io2` and `gp3`.
    pub iops: Option<i32>,
    /// MiB each second, for `gp3`: 125 to 1000.
    pub throughput: Option<i32>,
    /// Whether the volume goes when its instance goes. If it is not given, instances of the image
    /// keep it (as if it were `false`), but the build leaves no volume behind.
    pub delete_on_termination: Option<bool>,
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
}

const VOLUME_TYPES: [&str; 7] = ["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"];

impl BlockDevice {
    /// Reports what is wrong with an entry of `option`.
    pub fn check(&self, option: &str, check: &mut Check<'_>) {
        if self.device_name.is_empty() {
            check.missing(&format!("{option}.device_name"), "say which device it is");
        }
        for cause in self.mistakes() {
            check.error(option, format!("{}: {cause}", self.device_name));
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let kind = self.volume_type.as_str();
        let mut found = Vec::new();
        if !kind.is_empty() && !VOLUME_TYPES.contains(&kind) {
            found.push(format!("`{kind}` is no volume_type: {}", VOLUME_TYPES.join(", ")));
        }
        if !self.kms_key_id.is_empty() && self.encrypted == Some(false) {
            found.push("`kms_key_id` needs `encrypted = true`".into());
        }
        if let Some(throughput) = self.throughput {
            if kind != "gp3" {
                found.push("`throughput` is for the volume_type gp3".into());
            } else if !(125..=1000).contains(&throughput) {
                found.push(format!("`throughput` is 125 to 1000, not {throughput}"));
            }
        }
        found.extend(self.wrong_iops(kind));
        found
    }

    fn wrong_iops(&self, kind: &str) -> Option<String> {
        let iops = self.iops?;
        let (range, per_gib) = match kind {
            "io1" => (100..=64_000, Some(50)),
            "io2" => (100..=64_000, Some(500)),
            "gp3" => (3_000..=16_000, None),
            _ => return None,
        };
        if !range.contains(&iops) {
            return Some(format!(
                "`iops` of {kind} is {} to {}, not {iops}",
                range.start(),
                range.end()
            ));
        }
        let (per_gib, size) = (per_gib?, self.volume_size?);
        (iops > size.saturating_mul(per_gib))
            .then(|| format!("`iops` of {kind} is at most {per_gib} for each GiB, not {iops}"))
    }

    /// Whether there is a volume on it.
    pub fn is_volume(&self) -> bool {
        !self.no_device && !self.virtual_name.starts_with("ephemeral")
    }

    /// As the API wants it.
    pub fn mapping(&self) -> BlockDeviceMapping {
        let mapping = BlockDeviceMapping::builder().device_name(&self.device_name);
        if self.no_device {
            return mapping.no_device("").build();
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mapping = mapping.set_virtual_name(some(&self.virtual_name));
        if !self.is_volume() {
            return mapping.build();
        }
        let disk = EbsBlockDevice::builder()
            .delete_on_termination(self.delete_on_termination.unwrap_or(false))
            .set_volume_size(self.volume_size)
            .set_volume_type(some(&self.volume_type).map(|kind| VolumeType::from(kind.as_str())))
            .set_iops(self.iops)
            .set_throughput(self.throughput)
            .set_encrypted(self.encrypted)
            .set_kms_key_id(some(&self.kms_key_id))
            .set_snapshot_id(some(&self.snapshot_id));
        mapping.ebs(disk.build()).build()
    }
}

/// `devices` as the API wants them.
pub fn mappings(devices: &[BlockDevice]) -> Vec<BlockDeviceMapping> {
    devices.iter().map(BlockDevice::mapping).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_disks_are_refused() {
        let disk = |kind: &str, iops, size| BlockDevice {
            volume_type: kind.into(),
            iops,
            volume_size: size,
            ..BlockDevice::default()
        };
        assert!(disk("gp2", None, Some(8)).mistakes().is_empty());
        assert!(disk("io1", Some(400), Some(8)).mistakes().is_empty());
        assert!(disk("io2", Some(4000), Some(8)).mistakes().is_empty());
        for wrong in [
            disk("gp9", None, None),
            disk("io1", Some(401), Some(8)),
            disk("io1", Some(99), None),
            disk("gp3", Some(2999), None),
            BlockDevice { throughput: Some(200), ..disk("gp2", None, None) },
            BlockDevice { throughput: Some(1001), ..disk("gp3", None, None) },
        ] {
            assert_eq!(wrong.mistakes().len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn an_instance_store_has_no_volume() {
        let disk = BlockDevice { virtual_name: "ephemeral0".into(), ..BlockDevice::default() };
        assert!(disk.mapping().ebs().is_none());
        assert!(BlockDevice::default().mapping().ebs().is_some());
    }
}
