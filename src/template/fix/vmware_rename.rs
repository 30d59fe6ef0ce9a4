//! Today there are several VMware builders.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "vmware-rename",
    does: "`vmware` builders become `vmware-iso`",
    change: Change::Builders(Types::Of(&["vmware"]), |builder| {
        edit::set(builder, "type", "vmware-iso")
    }),
};
