//! Keys that are stored somewhere, though none need be: credentials come from the job's identity.

use super::{Action, annotate};
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::secret::access_key_ids;

/// What to do instead.
const INSTEAD: &str =
    "give the job `id-token: write` and the step `role-to-assume`, and no key is stored anywhere";

/// Warns of keys in the environment and in the inputs; templates have the lint L101.
pub(super) fn warn(action: &Action, ui: &Ui) {
    let environment = &action.session.environment;
    if environment.get("AWS_ACCESS_KEY_ID").is_some_and(has_key) {
        let what = "a long-lived AWS key is in the environment (AWS_ACCESS_KEY_ID)";
        annotate(ui, Severity::Warning, "L101 stored key", format!("{what}: {INSTEAD}"));
    }
    let variables = action.inputs.variables.iter().map(|(name, value)| (name, value.as_str()));
    let secrets = action.inputs.secrets.iter().map(|(name, value)| (name, value.expose()));
    for (name, _) in variables.chain(secrets).filter(|(_, value)| has_key(value)) {
        let what = format!("the value of `{name}` holds a long-lived AWS key");
        annotate(ui, Severity::Warning, "L101 stored key", format!("{what}: {INSTEAD}"));
    }
}

/// Whether `text` has the id of a long-lived access key in it; those of sessions begin with `ASIA`.
fn has_key(text: &str) -> bool {
    access_key_ids(text).any(|id| text[id].starts_with("AKIA"))
}
