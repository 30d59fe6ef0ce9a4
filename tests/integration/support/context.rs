//! A build that only connects.

use std::sync::Arc;

use async_trait::async_trait;
use imgbake::component::{BuildContext, Communicator, Facts, Provisioning};
use imgbake::env::Environment;
use imgbake::event::Ui;
use imgbake::interpolate::{BuildData, Scope};
use imgbake::secret::Redactor;
use tokio_util::sync::CancellationToken;

/// The context of a build of the type `builder_type` in `environment`, without provisioners.
pub fn build_context(builder_type: &str, environment: Environment, ui: Ui) -> BuildContext {
    BuildContext {
        skip_unchanged: None,
        keep_failed: None,
        facts: Arc::new(
            Facts::without_build(builder_type, Scope::new(Arc::new(environment))).named("test"),
        ),
        ui,
        cancel: CancellationToken::new(),
        stop: Default::default(),
        on_error: Default::default(),
        journal: Default::default(),
        redactor: Redactor::default(),
        provisioning: Arc::new(Nothing),
        fingerprint: Default::default(),
    }
}

struct Nothing;

#[async_trait]
impl Provisioning for Nothing {
    async fn provision(
        &self,
        _: &BuildContext,
        _: Arc<dyn Communicator>,
        _: BuildData,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}
