//! The option was misspelt.

use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "azure-exclude_from_latest",
    does: "`exlude_from_latest` of `azure-chroot` builders becomes `exclude_from_latest`",
    change: Change::Builders(Types::Prefix("azure-chroot"), fix),
};

fn fix(builder: &mut Object) {
    let destination = builder.get_mut("shared_image_destination").and_then(Value::as_object_mut);
    if let Some(destination) = destination {
        edit::rename(destination, "exlude_from_latest", "exclude_from_latest");
    }
}
