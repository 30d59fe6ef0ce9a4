//! There may be several adapters and disks.

use serde_json::Value;

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "vsphere-iso-net-disk",
    does: "the options of the network and the disk of `vsphere-iso` builders move to `network_adapters` and `storage`",
    change: Change::BuildersOrNot(Types::Of(&["vsphere-iso"]), fix),
};

fn fix(builder: &mut Object) -> Result<(), String> {
    edit::rename_unless_set(builder, "networkCard", "network_card");
    move_to_first(builder, &["network", "network_card"], "network_adapters")?;
    let disk = ["disk_size", "disk_thin_provisioned", "disk_eagerly_scrub"];
    move_to_first(builder, &disk, "storage")
}

/// Moves options into a new first item of the option `list`.
fn move_to_first(builder: &mut Object, keys: &[&str], list: &str) -> Result<(), String> {
    let first = edit::take(builder, keys);
    if first.is_empty() {
        return Ok(());
    }
    match builder.entry(list).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(items) => items.insert(0, first.into()),
        _ => return Err(format!("`{list}` is no list")),
    }
    Ok(())
}
