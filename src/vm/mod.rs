//! QEMU machines: disks, processes, QMP, ports; what a machine is fed with (images, CDs, floppies, HTTP),
//! what is typed at it ([`boot`]), and what people see of its screen.

pub mod accelerator;
pub mod album;
pub mod boot;
pub mod cd;
pub mod checkpoint;
pub mod checksum;
pub mod console;
pub mod disk;
pub mod download;
pub mod floppy;
pub mod format;
pub mod http_server;
pub mod machine;
mod medium;
pub mod neighbor;
pub mod ports;
pub mod process;
pub mod qmp;
pub mod screen;
mod shared;
mod tool;
pub mod tpm;
pub mod vnc;
pub mod watch;

use crate::config::{Late, late_fields};

late_fields! {
    /// What a text for a machine knows of it.
    pub MachineFields = [
        "Name",
        "OutputDir",
        "SSHPublicKey",
        "HTTPIP",
        "HTTPPort",
        "HTTPDir",
        "HTTPContent",
        "SSHHostPort",
    ];
}

/// `value` in an option of QEMU, where commas separate.
pub fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// A text for a machine.
pub type MachineText = Late<MachineFields>;
