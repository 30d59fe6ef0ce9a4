//! The options of the surrogate volumes, and the AMI's disks that they become.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::snapshot_volumes::MadeSnapshot;
use crate::component::Check;
use crate::diagnostic::code;

/// The volumes that the machine fills, and what the AMI makes of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SurrogateOptions {
    /// The volumes that the machine gets, a block for each. They become disks of the AMI. A spot
    /// instance is not stopped before that: have a provisioner flush what was written.
    pub launch_block_device_mappings: Vec<LaunchDevice>,
    /// Which of these volumes is the root device of the AMI.
    pub ami_root_device: RootDevice,
    /// The description of the snapshots; `Packer: ` and the time if not given.
    pub snapshot_description: String,
    /// Whether EC2 makes the AMI of the machine, with the volume in the place of its root device, and
    /// not of snapshots of the volumes. The AMI then takes over what EC2 knows of the machine.
    pub use_create_image: bool,
}

/// A volume that the machine gets.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaunchDevice {
    /// The volume.
    #[serde(flatten)]
    pub device: BlockDevice,
    /// Whether it is there for the build only: the AMI does not have it.
    pub omit_from_artifact: bool,
}

/// The root device of the AMI. What is not given here is as in `launch_block_device_mappings`. Packer
/// reads only the two names.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RootDevice {
    /// The device of `launch_block_device_mappings` that it is made of.
    pub source_device_name: String,
    /// The device that it is in the AMI, e.g. `/dev/xvda`.
    pub device_name: String,
    /// Whether the volume goes when its instance goes.
    pub delete_on_termination: Option<bool>,
    /// `gp2`, `gp3`, `io1`, `io2` or `standard`.
    pub volume_type: String,
    /// Its size in GiB, not less than that of the volume that it is made of.
    pub volume_size: Option<i32>,
    /// Operations each second, for `io1`, `io2` and `gp3`.
    pub iops: Option<i32>,
    /// MiB each second, for `gp3`: 125 to 1000.
    pub throughput: Option<i32>,
}

const LAUNCHED: &str = "launch_block_device_mappings";
const ROOT: &str = "ami_root_device";

impl SurrogateOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        self.launch_block_device_mappings.iter().for_each(|one| one.device.check(LAUNCHED, check));
        self.check_root(check);
        if self.use_create_image {
            for option in [
                "ami_architecture",
                "boot_mode",
                "tpm_support",
                "uefi_data",
                "snapshot_description",
            ]
            .into_iter()
            .filter(|option| check.is_given(option))
            .collect::<Vec<_>>()
            {
                let text = format!("`{option}` has no effect with `use_create_image`");
                let warning = check.warn(code::OPTION_VALUE, option, text);
                warning.cause = Some("the AMI takes that over from the machine".to_owned());
            }
        }
    }

    fn check_root(&self, check: &mut Check<'_>) {
        let root = &self.ami_root_device;
        if root.device_name.is_empty() {
            let help = "say which device it is in the AMI, e.g. \"/dev/xvda\"";
            check.missing(&format!("{ROOT}.device_name"), help);
        }
        let option = format!("{ROOT}.source_device_name");
        if root.source_device_name.is_empty() {
            let help = format!("say which device of `{LAUNCHED}` becomes the root device");
            check.missing(&option, help);
            return;
        }
        match self.source() {
            None => {
                let name = &root.source_device_name;
                check.error(&option, format!("`{LAUNCHED}` has no device {name}"));
            }
            Some(source) => {
                if source.omit_from_artifact {
                    let cause = "the root device of the AMI cannot be left out of it";
                    check.error(&format!("{LAUNCHED}.omit_from_artifact"), cause);
                }
                let disk = root.disk(&source.device);
                disk.check(ROOT, check);
                if disk.volume_size < source.device.volume_size {
                    let cause = "it is smaller than the volume that it is made of";
                    check.error(&format!("{ROOT}.volume_size"), cause);
                }
            }
        }
    }

    /// The volume that becomes the root device.
    pub fn source(&self) -> Option<&LaunchDevice> {
        let name = &self.ami_root_device.source_device_name;
        self.launch_block_device_mappings.iter().find(|one| one.device.device_name == *name)
    }

    /// The devices that the machine gets.
    pub fn devices(&self) -> Vec<BlockDevice> {
        self.launch_block_device_mappings.iter().map(|one| one.device.clone()).collect()
    }

    /// The device that the machine gets when it is stopped: the root device of the AMI.
    pub fn moved(&self) -> Option<BlockDevice> {
        let device_name = self.ami_root_device.device_name.clone();
        let source = self.source().filter(|_| self.use_create_image)?;
        Some(BlockDevice { device_name, ..source.device.clone() })
    }

    /// The devices whose volumes become disks of the AMI.
    pub fn kept(&self) -> impl Iterator<Item = &BlockDevice> {
        let kept = self.launch_block_device_mappings.iter().filter(|one| !one.omit_from_artifact);
        kept.map(|one| &one.device)
    }

    /// The AMI's disks: those that the template maps into it (`mapped`), and the machine's volumes, of
    /// which there are `snapshots`. Of two on one device, the machine's counts.
    pub(crate) fn disks(
        &self,
        mapped: &[BlockDevice],
        snapshots: &[MadeSnapshot],
    ) -> Vec<BlockDevice> {
        let named = |disk: BlockDevice| (disk.device_name.clone(), disk);
        let mut disks: IndexMap<_, _> = mapped.iter().cloned().map(named).collect();
        disks.extend(self.kept().map(|device| {
            let snapshot = snapshots.iter().find(|one| one.device == device.device_name);
            let disk = BlockDevice {
                snapshot_id: snapshot.map(|one| one.id.clone()).unwrap_or_default(),
                // It is encrypted as its volume is.
                encrypted: None,
                kms_key_id: String::new(),
                ..device.clone()
            };
            let root = &self.ami_root_device;
            named(if device.device_name == root.source_device_name {
                root.disk(&disk)
            } else {
                disk
            })
        }));
        disks.into_values().collect()
    }
}

