//! A size has a unit.

use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "qemu-disk-size",
    does: "`disk_size` of QEMU builders becomes a text with its unit, if it is a number",
    change: Change::Builders(Types::Of(&["qemu"]), fix),
};

/// The number was one of whole megabytes: a fraction never counted.
fn fix(builder: &mut Object) {
    if let Some(size) = builder.get("disk_size").and_then(Value::as_f64) {
        edit::set(builder, "disk_size", format!("{}M", size as i64));
    }
}
