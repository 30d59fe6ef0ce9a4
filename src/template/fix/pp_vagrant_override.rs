//! The options of one provider stood beside the others.

use super::{Change, Fixer, Object, Types, edit};

pub(super) const FIXER: Fixer = Fixer {
    name: "pp-vagrant-override",
    does: "options for one provider of the `vagrant` post-processor move to `override`",
    change: Change::PostProcessors(Types::Of(&["vagrant"]), fix),
};

const PROVIDERS: &[&str] = &["aws", "digitalocean", "virtualbox", "vmware"];

fn fix(post_processor: &mut Object) {
    let overrides = edit::take(post_processor, PROVIDERS);
    if !overrides.is_empty() {
        edit::set(post_processor, "override", overrides);
    }
}
