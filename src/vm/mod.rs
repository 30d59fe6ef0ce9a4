//! QEMU machines: disks, process, QMP, ports; and what a machine is fed with (images, CDs, HTTP).

pub mod accelerator;
pub mod cd;
pub mod checksum;
pub mod console;
pub mod disk;
pub mod download;
pub mod format;
pub mod http_server;
pub mod machine;
pub mod ports;
pub mod qmp;
mod tool;

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
        "SSHHostPort",
    ];
}

/// A text for a machine.
pub type MachineText = Late<MachineFields>;
