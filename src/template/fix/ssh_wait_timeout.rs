//! The time is for the whole of connecting.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "ssh-wait-timeout",
    does: "`ssh_wait_timeout` of builders becomes `ssh_timeout`",
    change: Change::Builders(Types::Any, |builder| {
        edit::rename_text_unless_set(builder, "ssh_wait_timeout", "ssh_timeout");
    }),
};
