//! A machine is started, shown and reached: the one that is provisioned, and the one that tests its image.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use super::Qemu;
use super::arguments::Arguments;
use super::boot::{ShowScreen, screens_directory};
use super::options::Accelerator;
use super::parts::{GuestFacts, Parts};
use super::resume::Resume;
use super::run::{FindMachine, Start};
use crate::communicator::{HostKey, Target};
use crate::component::BuildContext;
use crate::step::{Slot, Steps};
use crate::vm::album::Album;
use crate::vm::machine::Machine;
use crate::vm::ports::Port;
use crate::vm::process::Ended;
use crate::vm::watch::Watch;

/// A machine that runs.
pub(super) struct Launched {
    pub machine: Arc<Machine>,
    /// Whether its keyboard is the PS/2 one that a PC has.
    pub is_ps2: bool,
    /// The address of its network card, where it is found by that.
    pub mac: Option<String>,
}

/// What people see of a machine.
pub(super) struct Shown {
    pub album: Arc<Album>,
    pub watch: Arc<Watch>,
}

impl Qemu {
    /// Starts the machine that `parts` are put together to.
    pub(super) async fn launch(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        parts: &Parts,
        surroundings: &GuestFacts,
    ) -> anyhow::Result<Launched> {
        let (start, is_ps2, mac) = self.start(cx, accelerator, parts, surroundings)?;
        let tpm = || parts.tpm.as_ref().and_then(|tpm| tpm.has_ended());
        let machine = steps.run(start).await.map_err(|error| after(error, tpm()))?;
        Ok(Launched { machine, is_ps2, mac })
    }

    /// As [`launch`](Self::launch), but in a state in which the machine was kept after `done` provisioners had
    /// done their work; `None` if that is not possible.
    pub(super) async fn resume(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        (parts, done): (&Parts, usize),
        surroundings: &GuestFacts,
    ) -> anyhow::Result<Option<Launched>> {
        let (mut start, is_ps2, mac) = self.start(cx, accelerator, parts, surroundings)?;
        start.args.push("-S".to_owned());
        let resume = Resume { start, done, output: self.directory.clone() };
        let machine = steps.run(resume).await?;
        Ok(machine.map(|machine| Launched { machine, is_ps2, mac }))
    }

    /// How the machine is started; whether its keyboard is a PS/2 one; the address of its network card.
    fn start(
        &self,
        cx: &BuildContext,
        accelerator: Accelerator,
        parts: &Parts,
        surroundings: &GuestFacts,
    ) -> anyhow::Result<(Start, bool, Option<String>)> {
        let arguments = self.arguments(accelerator, parts, surroundings, cx)?;
        let (is_ps2, mac) = (arguments.has_only_ps2_keyboard(), arguments.mac_of(surroundings));
        let start = Start {
            binary: self.binary()?,
            with_console: !arguments.has("-serial"),
            args: arguments.into_words(),
            installs: self.installs(),
            machine: Slot::default(),
        };
        Ok((start, is_ps2, mac))
    }

    /// Shows the machine's screen; its pictures are kept beside the image that goes into `output`.
    pub(super) async fn show(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        machine: &Arc<Machine>,
        output: &Path,
    ) -> anyhow::Result<Shown> {
        let directory = screens_directory(output);
        let album = Arc::new(Album::empty(&directory, cx.facts.debug).await?);
        let show = ShowScreen::new(machine.clone(), self.vnc.clone(), album.clone(), directory);
        let watch = steps.run(show).await?;
        Ok(Shown { album, watch })
    }

    /// Where the machine is reached, and how it is known.
    pub(super) async fn target(
        &self,
        steps: &Steps<'_>,
        launched: &Launched,
        surroundings: &GuestFacts,
    ) -> anyhow::Result<Target> {
        Ok(Target {
            host: self.host(steps, launched).await?,
            port: surroundings.port.as_ref().map(Port::number),
            key: surroundings.key.clone(),
            // The guest makes its key at its first boot, and only this process can be at the other
            // end of the forwarded port.
            host_key: HostKey::FirstUse,
            way: None,
            boots: true,
        })
    }

    async fn host(&self, steps: &Steps<'_>, launched: &Launched) -> anyhow::Result<String> {
        let needs_address = self.connector.connects() && self.connector.host().is_none();
        let Some(mac) = launched.mac.clone().filter(|_| needs_address) else {
            return Ok(Ipv4Addr::LOCALHOST.to_string());
        };
        let patience = self.connector.patience();
        let (machine, bridge) = (launched.machine.clone(), self.network.net_bridge.clone());
        let find = FindMachine { machine, bridge, mac, patience };
        Ok(steps.run(find).await?.to_string())
    }
}

impl Arguments {
    /// The address of the network card of a machine that is found by it: the template may have a card of
    /// its own.
    fn mac_of(&self, surroundings: &GuestFacts) -> Option<String> {
        let own = surroundings.mac.as_deref()?;
        Some(self.mac().unwrap_or(own).to_owned())
    }
}

/// `error`, after a program that it may come from has `ended`.
pub(super) fn after(error: anyhow::Error, ended: Option<Ended>) -> anyhow::Error {
    match ended {
        Some(ended) => error.context(ended.to_string()),
        None => error,
    }
}
