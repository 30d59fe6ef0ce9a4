//! The option says what it holds: a private key.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "sshkeypath",
    does: "`ssh_key_path` of builders becomes `ssh_private_key_file`",
    change: Change::Builders(Types::Any, fix),
};

fn fix(builder: &mut Object) {
    if edit::is_text(builder, "ssh_key_path") {
        edit::rename_unless_set(builder, "ssh_key_path", "ssh_private_key_file");
    }
}
