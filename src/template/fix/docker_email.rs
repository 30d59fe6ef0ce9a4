//! Registries do not ask for an address any more.

use super::{Change, Document, Fixer};

pub(super) const FIXER: Fixer = Fixer {
    name: "docker-email",
    does: "`login_email` is removed from builders and post-processors",
    change: Change::Document(fix),
};

/// Leaves templates without post-processors alone, as ever.
fn fix(document: &mut Document) {
    if !document.has_post_processors() {
        return;
    }
    for builder in document.builders() {
        builder.remove("login_email");
    }
    for post_processor in document.post_processors() {
        post_processor.remove("login_email");
    }
}
