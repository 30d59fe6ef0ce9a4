//! A plugin's provisioner as one of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::lent::Lent;
use super::pack::{self, object};
use super::prepare::Options;
use super::remote::{Remote, Role};
use super::rpc::Served;
use super::stopping::{Noting, Work};
use super::voice::Voice;
use crate::component::{OnError, ProvisionContext, Provisioner};

/// How long a provisioner may take to stop when it is told to.
const STOP: Duration = Duration::from_secs(10);

/// A provisioner that a plugin has.
#[derive(Debug)]
pub struct PluginProvisioner {
    remote: Remote,
    options: Options,
}

impl PluginProvisioner {
    /// The provisioner `remote` with `options`.
    pub fn new(remote: Remote, options: Options) -> Self {
        Self { remote, options }
    }
}

#[async_trait]
impl Provisioner for PluginProvisioner {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let process = self.remote.process().await?;
        self.options.give(&process, Role::Provisioner, OnError::Cleanup).await?;
        let begun = CancellationToken::new();
        let lent = Arc::new(Lent {
            session: process.session.clone(),
            communicator: cx.communicator.clone(),
            voice: Voice::new(cx.ui.clone()),
            ui: cx.ui.clone(),
        });
        let stream = process.session.accept();
        let data = cx.facts.scope.build_data.iter().flatten();
        let data = data.map(|(name, value)| (name.as_str().into(), pack::from_json(value)));
        let argument =
            object([("GeneratedData", Value::Map(data.collect())), ("StreamID", stream.id.into())]);
        let run = process.call_unlimited("Provisioner.Provision", argument);
        let _served = Served::on(stream, Noting::new(lent, begun.clone()));
        let work = Work {
            process: &process,
            stop: "Provisioner.Cancel",
            begun,
            cancel: &cx.cancel,
            patience: STOP,
        };
        work.done(run).await?;
        // One that was told to stop stays stopped.
        if !cx.cancel.is_cancelled() {
            self.options.give_back(&self.remote, process);
        }
        Ok(())
    }
}
