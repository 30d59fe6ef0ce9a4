//! The `amazon-parameterstore` data source: a parameter.

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ssm::types::ParameterType;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::aws;
use crate::aws::access::Access;
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
    /// The parameter's name, with `:VERSION` or `:LABEL` behind it if need be.
    pub name: String,
    /// Whether a `SecureString` is decrypted. It is a secret either way.
    pub with_decryption: bool,
}

/// Reads a parameter.
#[derive(Debug)]
pub struct AmazonParameterstore {
    caller: Caller,
    options: Options,
}

impl Component for AmazonParameterstore {
    const TYPE: &'static str = "amazon-parameterstore";
    const ABOUT: &'static str = "Reads a parameter from AWS Systems Manager's Parameter Store; no output shows a `SecureString`.";
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[
        ("arn", OutputType::String),
        ("value", OutputType::String),
        ("version", OutputType::String),
    ];
    type Options = (Access, Options);

    fn prepare((access, options): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        access.check(check);
        if options.name.is_empty() {
            check.missing("name", "say which parameter to read");
        }
        Some(Self { caller: Caller::new(access, check), options })
    }
}

#[async_trait]
impl DataSource for AmazonParameterstore {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        if self.options.name.starts_with("arn:") {
            // A seventh part is a version or a label.
            let arn: Vec<&str> = self.options.name.split(':').take(6).collect();
            return vec![Permission::new(["ssm:GetParameter"]).on([arn.join(":")])];
        }
        let name = self.options.name.trim_start_matches('/');
        // A version or a label is no part of the name.
        let name = name.split(':').next().unwrap_or_default();
        let regions = self.caller.regions(environment);
        vec![regions.parameters(&format!("/{name}"), &["GetParameter"])]
    }

    async fn look_up(&self) -> anyhow::Result<Outputs> {
        let account = self.caller.account().await?;
        let Options { name, with_decryption } = &self.options;
        let ssm = account.ssm(&CancellationToken::new());
        let request = ssm.get_parameter().name(name).with_decryption(*with_decryption);
        let answer = ssm.call("GetParameter", |_| request.clone().send()).await;
        let answer = answer.with_context(|| {
            format!("the parameter `{name}` cannot be read in {}", account.region())
        })?;
        let found = answer.parameter.context("GetParameter answered no parameter")?;
        let value = found.value.unwrap_or_default();
        let value = match found.r#type {
            Some(ParameterType::SecureString) => Output::Secret(Secret::new(value)),
            _ => value.into(),
        };
        Ok(Outputs::from([
            ("value", value),
            ("version", found.version.to_string().into()),
            ("arn", found.arn.unwrap_or_default().into()),
        ]))
    }
}
