//! An MD5 sum had an option of its own.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "iso-md5",
    does: "`iso_md5` of builders becomes `iso_checksum`",
    change: Change::Builders(Types::Any, fix),
};

fn fix(builder: &mut Object) {
    if let Some(sum) = edit::take_text(builder, "iso_md5") {
        edit::set(builder, "iso_checksum", sum);
        edit::set(builder, "iso_checksum_type", "md5");
    }
}
