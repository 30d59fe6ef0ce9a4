//! The API spells it the American way.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "amazon-shutdown_behavior",
    does: "`shutdown_behaviour` of Amazon builders becomes `shutdown_behavior`",
    change: Change::Builders(Types::Prefix("amazon-"), |builder| {
        edit::rename(builder, "shutdown_behaviour", "shutdown_behavior");
    }),
};
