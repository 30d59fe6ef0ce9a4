//! The ports are not only for SSH.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "qemu-host-port",
    does: "`ssh_host_port_min` and `ssh_host_port_max` of QEMU builders lose their `ssh_`",
    change: Change::Builders(Types::Of(&["qemu"]), |builder| {
        edit::rename(builder, "ssh_host_port_min", "host_port_min");
        edit::rename(builder, "ssh_host_port_max", "host_port_max");
    }),
};
