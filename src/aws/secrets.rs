//! Secrets Manager: secrets by name, and what templates take from them.

use anyhow::{Context as _, bail};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;

/// Which version of a secret.
#[derive(Clone, Debug)]
pub enum Version {
    /// The one with this id.
    Id(String),
    /// The one that this label is on.
    Stage(String),
}

/// The version that people mean if they say nothing.
pub const CURRENT: &str = "AWSCURRENT";

/// A secret that is marked for deletion is as good as gone.
const NOT_FOUND: &[&str] = &["ResourceNotFoundException", "InvalidRequestException"];

/// Asks for a version of the secret `name`.
///
/// # Errors
/// When it is not there or may not be read.
pub async fn secret(
    account: &Account,
    name: &str,
    version: Version,
    cancel: &CancellationToken,
) -> anyhow::Result<GetSecretValueOutput> {
    let api = account.secrets_manager(cancel);
    let request = api.get_secret_value().secret_id(name);
    let request = match version {
        Version::Id(id) => request.version_id(id),
        Version::Stage(stage) => request.version_stage(stage),
    };
    match api.call("GetSecretValue", |_| request.clone().send()).await {
        Ok(answer) => Ok(answer),
        Err(error) if error.is(NOT_FOUND) => {
            let region = account.region();
            Err(error).with_context(|| format!("there is no secret `{name}` in {region}"))
        }
        Err(error) => Err(error).with_context(|| format!("the secret `{name}` cannot be read")),
    }
}

/// The entries of a secret that is a JSON object.
pub fn entries(secret: &str) -> Option<Map<String, Json>> {
    serde_json::from_str(secret).ok()
}

/// An entry as a text: numbers without decimals, as Packer writes them.
///
/// # Errors
/// When it is neither a text nor a number.
pub fn entry_text(key: &str, value: &Json) -> anyhow::Result<String> {
    Ok(match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number:.0}"))
        }
        _ => bail!("the secret's value for `{key}` is neither a text nor a number"),
    })
}

/// What the template function `aws_secretsmanager` makes of a secret: all of a plain text; of a
/// JSON object the entry `key`, or the only one.
///
/// # Errors
/// When it is not clear which entry is meant, or when that is no text.
pub fn chosen(secret: &str, key: Option<&str>) -> anyhow::Result<String> {
    let Some(entries) = entries(secret) else { return Ok(secret.to_owned()) };
    let key = match key.filter(|key| !key.is_empty()) {
        Some(key) => key,
        None if entries.len() > 1 => bail!("Secret has multiple values and no key was set"),
        None => entries.keys().next().map_or("", String::as_str),
    };
    match entries.get(key) {
        Some(value) => entry_text(key, value),
        None => bail!("No secret found for key {key:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(secret: &str, key: Option<&str>) -> String {
        chosen(secret, key).unwrap_or_else(|error| format!("refused: {error}"))
    }

    #[test]
    fn a_plain_text_is_taken_whole_and_an_object_by_key() {
        let object = r#"{"user": "me", "port": 5432, "ratio": 2.5, "on": true}"#;
        assert_eq!(choose("hunter22", Some("user")), "hunter22");
        assert_eq!(choose("[1]", None), "[1]");
        assert_eq!(choose(object, Some("user")), "me");
        assert_eq!(choose(object, Some("port")), "5432");
        assert_eq!(choose(object, Some("ratio")), "2");
        assert_eq!(choose(r#"{"only": "one"}"#, None), "one");
        assert_eq!(choose(object, None), "refused: Secret has multiple values and no key was set");
        assert_eq!(choose(object, Some("")), choose(object, None));
        assert_eq!(choose(object, Some("host")), "refused: No secret found for key \"host\"");
        assert_eq!(
            choose(object, Some("on")),
            "refused: the secret's value for `on` is neither a text nor a number"
        );
    }
}
