//! The disks of the AMI: as the template maps them, or as those of the source AMI.

use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice};

use crate::builder::amazon::block_device::{self, BlockDevice};
use crate::builder::amazon::chroot::options::ChrootOptions;
use crate::builder::amazon::source_ami::SourceAmi;

/// Those that the template has `mapped`, and the root device among them.
pub(super) fn mapped(
    options: &ChrootOptions,
    mapped: &[BlockDevice],
    snapshot: &str,
) -> (String, Vec<BlockDeviceMapping>) {
    let root = &options.root_device_name;
    let disk = |disk: BlockDevice| match disk.device_name == *root {
        true => BlockDevice {
            snapshot_id: snapshot.to_owned(),
            volume_size: options.root_volume_size,
            // It is encrypted as its snapshot is.
            encrypted: None,
            kms_key_id: String::new(),
            ..disk
        },
        false => disk,
    };
    let disks: Vec<_> = mapped.iter().cloned().map(disk).collect();
    (root.clone(), block_device::mappings(&disks))
}

/// Those of the `source`, and the root device among them.
pub(super) fn like_source(
    options: &ChrootOptions,
    source: &SourceAmi,
    snapshot: &str,
) -> (String, Vec<BlockDeviceMapping>) {
    let image = source.image();
    let root = image.root_device_name();
    let disk = |disk: &BlockDeviceMapping| {
        let is_root = disk.device_name() == root;
        let size = options.root_volume_size.filter(|_| is_root);
        let own = is_root.then_some(snapshot);
        BlockDeviceMapping::builder()
            .set_device_name(disk.device_name().map(str::to_owned))
            .set_virtual_name(disk.virtual_name().map(str::to_owned))
            .set_no_device(disk.no_device().map(str::to_owned))
            .set_ebs(disk.ebs().map(|ebs| registered(ebs, size, own)))
            .build()
    };
    let disks = image.block_device_mappings().iter().map(disk).collect();
    (root.unwrap_or_default().to_owned(), disks)
}

/// `disk` as an AMI is registered with: made of `snapshot`, if there is one, and at least of this
/// `size`. It is encrypted as its snapshot is.
fn registered(disk: &EbsBlockDevice, size: Option<i32>, snapshot: Option<&str>) -> EbsBlockDevice {
    EbsBlockDevice::builder()
        .set_snapshot_id(snapshot.or(disk.snapshot_id()).map(str::to_owned))
        .set_volume_size(disk.volume_size().max(size))
        .set_volume_type(disk.volume_type().cloned())
        .set_iops(disk.iops())
        .set_throughput(disk.throughput())
        .set_delete_on_termination(disk.delete_on_termination())
        .build()
}
