//! All post-processors call what they write their output.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "manifest-filename",
    does: "`filename` of the `manifest` post-processor becomes `output`",
    change: Change::PostProcessors(Types::Of(&["manifest"]), fix),
};

fn fix(post_processor: &mut Object) {
    if edit::is_text(post_processor, "filename") {
        edit::rename(post_processor, "filename", "output");
    }
}
