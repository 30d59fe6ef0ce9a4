//! All options have a `_` between words.

use super::{Change, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "galaxy-command",
    does: "`galaxycommand` of the `ansible-local` provisioner becomes `galaxy_command`",
    change: Change::Provisioners(Types::Of(&["ansible-local"]), |provisioner| {
        edit::rename_text_unless_set(provisioner, "galaxycommand", "galaxy_command");
    }),
};
