//! What `ansible` and `inspec` share: programs of this machine that work on the other one.

use std::path::Path;

use anyhow::Context as _;

use crate::component::{Check, ProvisionContext};
use crate::config::Late;
use crate::peer;
use crate::provisioner::fields::{MachineFields, rendered};

/// The largest file of a key.
const LARGEST_KEY: u64 = 1 << 20;

/// Reports the texts of `option` that are no variables, as far as that is known before they are
/// rendered.
pub(super) fn check_variables(
    option: &str,
    variables: &[Late<MachineFields>],
    check: &mut Check<'_>,
) {
    for variable in variables {
        let text = variable.raw();
        if !text.contains("{{") && named(text).is_none() {
            let cause = format!("`{text}` is not of the form NAME=value");
            check.error(option, cause);
        }
    }
}

/// The variables of `option`, for the program's environment.
pub(super) fn variables(
    cx: &ProvisionContext,
    option: &str,
    variables: &[Late<MachineFields>],
) -> anyhow::Result<Vec<(String, String)>> {
    let read = |variable| {
        let text = rendered(cx, option, variable)?;
        let pair = named(&text).map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.with_context(|| format!("a text of `{option}` is not NAME=value"))
    };
    variables.iter().map(read).collect()
}

/// A name, and what it stands for.
fn named(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.is_empty())
}

/// The text of the key in the file `path`, if one is given.
pub(super) fn read_key(cwd: &Path, path: Option<&str>) -> anyhow::Result<Option<String>> {
    let Some(path) = path.map(|path| cwd.join(path)) else { return Ok(None) };
    let text = peer::read_regular_text(&path, LARGEST_KEY);
    text.map(Some).with_context(|| format!("cannot read {}", path.display()))
}
