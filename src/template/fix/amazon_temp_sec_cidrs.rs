//! There may be several sources.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "amazon-temp-sec-cidrs",
    does: "`temporary_security_group_source_cidr` of Amazon builders becomes a list, `temporary_security_group_source_cidrs`",
    change: Change::Builders(Types::Prefix("amazon-"), fix),
};

fn fix(builder: &mut Object) {
    if let Some(cidr) = edit::take_text(builder, "temporary_security_group_source_cidr") {
        edit::set(builder, "temporary_security_group_source_cidrs", vec![cidr]);
    }
}
