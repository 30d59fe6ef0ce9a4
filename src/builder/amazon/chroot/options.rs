//! The options of a build in a chroot.

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::aws::tags::{TagBlock, TagMap};
use crate::builder::amazon::build::check_tags;
use crate::builder::amazon::image::{ImageOptions, VirtualizationType, is_kms_key, no_key};
use crate::builder::amazon::source_ami::SourceOptions;
use crate::component::Check;
use crate::config::{Late, late_fields};
use crate::diagnostic::code;

late_fields! {
    /// What a wrapper wraps.
    pub WrapperFields = ["Command"];
}

late_fields! {
    /// What is known before the device is mounted.
    pub DeviceFields = ["Device"];
}

late_fields! {
    /// What is known when the device is mounted.
    pub MountFields = ["Device", "MountPath"];
}

/// What is mounted in the volume, unless the template says otherwise: type, source, place.
const CHROOT_MOUNTS: [[&str; 3]; 5] = [
    ["proc", "proc", "/proc"],
    ["sysfs", "sysfs", "/sys"],
    ["bind", "/dev", "/dev"],
    ["devpts", "devpts", "/dev/pts"],
    ["binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc"],
];

/// What is copied, unless the template says otherwise.
const USUAL_COPY: &str = "/etc/resolv.conf";

/// The volume, where it is mounted, and what is done around that.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChrootOptions {
    /// Whether the volume begins empty, and not as a copy of a source AMI. It is partitioned and
    /// formatted by `pre_mount_commands`.
    pub from_scratch: bool,
    /// The root device of the AMI, e.g. `/dev/xvda`; needed with `from_scratch` and with
    /// `ami_block_device_mappings`.
    pub root_device_name: String,
    /// The size of the volume in GiB, not less than that of the source AMI.
    pub root_volume_size: Option<i32>,
    /// The type of the volume: as in the source AMI, or `gp2`. `io1` only if the source AMI has it.
    pub root_volume_type: String,
    /// Tags of the volume; keys and values may use `{{ .SourceAMI }}` and its like.
    pub root_volume_tags: TagMap,
    /// The same as `root_volume_tags`, a block for each.
    pub root_volume_tag: Vec<TagBlock>,
    /// Whether the volume is encrypted; as its snapshot is, if not given.
    pub root_volume_encrypt_boot: Option<bool>,
    /// The key to encrypt the volume with.
    pub root_volume_kms_key_id: String,
    /// What is mounted into the volume beside it: a type (`bind` for a directory of this host), what,
    /// and where.
    #[default(CHROOT_MOUNTS.map(|mount| mount.map(str::to_owned).to_vec()).to_vec())]
    pub chroot_mounts: Vec<Vec<String>>,
    /// Files of this host that are copied into the volume while it is provisioned;
    /// `/etc/resolv.conf` if not given, and none with `from_scratch`.
    pub copy_files: Option<Vec<String>>,
    /// How commands are run on this host: `sudo {{.Command}}`, for example.
    #[default(Late::new("{{.Command}}"))]
    pub command_wrapper: Late<WrapperFields>,
    /// The device that the volume is attached as; the first free one of `/dev/sdf` to `/dev/sdp` if
    /// not given.
    pub device_path: String,
    /// The device that the volume shows up as on this host, where that is another one, e.g.
    /// `/dev/nvme1n1p`.
    pub nvme_device_path: String,
    /// Options of the mount, each as after `-o`.
    pub mount_options: Vec<String>,
    /// The partition that is mounted, of an AMI that is `hvm`; `0` for the whole device.
    #[default("1".to_owned())]
    pub mount_partition: String,
    /// Where the volume is mounted; `{{.Device}}` is the last part of the device.
    #[default(Late::new("/mnt/packer-amazon-chroot-volumes/{{.Device}}"))]
    pub mount_path: Late<DeviceFields>,
    /// Commands on this host before the volume is mounted; `{{.Device}}` is the device.
    pub pre_mount_commands: Vec<Late<DeviceFields>>,
    /// Commands on this host when the volume is mounted; `{{.Device}}` and `{{.MountPath}}` are filled
    /// in.
    pub post_mount_commands: Vec<Late<MountFields>>,
}

impl ChrootOptions {
    /// Reports what is wrong, also with the `source` and the `image`.
    pub fn check(&self, source: &SourceOptions, image: &ImageOptions, check: &mut Check<'_>) {
        check_tags("root_volume_tag", &self.root_volume_tag, check);
        match self.from_scratch {
            true => self.check_scratch(source, image, check),
            false => self.check_source(source, image, check),
        }
        for (at, mount) in self.chroot_mounts.iter().enumerate() {
            let (option, len) = (format!("chroot_mounts.{at}"), mount.len());
            if len != 3 {
                let cause = format!("a mount has a type, a source and a place, not {len} parts");
                check.error(&option, cause);
            }
        }
        self.check_sources(check);
        self.check_key(check);
    }

