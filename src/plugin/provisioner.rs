//! A plugin's provisioner as one of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmpv::Value;

use super::communicator_server::Lent;
use super::pack::{self, object};
use super::prepare::Options;
use super::remote::Remote;
use super::voice::Voice;
use super::work::Work;
use crate::component::{ProvisionContext, Provisioner};
use crate::template::ast::Role;

const PROVISION: Work =
    Work { role: Role::Provisioner, method: "Provision", patience: Duration::from_secs(10) };

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
    fn plugin(&self) -> Option<(&str, &str)> {
        let identity = self.remote.identity();
        Some((&identity.source, &identity.version))
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let process = self.options.ready(&self.remote, cx.on_error).await?;
        let lent = Arc::new(Lent {
            session: process.session.clone(),
            communicator: cx.communicator.clone(),
            voice: Voice::new(cx.ui.clone()),
            ui: cx.ui.clone(),
        });
        let data = cx.facts.scope.build_data.iter().flatten();
        let data = data.map(|(name, value)| (name.as_str().into(), pack::from_json(value)));
        let data = Value::Map(data.collect());
        let argument = |id: u32| object([("GeneratedData", data), ("StreamID", id.into())]);
        let (_nothing, _served) = PROVISION.run(&process, lent, argument, &cx.cancel).await?;
        // One that was told to stop stays stopped.
        if !cx.cancel.is_cancelled() {
            self.options.give_back(&self.remote, process);
        }
        Ok(())
    }
}
