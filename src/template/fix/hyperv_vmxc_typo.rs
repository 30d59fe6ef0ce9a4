//! The option was misspelt.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "hyperv-vmxc-typo",
    does: "`clone_from_vmxc_path` of Hyper-V builders becomes `clone_from_vmcx_path`",
    change: Change::Builders(Types::Of(&["hyperv-vmcx"]), |builder| {
        edit::rename(builder, "clone_from_vmxc_path", "clone_from_vmcx_path");
    }),
};
