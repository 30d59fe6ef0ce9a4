//! The `amazon-secretsmanager` data source: a secret.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::aws;
use crate::aws::access::Access;
use crate::aws::secrets::{self, CURRENT, Version, entry_text};
use crate::component::{Check, Component, DataSource, Output, OutputType, Outputs};
use crate::data_source::amazon::Caller;
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::secret::Secret;

/// Its options, beside [`Access`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The secret's name or ARN.
    pub name: String,
    /// Which entry `value` is to be, where the secret is a JSON object; the first if not given.
    pub key: String,
    /// The version's id; it wins over `version_stage`.
    pub version_id: String,
    /// The version's label: `AWSCURRENT` if not given.
    pub version_stage: String,
}

/// Reads a secret.
#[derive(Debug)]
pub struct AmazonSecretsmanager {
    caller: Caller,
    options: Options,
}

impl Component for AmazonSecretsmanager {
    const TYPE: &'static str = "amazon-secretsmanager";
    const ABOUT: &'static str = "Reads a secret from AWS Secrets Manager; no output shows it.";
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[
        ("secret_binary", OutputType::String),
        ("secret_string", OutputType::String),
        ("value", OutputType::String),
        ("version_id", OutputType::String),
    ];
    type Options = (Access, Options);

    fn prepare((access, options): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        access.check(check);
        if options.name.is_empty() {
            check.missing("name", "say which secret to read");
        }
        Some(Self { caller: Caller::new(access, check), options })
    }
}

impl Options {
    fn version(&self) -> Version {
        match (self.version_id.as_str(), self.version_stage.as_str()) {
            ("", "") => Version::Stage(CURRENT.to_owned()),
            ("", stage) => Version::Stage(stage.to_owned()),
            (id, _) => Version::Id(id.to_owned()),
        }
    }

    /// The entry that is meant: of a plain text all, and of an object that lacks it nothing.
    fn value(&self, secret: &str) -> anyhow::Result<String> {
        let Some(entries) = secrets::entries(secret) else { return Ok(secret.to_owned()) };
        let entry = match self.key.as_str() {
            "" => entries.iter().next(),
            key => entries.get_key_value(key),
        };
        entry.map_or(Ok(String::new()), |(key, value)| entry_text(key, value))
    }
}

#[async_trait]
impl DataSource for AmazonSecretsmanager {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        vec![self.caller.regions(environment).read_secret(&self.options.name)]
    }

    async fn look_up(&self) -> anyhow::Result<Outputs> {
        let account = self.caller.account().await?;
        let (name, version) = (&self.options.name, self.options.version());
        let found = secrets::secret(&account, name, version, &CancellationToken::new()).await?;
        let string = found.secret_string().unwrap_or_default();
        let binary = found.secret_binary().map(|blob| blob.clone().into_inner());
        let secret = |text: String| Output::Secret(Secret::new(text));
        Ok(Outputs::from([
            ("value", secret(self.options.value(string)?)),
            ("secret_string", secret(string.to_owned())),
            ("secret_binary", secret(text_of(binary.unwrap_or_default()))),
            ("version_id", found.version_id().unwrap_or_default().into()),
        ]))
    }
}

/// The bytes as text where they are one, else in base64.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| BASE64.encode(error.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_entry_that_is_meant() {
        let value = |key: &str, secret: &str| {
            let options = Options { key: key.to_owned(), ..Options::default() };
            options.value(secret).map_err(|error| error.to_string())
        };
        let object = r#"{"user": "me", "port": 5432, "on": true}"#;
        assert_eq!(value("", "plain text").unwrap(), "plain text");
        assert_eq!(value("", object).unwrap(), "me");
        assert_eq!(value("port", object).unwrap(), "5432");
        assert_eq!(value("host", object).unwrap(), "");
        assert!(value("on", object).unwrap_err().contains("`on` is neither a text nor a number"));
    }

    #[test]
    fn an_id_wins_over_a_label() {
        let options = |id: &str, stage: &str| Options {
            version_id: id.to_owned(),
            version_stage: stage.to_owned(),
            ..Options::default()
        };
        assert!(matches!(options("", "").version(), Version::Stage(stage) if stage == CURRENT));
        assert!(matches!(options("", "AWSPREVIOUS").version(), Version::Stage(_)));
        assert!(matches!(options("1", "AWSPREVIOUS").version(), Version::Id(id) if id == "1"));
    }
}
