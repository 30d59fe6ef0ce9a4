//! The mapping of ports is not only for SSH.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "comm-config",
    does: "`ssh_host_port_min`, `ssh_host_port_max` and `ssh_skip_nat_mapping` of VirtualBox builders lose their `ssh_`",
    change: Change::Builders(Types::Prefix("virtualbox"), fix),
};

fn fix(builder: &mut Object) {
    edit::rename_unless_set(builder, "ssh_host_port_min", "host_port_min");
    edit::rename_unless_set(builder, "ssh_host_port_max", "host_port_max");
    if edit::is_bool(builder, "ssh_skip_nat_mapping") {
        edit::rename_unless_set(builder, "ssh_skip_nat_mapping", "skip_nat_mapping");
    }
}
