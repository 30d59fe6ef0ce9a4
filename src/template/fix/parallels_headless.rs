//! The option never did anything.

use super::{Change, Fixer, Types};

pub(super) const FIXER: Fixer = Fixer {
    name: "parallels-headless",
    does: "`headless` is removed from Parallels builders",
    change: Change::Builders(Types::Of(&["parallels-iso", "parallels-pvm"]), |builder| {
        builder.remove("headless");
    }),
};
