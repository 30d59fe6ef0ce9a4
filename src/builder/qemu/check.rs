//! What can be wrong with the options of `qemu`, found before any machine starts.

use crate::builder::qemu::options::{Disks, Format, Hardware, Network};
use crate::component::Check;
use crate::vm::disk::parse_size;

pub(super) fn hardware(options: &Hardware, check: &mut Check<'_>) {
    if options.use_pflash && options.firmware.is_none() {
        check.missing("firmware", "`use_pflash` says how the firmware is put in: say which one");
    }
    for row in &options.qemuargs {
        if row.first().is_none_or(|switch| !switch.raw().starts_with('-')) {
            let written: Vec<_> = row.iter().map(|word| word.raw()).collect();
            check.error("qemuargs", format!("{written:?} does not begin with a switch"));
        }
    }
}

pub(super) fn disks(options: &Disks, check: &mut Check<'_>) {
    if options.use_backing_file && !(options.disk_image && options.format == Format::Qcow2) {
        let cause = "it needs `disk_image = true` and the format qcow2";
        check.error("use_backing_file", cause);
    } else if !options.disk_image {
        let cause = "installing from an ISO is not built yet: it needs `boot_command`";
        let help = "give a disk image as `iso_url`, and `disk_image = true`";
        check.error("disk_image", cause).help = Some(help.to_owned());
    }
    let sizes = options.disk_additional_size.iter().map(|size| ("disk_additional_size", size));
    for (option, size) in std::iter::once(("disk_size", &options.disk_size)).chain(sizes) {
        if parse_size(size).is_none() {
            let cause = format!("`{size}` is no size: write a number and one of b, k, m, g, t");
            check.error(option, cause);
        }
    }
    one_of("disk_discard", &options.disk_discard, &["unmap", "ignore"], check);
    one_of("disk_detect_zeroes", &options.disk_detect_zeroes, &["unmap", "on", "off"], check);
    let cdroms = ["", "ide", "scsi", "virtio", "virtio-scsi"];
    one_of("cdrom_interface", &options.cdrom_interface, &cdroms, check);
}

fn one_of(option: &str, value: &str, known: &[&str], check: &mut Check<'_>) {
    if !known.contains(&value) {
        let known: Vec<_> = known.iter().filter(|known| !known.is_empty()).copied().collect();
        check.error(option, format!("`{value}` is none of {}", known.join(", ")));
    }
}

pub(super) fn network(options: &Network, check: &mut Check<'_>) {
    if options.host_port_min > options.host_port_max {
        check.error("host_port_min", "it must not be greater than `host_port_max`");
    }
}
