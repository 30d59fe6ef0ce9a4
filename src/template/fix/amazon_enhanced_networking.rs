//! Amazon has two kinds of enhanced networking; this is the ENA.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "amazon-enhanced-networking",
    does: "`enhanced_networking` of Amazon builders becomes `ena_support`",
    change: Change::Builders(Types::Prefix("amazon-"), fix),
};

fn fix(builder: &mut Object) {
    if edit::is_bool(builder, "enhanced_networking") {
        edit::rename(builder, "enhanced_networking", "ena_support");
    }
}
