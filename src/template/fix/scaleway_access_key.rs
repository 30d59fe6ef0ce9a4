//! The provider calls it an organisation today.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "scaleway-access-key",
    does: "`access_key` of Scaleway builders becomes `organization_id`",
    change: Change::Builders(Types::Of(&["scaleway"]), fix),
};

fn fix(builder: &mut Object) {
    if edit::is_text(builder, "access_key") {
        edit::rename_unless_set(builder, "access_key", "organization_id");
    }
}