impl RootDevice {
    /// The root device, made of `source`.
    pub fn disk(&self, source: &BlockDevice) -> BlockDevice {
        let changes_type = !self.volume_type.is_empty() && self.volume_type != source.volume_type;
        // What a type of volumes has is not for another one.
        let inherited = |value: Option<i32>| value.filter(|_| !changes_type);
        BlockDevice {
            device_name: self.device_name.clone(),
            delete_on_termination: self.delete_on_termination.or(source.delete_on_termination),
            volume_type: match self.volume_type.as_str() {
                "" => source.volume_type.clone(),
                own => own.to_owned(),
            },
            volume_size: self.volume_size.filter(|size| *size != 0).or(source.volume_size),
            iops: self.iops.or(inherited(source.iops)),
            throughput: self.throughput.or(inherited(source.throughput)),
            ..source.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> BlockDevice {
        BlockDevice {
            device_name: name.to_owned(),
            volume_type: "gp3".to_owned(),
            volume_size: Some(8),
            throughput: Some(200),
            encrypted: Some(true),
            kms_key_id: "alias/build".to_owned(),
            ..BlockDevice::default()
        }
    }

    #[test]
    fn the_amis_disks_are_the_machines_volumes_and_what_is_mapped_beside_them() {
        let launched = |name: &str, omit_from_artifact| LaunchDevice {
            device: device(name),
            omit_from_artifact,
        };
        let options = SurrogateOptions {
            launch_block_device_mappings: vec![
                launched("/dev/xvdf", false),
                launched("/dev/xvdg", true),
                launched("/dev/xvdh", false),
            ],
            ami_root_device: RootDevice {
                source_device_name: "/dev/xvdf".into(),
                device_name: "/dev/xvda".into(),
                volume_type: "gp2".into(),
                ..RootDevice::default()
            },
            ..SurrogateOptions::default()
        };
        let made = |device: &str, id: &str| MadeSnapshot { device: device.into(), id: id.into() };
        let mapped = [device("/dev/xvda"), device("/dev/xvdi")];
        let snapshots = [made("/dev/xvdf", "snap-f"), made("/dev/xvdh", "snap-h")];
        let disks = options.disks(&mapped, &snapshots);
        let found = disks.iter().map(|disk| {
            let BlockDevice { device_name, snapshot_id, volume_type, kms_key_id, .. } = disk;
            [device_name, snapshot_id, volume_type, kms_key_id].map(String::as_str)
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ["/dev/xvda", "snap-f", "gp2", ""],
                ["/dev/xvdi", "", "gp3", "alias/build"],
                ["/dev/xvdh", "snap-h", "gp3", ""],
            ]
        );
        let throughputs: Vec<_> = disks.iter().map(|disk| disk.throughput).collect();
        assert_eq!(throughputs, [None, Some(200), Some(200)], "gp2 has none");
    }
}
