//! The tools are found without a path, and the guest has a type.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "parallels-deprecations",
    does: "`parallels_tools_host_path` is removed from Parallels builders, `guest_os_distribution` becomes `guest_os_type`",
    change: Change::Builders(Types::Of(&["parallels-iso", "parallels-pvm"]), |builder| {
        builder.remove("parallels_tools_host_path");
        edit::rename(builder, "guest_os_distribution", "guest_os_type");
    }),
};
