//! The option is about forwarding the agent, not about using it.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "sshdisableagent",
    does: "`ssh_disable_agent` of builders becomes `ssh_disable_agent_forwarding`",
    change: Change::Builders(Types::Any, fix),
};

fn fix(builder: &mut Object) {
    if edit::is_bool(builder, "ssh_disable_agent") {
        edit::rename_unless_set(builder, "ssh_disable_agent", "ssh_disable_agent_forwarding");
    }
}
