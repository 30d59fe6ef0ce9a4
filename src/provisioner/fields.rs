//! The fields of texts that several provisioners have.

use anyhow::Context as _;

use crate::component::ProvisionContext;
use crate::config::{Late, late_fields};
use crate::interpolate::Dot;

late_fields! {
    /// The fields of texts that know the running machine, and nothing else.
    pub MachineFields = [] and the build;
}

/// `text`, which is `option`'s, with what the machine has said.
pub(super) fn rendered(
    cx: &ProvisionContext,
    option: &str,
    text: &Late<MachineFields>,
) -> anyhow::Result<String> {
    let dot = cx.facts.scope.build_data.clone().unwrap_or_default();
    rendered_with(cx, option, text, &dot)
}

/// `text`, which is `option`'s, with these fields.
pub(super) fn rendered_with<F>(
    cx: &ProvisionContext,
    option: &str,
    text: &Late<F>,
    dot: &Dot,
) -> anyhow::Result<String> {
    text.render(&cx.facts.scope, dot).with_context(|| format!("cannot render `{option}`"))
}
