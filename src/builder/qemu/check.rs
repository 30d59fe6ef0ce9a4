//! What can be wrong with the options of `qemu`, found before any machine starts.

use std::path::Path;

use crate::builder::qemu::architecture::Architecture;
use crate::builder::qemu::options::{Disks, Firmware, Format, Hardware, Interface, Network};
use crate::component::Check;
use crate::diagnostic::code;
use crate::vm::disk::parse_size;
use crate::vm::{download, floppy};

pub(super) fn hardware(options: &Hardware, check: &mut Check<'_>) {
    for row in &options.qemuargs {
        if row.first().is_none_or(|switch| !switch.raw().starts_with('-')) {
            let written: Vec<_> = row.iter().map(|word| word.raw()).collect();
            check.error("qemuargs", format!("{written:?} does not begin with a switch"));
        }
    }
}

/// Where distributions put firmware: everybody may read it, and it tells nothing.
const FIRMWARE: [&str; 5] = [
    "/usr/share/OVMF",
    "/usr/share/AAVMF",
    "/usr/share/edk2",
    "/usr/share/qemu",
    "/usr/share/qemu-efi-aarch64",
];

pub(super) fn firmware(options: &Firmware, check: &mut Check<'_>) {
    if options.use_pflash && options.firmware.is_none() {
        check.missing("firmware", "`use_pflash` says how the firmware is put in: say which one");
    }
    for (option, path) in [
        ("firmware", &options.firmware),
        ("efi_firmware_code", &options.efi_firmware_code),
        ("efi_firmware_vars", &options.efi_firmware_vars),
    ] {
        // The guest reads it, and the image gets a copy of the variables.
        if let Some(path) = path.as_deref().filter(|path| !is_installed_firmware(path)) {
            check.may_read(option, path);
        }
    }
    for option in ["use_tpm1", "tpm_device_type"] {
        if check.is_given(option) && !check.is_given("vtpm") {
            check.missing("vtpm", format!("`{option}` says which TPM the machine has"));
        }
    }
}

fn is_installed_firmware(path: &Path) -> bool {
    let real = path.canonicalize();
    real.is_ok_and(|real| FIRMWARE.iter().any(|directory| real.starts_with(directory)))
}

/// What a machine of `architecture` does not have.
pub(super) fn drives(
    architecture: Architecture,
    disks: &Disks,
    floppy: &floppy::Options,
    check: &mut Check<'_>,
) {
    if architecture != Architecture::Arm64 {
        return;
    }
    if disks.disk_interface == Interface::Ide {
        check.error("disk_interface", "the guests of `qemu-system-aarch64` have no IDE");
    }
    if disks.cdrom_interface == "ide" {
        check.error("cdrom_interface", "the guests of `qemu-system-aarch64` have no IDE");
    }
    if floppy.wants_floppy() {
        let given = ["floppy_files", "floppy_dirs", "floppy_content"];
        let option = given.into_iter().find(|option| check.is_given(option));
        let cause = "the guests of `qemu-system-aarch64` have no floppy drive";
        let found = check.error(option.unwrap_or("floppy_files"), cause);
        found.help = Some("put it on a CD: `cd_files`, `cd_content`".to_owned());
    }
}

pub(super) fn disks(options: &Disks, image: &download::Options, check: &mut Check<'_>) {
    if options.use_backing_file && !(options.disk_image && options.format == Format::Qcow2) {
        let cause = "it needs `disk_image = true` and the format qcow2";
        check.error("use_backing_file", cause);
    }
    if options.disk_image && image.iso_skip_cache {
        let cause = "only the CD of an installer can be read from its server by the machine itself";
        check.error("iso_skip_cache", cause);
    }
    if options.skip_resize_disk && !options.disk_image {
        let cause = "it needs `disk_image = true`: an empty disk has no size to keep";
        check.error("skip_resize_disk", cause);
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

/// Takes over what old templates give under names of their time.
pub(super) fn former_names(network: &mut Network, check: &mut Check<'_>) {
    for (former, option, given, value) in [
        (
            "ssh_host_port_min",
            "host_port_min",
            network.ssh_host_port_min,
            &mut network.host_port_min,
        ),
        (
            "ssh_host_port_max",
            "host_port_max",
            network.ssh_host_port_max,
            &mut network.host_port_max,
        ),
    ] {
        let Some(given) = given else { continue };
        let text = format!("`{former}` is called `{option}` now");
        check.warn(code::DEPRECATED_OPTION, former, text);
        if !check.is_given(option) {
            *value = given;
        }
    }
    if check.is_given("run_once") {
        let text = "no build needs `run_once` any more";
        check.warn(code::DEPRECATED_OPTION, "run_once", text);
    }
}

pub(super) fn network(options: &Network, check: &mut Check<'_>) {
    if !options.net_bridge.is_empty() && !cfg!(target_os = "linux") {
        check.error("net_bridge", "only machines with Linux have bridges for guests");
    }
    if options.host_port_min > options.host_port_max {
        check.error("host_port_min", "it must not be greater than `host_port_max`");
    }
}
