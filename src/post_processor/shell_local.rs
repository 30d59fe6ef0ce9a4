//! `shell-local`: runs scripts on this machine when the artifact is finished.

use std::sync::Arc;

use async_trait::async_trait;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::post_processor::passed_on;
use crate::script::{self, local};

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct ShellLocal(local::LocalShell);

impl Component for ShellLocal {
    const TYPE: &'static str = "shell-local";
    const ABOUT: &'static str =
        "Runs scripts or commands on this machine when the artifact is finished.";
    type Options = (script::Options, local::Options);

    fn lint((scripts, _): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self> {
        local::LocalShell::prepare(options, check).map(Self)
    }
}

#[async_trait]
impl PostProcessor for ShellLocal {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        self.0.run(&cx.facts, &cx.ui, &cx.cancel).await?;
        Ok(passed_on(input))
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }
}