    /// What comes into the volume from this host must be what the template may read; what does by itself is
    /// for whoever runs it to say.
    fn check_sources(&self, check: &mut Check<'_>) {
        for (at, file) in self.copy_files.iter().flatten().enumerate() {
            if *file != USUAL_COPY {
                check.may_read(&format!("copy_files.{at}"), file);
            }
        }
        for (at, mount) in self.chroot_mounts.iter().enumerate() {
            let [kind, source, _] = mount.as_slice() else { continue };
            if kind == "bind" && !CHROOT_MOUNTS.iter().any(|usual| mount == usual) {
                check.may_read(&format!("chroot_mounts.{at}"), source);
            }
        }
    }

    fn check_scratch(
        &self,
        SourceOptions { source_ami, source_ami_filter }: &SourceOptions,
        image: &ImageOptions,
        check: &mut Check<'_>,
    ) {
        for (option, is_given) in [
            ("source_ami", !source_ami.is_empty()),
            ("source_ami_filter", source_ami_filter.is_some()),
        ] {
            if is_given {
                let text = format!("`{option}` has no effect with `from_scratch`");
                check.warn(code::OPTION_VALUE, option, text);
            }
        }
        let needed = [
            ("root_volume_size", self.root_volume_size.is_some()),
            ("pre_mount_commands", !self.pre_mount_commands.is_empty()),
            ("ami_virtualization_type", image.ami.ami_virtualization_type.is_some()),
            ("root_device_name", !self.root_device_name.is_empty()),
            ("ami_block_device_mappings", !image.disks.ami_block_device_mappings.is_empty()),
        ];
        for (option, _) in needed.into_iter().filter(|(_, is_given)| !is_given) {
            check.missing(option, "`from_scratch` needs it: there is no source AMI that says it");
        }
        if self.root_volume_type == "io1" {
            check.error("root_volume_type", "`from_scratch` cannot say how many operations it has");
        }
        let root = &self.root_device_name;
        let mappings = &image.disks.ami_block_device_mappings;
        if !root.is_empty() && !mappings.is_empty() && !is_mapped(root, image) {
            let cause = format!("`ami_block_device_mappings` has no device {root}");
            check.error("root_device_name", cause);
        }
    }

    fn check_source(&self, source: &SourceOptions, image: &ImageOptions, check: &mut Check<'_>) {
        source.check(check);
        let maps = !image.disks.ami_block_device_mappings.is_empty();
        let given = [
            ("root_device_name", !self.root_device_name.is_empty()),
            ("root_volume_size", self.root_volume_size.is_some()),
        ];
        if maps {
            for (option, _) in given.into_iter().filter(|(_, is_given)| !is_given) {
                let help = "`ami_block_device_mappings` takes the place of all of the source AMI's";
                check.missing(option, help);
            }
            let text = "the disks of the source AMI are not those of the new one";
            check.warn(code::OPTION_VALUE, "ami_block_device_mappings", text);
            if given[0].1 && !is_mapped(&self.root_device_name, image) {
                let cause = "`ami_block_device_mappings` has no such device";
                check.error("root_device_name", cause);
            }
        } else if given[0].1 {
            let help = "`root_device_name` is one of them";
            check.missing("ami_block_device_mappings", help);
        }
    }

    fn check_key(&self, check: &mut Check<'_>) {
        let key = &self.root_volume_kms_key_id;
        if key.is_empty() {
            return;
        }
        if self.root_volume_encrypt_boot == Some(false) {
            let cause = "a key is for a volume that is encrypted (`root_volume_encrypt_boot`)";
            check.error("root_volume_kms_key_id", cause);
        } else if !is_kms_key(key) {
            check.error("root_volume_kms_key_id", no_key(key));
        }
    }

    /// The files of this host that are copied into the volume.
    pub fn copied(&self) -> Vec<String> {
        let usual = || match self.from_scratch {
            true => Vec::new(),
            false => vec![USUAL_COPY.to_owned()],
        };
        self.copy_files.clone().unwrap_or_else(usual)
    }

    /// What is mounted of `device`, of an AMI that is virtualized so.
    pub fn partition(&self, device: &str, virtualization: VirtualizationType) -> String {
        let is_whole = virtualization != VirtualizationType::Hvm || self.mount_partition == "0";
        let partition = if is_whole { "" } else { self.mount_partition.as_str() };
        format!("{device}{partition}")
    }
}

fn is_mapped(device: &str, image: &ImageOptions) -> bool {
    image.disks.ami_block_device_mappings.iter().any(|disk| disk.device_name == device)
}
