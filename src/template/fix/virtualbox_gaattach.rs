//! Guest additions were attached or not; today there are three modes.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "virtualbox-gaattach",
    does: "`guest_additions_attach` of VirtualBox builders becomes `guest_additions_mode`",
    change: Change::Builders(Types::Of(&["virtualbox"]), fix),
};

fn fix(builder: &mut Object) {
    if let Some(attach) = edit::take_bool(builder, "guest_additions_attach") {
        edit::set(builder, "guest_additions_mode", if attach { "attach" } else { "upload" });
    }
}
