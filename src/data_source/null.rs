//! The `null` data source: answers what it is given; for trying templates.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::component::{Check, Component, DataSource, OutputType, Outputs};

/// Its options.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What `output` will be: any value.
    pub input: Option<Json>,
}

/// Answers its `input`.
#[derive(Debug)]
pub struct Null {
    input: Json,
}

impl Component for Null {
    const TYPE: &'static str = "null";
    const ABOUT: &'static str = "Answers what it is given; for trying templates.";
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[("output", OutputType::Any)];
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if options.input.is_none() {
            check.missing("input", "say what `output` is to be");
        }
        options.input.map(|input| Self { input })
    }
}

#[async_trait]
impl DataSource for Null {
    async fn look_up(&self) -> anyhow::Result<Outputs> {
        Ok(Outputs::from([("output", self.input.clone().into())]))
    }
}
