//! What a machine is put together from, and what its guest is told of its surroundings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;

use super::Qemu;
use super::arguments::{self, Arguments, CommandLineInputs};
use super::files::{MakeCd, MakeDisks, MakeFloppy};
use super::firmware::{PrepareVariables, StartTpm, Uefi};
use super::options::Accelerator;
use super::resume::Claimed;
use super::run::Serve;
use crate::communicator::TemporaryKey;
use crate::component::BuildContext;
use crate::interpolate::Dot;
use crate::step::{Slot, Steps};
use crate::vm::MachineText;
use crate::vm::cd;
use crate::vm::download::Source;
use crate::vm::floppy;
use crate::vm::neighbor;
use crate::vm::ports::Port;
use crate::vm::tpm::Tpm;

/// Where a guest behind QEMU's user network finds this host.
const HOST_FOR_GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));

/// What the guest is told of its surroundings: fields of late texts.
pub(super) struct GuestFacts {
    pub key: Option<Arc<TemporaryKey>>,
    /// Where the guest finds this host.
    pub host: IpAddr,
    pub http: Option<SocketAddr>,
    /// The port of this host that leads to the guest.
    pub port: Option<Port>,
    /// The address of its network card, where it is found by that.
    pub mac: Option<String>,
}

/// What the machine is put together from.
pub(super) struct Parts {
    /// The main disk first.
    pub disks: Vec<PathBuf>,
    /// The installer's first.
    pub cds: Vec<Source>,
    pub floppy: Option<PathBuf>,
    pub uefi: Option<Uefi>,
    pub tpm: Option<Arc<Tpm>>,
}

