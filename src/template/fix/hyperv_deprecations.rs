//! Disks are made where they stay.

use super::{Change, Fixer, Types};

pub(super) const FIXER: Fixer = Fixer {
    name: "hyperv-deprecations",
    does: "`vhd_temp_path` is removed from `hyperv-iso` builders",
    change: Change::Builders(Types::Of(&["hyperv-iso"]), |builder| {
        builder.remove("vhd_temp_path");
    }),
};
