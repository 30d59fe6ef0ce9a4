//! `sleep`: waits.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::config::GoDuration;
use crate::retry;

/// The options of `sleep`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// How long.
    pub duration: GoDuration,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct Sleep(GoDuration);

impl Component for Sleep {
    const TYPE: &'static str = "sleep";
    const ABOUT: &'static str = "Waits.";
    type Options = (Options,);

    fn prepare((options,): Self::Options, _check: &mut Check<'_>) -> Option<Self> {
        Some(Self(options.duration))
    }
}

#[async_trait]
impl Provisioner for Sleep {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(Vec::new())
    }

    fn waits_first(&self) -> Option<&'static str> {
        Some("")
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say(format!("Sleeping for {}...", self.0));
        Ok(retry::sleep(&cx.cancel, self.0.get()).await?)
    }
}
