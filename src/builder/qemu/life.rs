//! The life of a machine: it is provisioned and powered off, and its disk becomes the image.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::boot::TypeBootCommand;
use super::checkpoints::ForgetCheckpoints;
use super::files::Compact;
use super::launch::{Shown, after};
use super::options::Accelerator;
use super::run::{Off, Shutdown};
use super::start::Started;
use super::{Begin, Qemu, kept};
use crate::builder::provision::{self, provision_while};
use crate::component::{BuildContext, Communicator};
use crate::interpolate::BuildData;
use crate::step::Steps;
use crate::vm::machine::Machine;
use crate::vm::watch::Watch;

impl Qemu {
    /// All steps, up to the finished image.
    pub(super) async fn run(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        begin: Begin,
    ) -> anyhow::Result<(Accelerator, BuildData)> {
        let accelerator = self.accelerator(&self.binary()?, cx).await?;
        let started = self.started(cx, steps, accelerator, begin).await?;
        let data = async {
            let watch = self.boot(cx, steps, &started).await?;
            self.provision(steps, &started, &watch).await
        };
        let ended = || started.launched.machine.has_ended();
        let data = data.await.map_err(|error| after(error, ended()))?;
        let disks = started.parts.disks;
        if let Some(checkpoints) = started.checkpoints {
            let (disks, inside) = (disks.clone(), self.directory.join(kept::INSIDE));
            steps.run(ForgetCheckpoints { checkpoints, disks, inside }).await?;
        }
        let to = self.finished;
        let written_anew = match (to == self.disks.format, Compact::is_wanted(&self.disks)) {
            (false, _) => disks.len(),
            (true, wanted) => usize::from(wanted),
        };
        for path in disks.into_iter().take(written_anew) {
            steps.run(Compact { disks: self.disks.clone(), path, to }).await?;
        }
        let (paths, format) = (self.disk_paths(), self.finished.name());
        let test = self.test_disks(cx, steps, accelerator, (&paths, format));
        provision::tested(cx, Box::pin(test)).await?;
        Ok((accelerator, data))
    }

    /// Shows the screen, and types what is to be typed at it when it boots.
    async fn boot(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        started: &Started,
    ) -> anyhow::Result<Arc<Watch>> {
        let Started { launched, surroundings, is_resumed, .. } = started;
        let (machine, is_ps2) = (launched.machine.clone(), launched.is_ps2);
        let Shown { album, watch } = self.show(cx, steps, &machine, &self.directory).await?;
        if let Some(boot) = self.boot.clone().filter(|_| !is_resumed) {
            let dot = self.dot(surroundings);
            steps.run(TypeBootCommand { machine, album, boot, dot, is_ps2 }).await?;
        }
        Ok(watch)
    }

    /// Connects, provisions and powers off.
    async fn provision(
        &self,
        steps: &Steps<'_>,
        started: &Started,
        watch: &Watch,
    ) -> anyhow::Result<BuildData> {
        let Started { launched, surroundings, .. } = started;
        let machine = &launched.machine;
        let target = self.target(steps, launched, surroundings).await?;
        let mut data = BuildData::from([("ID".to_owned(), json!(self.name))]);
        if let Some(address) = surroundings.http {
            let port = address.port().to_string();
            let host = surroundings.host;
            data.insert("PackerHTTPIP".to_owned(), json!(host));
            data.insert("PackerHTTPAddr".to_owned(), json!(format!("{host}:{port}")));
            data.insert("PackerHTTPPort".to_owned(), json!(port));
        }
        let connector = &self.connector;
        let mut build_data = connector.build_data(&target).await;
        build_data.extend(data.clone());
        // What is provisioned from outside is heard; an installer is only seen.
        let connected = || {
            if connector.connects() {
                watch.connected()
            }
        };
        // One that nobody connects to may have ended already: by what was typed at it.
        let gone = if connector.connects() { machine.gone() } else { CancellationToken::new() };
        let connection = provision_while(steps, connector, target, data, gone, connected).await?;
        steps.run(self.shutdown(machine, connection)).await?;
        Ok(build_data)
    }

    fn shutdown(&self, machine: &Arc<Machine>, connection: Arc<dyn Communicator>) -> Shutdown {
        let how = match self.output.shutdown_command.as_str() {
            _ if !self.connector.connects() => Off::ByItself,
            "" => Off::Cut,
            command => Off::Command(command.to_owned()),
        };
        let timeout = self.output.shutdown_timeout.get();
        Shutdown { machine: machine.clone(), connection, how, timeout }
    }
}
