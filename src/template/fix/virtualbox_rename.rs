//! Today there are several VirtualBox builders.

use serde_json::Value;

use super::{Change, Document, Fixer, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "virtualbox-rename",
    does: "`virtualbox` builders become `virtualbox-iso`",
    change: Change::Document(fix),
};

fn fix(document: &mut Document) {
    for builder in document.builders() {
        if Types::Of(&["virtualbox"]).take(builder) {
            edit::set(builder, "type", "virtualbox-iso");
        }
    }
    for provisioner in document.provisioners() {
        if let Some(overrides) = provisioner.get_mut("override").and_then(Value::as_object_mut) {
            edit::rename(overrides, "virtualbox", "virtualbox-iso");
        }
    }
}
