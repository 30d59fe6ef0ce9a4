//! On ESXi only thin disks can be compacted.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "vmware-compaction",
    does: "`vmware-iso` builders on ESXi skip compaction where the type of the disk rules it out",
    change: Change::Builders(Types::Of(&["vmware-iso"]), fix),
};

fn fix(builder: &mut Object) {
    if edit::text(builder, "remote_type") != Some("esx5") {
        return;
    }
    let disk_type = builder.entry("disk_type_id").or_insert("zeroedthick".into());
    if disk_type.as_str().is_none_or(|disk_type| disk_type == "thin") {
        return;
    }
    let skip = builder.entry("skip_compaction").or_insert(true.into());
    if skip.is_boolean() {
        *skip = true.into();
    }
}
