//! All builders that have these call them the same.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "hyperv-cpu-and-ram",
    does: "`cpu` of Hyper-V builders becomes `cpus`, `ram_size` becomes `memory`",
    change: Change::Builders(Types::Of(&["hyperv-iso", "hyperv-vmcx"]), |builder| {
        edit::rename(builder, "cpu", "cpus");
        edit::rename(builder, "ram_size", "memory");
    }),
};