impl Qemu {
    /// Makes all that the machine is put together from; `image` is its main disk or its installer.
    pub(super) async fn parts(
        &self,
        image: Source,
        surroundings: &GuestFacts,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Parts> {
        let tpm = self.start_tpm(steps).await?;
        let floppy = self.make_floppy(surroundings, cx, steps).await?;
        let own_cd = self.own_cd(surroundings, cx, steps).await?;
        let (image, installer) = match image {
            Source::File(image) if !self.installs() => (Some(image), None),
            installer => (None, Some(installer)),
        };
        let disks = self.disk_paths();
        let make = MakeDisks { disks: self.disks.clone(), image, paths: disks.clone() };
        steps.run(make).await?;
        let uefi = self.prepare_efi(steps).await?;
        let cds = installer.into_iter().chain(own_cd).collect();
        Ok(Parts { disks, cds, floppy, uefi, tpm })
    }

    /// The same of a machine that was `claimed`: its own files are there. What its TPM knew is with its
    /// memory, and a new one is told.
    pub(super) async fn parts_of(
        &self,
        image: Source,
        claimed: &Claimed,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Parts> {
        let tpm = self.start_tpm(steps).await?;
        let installer = self.installs().then_some(image);
        let own_cd = claimed.cd.clone().map(Source::File);
        Ok(Parts {
            disks: self.disk_paths(),
            cds: installer.into_iter().chain(own_cd).collect(),
            floppy: claimed.floppy.clone(),
            uefi: self.uefi()?,
            tpm,
        })
    }

    /// QEMU's command line.
    pub(super) fn arguments(
        &self,
        accelerator: Accelerator,
        parts: &Parts,
        surroundings: &GuestFacts,
        cx: &BuildContext,
    ) -> anyhow::Result<Arguments> {
        let mut arguments = Arguments::of(&CommandLineInputs {
            architecture: self.architecture,
            hardware: &self.hardware,
            firmware: &self.firmware,
            disks: &self.disks,
            network: &self.network,
            name: &self.name,
            accelerator,
            disk_paths: &parts.disks,
            cds: &parts.cds,
            installs: self.installs(),
            floppy: parts.floppy.as_deref(),
            tpm: parts.tpm.as_ref().map(|tpm| tpm.socket()),
            efi: parts.uefi.as_ref().map(|uefi| (&*uefi.code, &*uefi.vars)),
            mac: surroundings.mac.as_deref(),
            forward: surroundings.port.as_ref().map(Port::number).zip(self.connector.port()),
            display: self.display(cx),
            monitor: self.monitor().as_deref(),
            vnc: self.vnc.argument(),
        });
        let rows = self.rows(cx, &self.dot(surroundings))?;
        arguments.override_with(&rows, &self.network, surroundings.mac.as_deref());
        Ok(arguments)
    }

    /// The key, the HTTP server and the port that leads to the guest. A machine that was `claimed` knows
    /// its key and its network card already.
    pub(super) async fn surroundings(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        claimed: Option<&Claimed>,
    ) -> anyhow::Result<GuestFacts> {
        let key = match claimed.and_then(|claimed| claimed.key.clone()) {
            Some(key) => Some(key),
            None => self.make_key(cx).await?,
        };
        let bridge = Some(self.network.net_bridge.as_str()).filter(|name| !name.is_empty());
        let at_bridge = bridge.map(neighbor::own_address).transpose().context("`net_bridge`")?;
        let host = at_bridge.unwrap_or(HOST_FOR_GUEST);
        let known = claimed.and_then(|claimed| claimed.kept.record.mac.clone());
        let mac = bridge.map(|_| known.unwrap_or_else(neighbor::new_mac));
        let mut known = GuestFacts { key, host, http: None, port: None, mac };
        if self.http.wants_server() {
            let texts = self.render(self.http.http_content.iter(), cx, &self.dot(&known))?;
            let options = self.http.clone();
            let usual = at_bridge.unwrap_or_else(|| self.usual_http_address().into());
            let serve = Serve { options, usual, texts, server: Slot::default() };
            known.http = Some(steps.run(serve).await?);
        }
        let is_forwarded = bridge.is_none() && !self.network.skip_nat_mapping;
        if self.connector.port().is_some() && is_forwarded {
            let range = self.network.host_port_min..=self.network.host_port_max;
            known.port = Some(Port::reserve(&range)?);
        }
        Ok(known)
    }

    /// Where the HTTP server listens behind QEMU's user network. On one of `qemuargs`, the machine may find
    /// this host at any of its addresses.
    fn usual_http_address(&self) -> Ipv4Addr {
        match arguments::have_another_network(&self.hardware.qemuargs) {
            true => Ipv4Addr::UNSPECIFIED,
            false => Ipv4Addr::LOCALHOST,
        }
    }

    async fn make_key(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<TemporaryKey>>> {
        let Some(wish) = self.connector.temporary_key() else { return Ok(None) };
        let (kind, bits, name) = (wish.kind, wish.bits, wish.name());
        cx.ui.say(format!("Creating temporary {kind:?} SSH key for instance..."));
        // Finding an RSA key takes its time.
        let make = move || TemporaryKey::generate(kind, bits, &name);
        let key = tokio::task::spawn_blocking(make).await??;
        cx.redactor.register(key.private_openssh().expose());
        Ok(Some(Arc::new(key)))
    }

    pub(super) async fn start_tpm(&self, steps: &Steps<'_>) -> anyhow::Result<Option<Arc<Tpm>>> {
        if !self.firmware.vtpm {
            return Ok(None);
        }
        let is_old = self.firmware.use_tpm1;
        steps.run(StartTpm { is_old, ..StartTpm::default() }).await.map(Some)
    }

    pub(super) async fn own_cd(
        &self,
        surroundings: &GuestFacts,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Vec<Source>> {
        if !self.cd.wants_cd() {
            return Ok(Vec::new());
        }
        let contents = cd::Contents {
            files: self.cd.cd_files.clone(),
            texts: self.render(self.cd.cd_content.iter(), cx, &self.dot(surroundings))?,
            label: self.cd.cd_label.clone(),
        };
        let made = steps.run(MakeCd { contents, cd: Slot::default() }).await?;
        Ok(vec![Source::File(made)])
    }

    pub(super) async fn make_floppy(
        &self,
        surroundings: &GuestFacts,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Option<PathBuf>> {
        if !self.floppy.wants_floppy() {
            return Ok(None);
        }
        let contents = floppy::Contents {
            files: self.floppy.floppy_files.clone(),
            dirs: self.floppy.floppy_dirs.clone(),
            texts: self.render(self.floppy.floppy_content.iter(), cx, &self.dot(surroundings))?,
            label: self.floppy.floppy_label.clone(),
        };
        steps.run(MakeFloppy { contents, floppy: Slot::default() }).await.map(Some)
    }

    pub(super) fn uefi(&self) -> anyhow::Result<Option<Uefi>> {
        Uefi::wanted(&self.firmware, self.architecture, &self.directory)
    }

    pub(super) async fn prepare_efi(&self, steps: &Steps<'_>) -> anyhow::Result<Option<Uefi>> {
        match self.uefi()? {
            Some(uefi) => steps.run(PrepareVariables { uefi }).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn disk_paths(&self) -> Vec<PathBuf> {
        let additional = 1..=self.disks.disk_additional_size.len();
        let names = additional.map(|number| format!("{}-{number}", self.name));
        let names = std::iter::once(self.name.clone()).chain(names);
        names.map(|name| self.directory.join(name)).collect()
    }

    /// The control socket for others, if the template wants one.
    fn monitor(&self) -> Option<PathBuf> {
        let default = || self.directory.join(format!("{}.monitor", self.name));
        let path = &self.hardware.qmp_socket_path;
        self.hardware.qmp_enable.then(|| path.clone().unwrap_or_else(default))
    }

    /// The value of `-display`; without a screen there is no window to open.
    fn display(&self, cx: &BuildContext) -> Option<&str> {
        let hardware = &self.hardware;
        if hardware.headless {
            return Some("none");
        }
        if hardware.use_default_display {
            return None;
        }
        let environment = &cx.facts.scope.environment;
        let screens = ["DISPLAY", "WAYLAND_DISPLAY"];
        if screens.iter().all(|name| environment.get(name).is_none()) {
            cx.ui.say("There is no screen here: the machine runs headless");
            return Some("none");
        }
        Some(&hardware.display)
    }

    pub(super) fn dot(&self, surroundings: &GuestFacts) -> Dot {
        let key = surroundings.key.as_ref().map(|key| key.public_openssh());
        let http = surroundings.http.map(|address| address.port());
        let port = surroundings.port.as_ref().map(Port::number);
        let dir = self.http.http_directory.as_deref().unwrap_or(Path::new(""));
        let content = self.http.http_content.iter();
        let served: serde_json::Map<_, _> =
            content.map(|(path, text)| (path.clone(), json!(text.raw()))).collect();
        Dot::from([
            ("Name".into(), json!(self.name)),
            ("OutputDir".into(), json!(self.directory)),
            ("SSHPublicKey".into(), json!(key.unwrap_or_default())),
            ("HTTPIP".into(), json!(surroundings.host)),
            ("HTTPPort".into(), json!(http.unwrap_or(0))),
            ("HTTPDir".into(), json!(dir)),
            ("HTTPContent".into(), json!(served)),
            ("SSHHostPort".into(), json!(port.unwrap_or(0))),
        ])
    }

    fn render<'a>(
        &self,
        texts: impl Iterator<Item = (&'a String, &'a MachineText)>,
        cx: &BuildContext,
        dot: &Dot,
    ) -> anyhow::Result<Vec<(String, String)>> {
        texts
            .map(|(path, text)| {
                let text = text.render(&cx.facts.scope, dot);
                Ok((path.clone(), text.with_context(|| format!("cannot render `{path}`"))?))
            })
            .collect()
    }

    /// `qemuargs` with their fields filled in.
    fn rows(&self, cx: &BuildContext, dot: &Dot) -> anyhow::Result<Vec<Vec<String>>> {
        let render = |word: &MachineText| word.render(&cx.facts.scope, dot);
        let rows = self.hardware.qemuargs.iter().map(|row| row.iter().map(render).collect());
        let rows = rows.collect::<Result<_, _>>().context("cannot render `qemuargs`")?;
        match &self.under_test {
            Some(image) => image.rows(rows),
            None => Ok(rows),
        }
    }
}
