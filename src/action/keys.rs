//! Keys that are stored somewhere, though none need be: credentials come from the job's identity.

use regex::Regex;

use super::{Action, annotate};
use crate::diagnostic::Severity;
use crate::event::Ui;

/// Long-lived access keys; those of sessions begin with `ASIA`.
const KEY: &str = r"\bAKIA[0-9A-Z]{16}\b";

/// What to do instead.
const INSTEAD: &str =
    "give the job `id-token: write` and the step `role-to-assume`, and no key is stored anywhere";

/// Warns of keys in the environment and in the inputs; templates have the lint L101.
pub(super) fn warn(action: &Action, ui: &Ui) {
    let Ok(key) = Regex::new(KEY) else { return };
    let environment = &action.session.environment;
    if environment.get("AWS_ACCESS_KEY_ID").is_some_and(|value| key.is_match(value)) {
        let what = "a long-lived AWS key is in the environment (AWS_ACCESS_KEY_ID)";
        annotate(ui, Severity::Warning, "L101 stored key", format!("{what}: {INSTEAD}"));
    }
    let variables = action.inputs.variables.iter().map(|(name, value)| (name, value.as_str()));
    let secrets = action.inputs.secrets.iter().map(|(name, value)| (name, value.expose()));
    for (name, _) in variables.chain(secrets).filter(|(_, value)| key.is_match(value)) {
        let what = format!("the value of `{name}` holds a long-lived AWS key");
        annotate(ui, Severity::Warning, "L101 stored key", format!("{what}: {INSTEAD}"));
    }
}
