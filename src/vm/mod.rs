//! QEMU machines.
//!
//! | file | what is there |
//! |---|---|
//! | `machine`, `process`, `qmp` | a running QEMU, its process, its control protocol |
//! | `checkpoint` | its whole state, kept in its disks |
//! | `accelerator` | whether KVM works here |
//! | `tool` | helper programs that run to their end: `qemu-img`, `xorriso` |
//! | `disk`, `format` | disk images: made, converted, their format found out |
//! | `download`, `checksum`, `shared` | the image to start from; its checksum; builds that need the same file take turns |
//! | `cd`, `floppy`, `medium` | CDs and floppies for the guest; the host files that go on them |
//! | `http_server`, `ports`, `neighbor` | HTTP for the guest; free ports; addresses on a bridge (ARP) |
//! | [`boot`] | what is typed at the machine |
//! | `screen`, `album`, `watch`, `console`, `vnc` | screenshots; where they are kept; a warning when nothing changes; the serial console; VNC |
//! | `tpm` | a TPM, by `swtpm` |

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
