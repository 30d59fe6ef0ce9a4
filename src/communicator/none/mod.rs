//! `communicator = "none"`: a machine that is not talked to.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::communicator::Target;
use crate::communicator::connector::{Connector, Pause, no_login};
use crate::component::{
    BuildContext, Check, Command, Communicator, Component, Exit, Input, Upload,
};
use crate::event::Ui;
use crate::guest::GuestOutput;
use crate::interpolate::BuildData;

/// There is nothing to choose.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(super) struct NoOptions {}

impl Component for NoOptions {
    const TYPE: &'static str = "none";
    const ABOUT: &'static str = "Does not connect to the machine: nothing can provision it.";
    type Options = (Self,);

    fn prepare((own,): Self::Options, _: &mut Check<'_>) -> Option<Self> {
        Some(own)
    }
}

#[async_trait]
impl Connector for NoOptions {
    fn check(&self, _: &mut Check<'_>) {}

    fn check_machine_is_known(&self, _: &mut Check<'_>) {}

    fn connects(&self) -> bool {
        false
    }

    fn port(&self) -> Option<u16> {
        None
    }

    async fn connect(
        &self,
        _: &BuildContext,
        _: Target,
        _: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        tracing::info!("communicator disabled, will not connect");
        Ok(Arc::new(NoCommunicator))
    }

    async fn build_data(&self, target: &Target) -> BuildData {
        let mut data = no_login(Self::TYPE);
        data.insert("Host".into(), target.host.as_str().into());
        data.insert("Port".into(), target.port.unwrap_or(0).into());
        data
    }
}

/// Runs nothing, successfully, and transfers nothing.
#[derive(Debug)]
struct NoCommunicator;

fn refused(what: &str) -> anyhow::Result<()> {
    anyhow::bail!("{what} is not implemented when communicator = 'none'")
}

#[async_trait]
impl Communicator for NoCommunicator {
    async fn run(&self, _: Command<'_>, _: &mut dyn GuestOutput) -> anyhow::Result<Exit> {
        Ok(Exit::Status(0))
    }
    async fn run_fed(
        &self,
        _: Command<'_>,
        _: Input<'_>,
        _: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        Ok(Exit::Status(0))
    }
    async fn upload(&self, _: Upload<'_>, _: &str, _: &Ui) -> anyhow::Result<()> {
        refused("Upload")
    }
    async fn upload_dir(&self, _: &str, _: &str, _: &Ui) -> anyhow::Result<()> {
        refused("UploadDir")
    }
    async fn download(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        refused("Download")
    }
    async fn download_dir(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        refused("DownloadDir")
    }
    async fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_runs_and_nothing_is_transferred() {
        let (cx, _said) = BuildContext::for_tests();
        let target = Target::at("");
        let machine = NoOptions {}.connect(&cx, target, Pause::default()).await.unwrap();
        let (exit, _) = machine.run_captured("anything").await.unwrap();
        assert_eq!(exit.status(), 0);
        let (ui, _events) = Ui::new();
        let refused = machine.upload_dir("/tmp", "/tmp", &ui).await.unwrap_err().to_string();
        assert_eq!(refused, "UploadDir is not implemented when communicator = 'none'");
    }
}
