//! Today there are several Proxmox builders.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "proxmox-type",
    does: "`proxmox` builders become `proxmox-iso`",
    change: Change::Builders(Types::Of(&["proxmox"]), |builder| {
        edit::set(builder, "type", "proxmox-iso")
    }),
};
