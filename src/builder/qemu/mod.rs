//! The `qemu` builder: a virtual machine on this host, started from a disk image or an installer.

mod architecture;
mod arguments;
mod artifact;
mod boot;
mod check;
mod files;
mod firmware;
mod options;
mod run;
mod trial;
mod unchanged;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use self::artifact::BUILDER_ID;
pub use self::boot::ScreenAndKeys;
pub use self::options::{Disks, Firmware, Hardware, Network, Output};

use self::architecture::Architecture;
use self::arguments::{Arguments, Given};
use self::boot::{ShowScreen, TypeBootCommand, screens_directory};
use self::files::{Compact, Fetch, MakeCd, MakeDisks, MakeFloppy};
use self::firmware::{PrepareVariables, StartTpm, Uefi};
use self::options::Accelerator;
use self::run::{FindMachine, Off, Serve, Shutdown, Start};
use crate::builder::output::OutputDirectory;
use crate::builder::provision::{self, provision_while};
use crate::communicator::{self, Chosen, HostKey, Taken, Target, TemporaryKey};
use crate::component::{Artifact, BuildContext, Builder, Check, Communicator, Component};
use crate::interpolate::{BuildData, Dot};
use crate::step::{Kept, Steps};
use crate::vm::MachineText;
use crate::vm::accelerator::{self, Kvm};
use crate::vm::album::Album;
use crate::vm::boot::Boot;
use crate::vm::cd;
use crate::vm::download::{self, Download, Source};
use crate::vm::floppy;
use crate::vm::format;
use crate::vm::http_server;
use crate::vm::machine::Machine;
use crate::vm::neighbor;
use crate::vm::ports::Port;
use crate::vm::process::Ended;
use crate::vm::tpm::Tpm;
use crate::vm::vnc;
use crate::vm::watch::Watch;

/// Where a guest behind QEMU's user network finds this host.
const HOST_FOR_GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));

/// A machine to build.
#[derive(Clone, Debug)]
pub struct Qemu {
    architecture: Architecture,
    hardware: Hardware,
    firmware: Firmware,
    disks: Disks,
    network: Network,
    output: Output,
    download: Download,
    cd: cd::Options,
    floppy: floppy::Options,
    http: http_server::Options,
    /// What is typed at it.
    boot: Option<Boot>,
    vnc: vnc::Options,
    communicator: Chosen,
    /// The machine's name.
    name: String,
    directory: PathBuf,
}

impl Component for Qemu {
    const TYPE: &'static str = "qemu";
    const ABOUT: &'static str =
        "Boots a disk image or an installer in QEMU, provisions the machine, and keeps its disk.";
    type Options = (
        Hardware,
        Firmware,
        Disks,
        Network,
        Output,
        download::Options,
        cd::Options,
        floppy::Options,
        http_server::Options,
        ScreenAndKeys,
        communicator::Options,
    );

    fn lint((_, _, _, _, _, image, ..): &Self::Options, check: &mut Check<'_>) {
        image.lint(check);
    }

    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let (
            mut hardware,
            firmware,
            disks,
            mut network,
            output,
            image,
            cd,
            floppy,
            http,
            screen,
            communicator,
        ) = options;
        let architecture = Architecture::of(Path::new(&hardware.qemu_binary));
        check::hardware(&hardware, check);
        check::firmware(&firmware, check);
        check::disks(&disks, &image, check);
        check::drives(architecture, &disks, &floppy, check);
        check::former_names(&mut network, check);
        check::network(&network, check);
        cd.check(check);
        floppy.check(check);
        http.check(check);
        screen.vnc.check(check);
        let has_console = !hardware.qemuargs.iter().any(|row| arguments::is_for(row, "-serial"));
        let boot = screen.boot.check(has_console, check);
        let communicator = communicator.choose(&Taken::of(communicator::ANY), check);
        let download = image.check(check)?;
        if hardware.memory < 10 {
            tracing::warn!("memory = {} cannot be meant: using 512", hardware.memory);
            hardware.memory = Hardware::default().memory;
        }
        let facts = check.facts;
        let build = facts.scope.build_name.as_ref().unwrap_or(&facts.build_name);
        let name = match output.vm_name.as_str() {
            "" => format!("packer-{build}"),
            given => given.to_owned(),
        };
        let default_directory = || PathBuf::from(format!("output-{build}"));
        let directory = output.output_directory.clone().unwrap_or_else(default_directory);
        Some(Self {
            architecture,
            hardware,
            firmware,
            disks,
            network,
            output,
            download,
            cd,
            floppy,
            http,
            boot,
            vnc: screen.vnc,
            communicator: communicator?,
            name,
            directory,
        })
    }
}

#[async_trait]
impl Builder for Qemu {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        steps.finish(self.bake(cx, &steps)).await
    }

    fn can_test(&self) -> bool {
        self.communicator.connects()
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        let image = PathBuf::from(image);
        let format = format::of(&image)?;
        let accelerator = self.accelerator(&self.binary()?, cx).await?;
        self.test_disks(cx, &Steps::new(cx), accelerator, (&[image], format)).await
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.files_read())
    }

    fn skips(&self) -> Result<(), &'static str> {
        match self.download.stays() {
            true => Err("`iso_skip_cache` leaves the image on its server"),
            false => Ok(()),
        }
    }
}

/// What is known before a machine is made.
#[derive(Debug, Default)]
struct Begin {
    /// The image to start from, if it is fetched already.
    image: Option<Source>,
    /// Whether an earlier image of this build goes.
    replaces: bool,
}

/// What the guest is told of its surroundings: fields of late texts.
struct GuestFacts {
    key: Option<Arc<TemporaryKey>>,
    /// Where the guest finds this host.
    host: IpAddr,
    http: Option<SocketAddr>,
    /// The port of this host that leads to the guest.
    port: Option<Port>,
    /// The address of its network card, where it is found by that.
    mac: Option<String>,
}

/// What the machine is put together from.
struct Parts {
    /// The main disk first.
    disks: Vec<PathBuf>,
    /// The installer's first.
    cds: Vec<Source>,
    floppy: Option<PathBuf>,
    uefi: Option<Uefi>,
    tpm: Option<Arc<Tpm>>,
}

impl Qemu {
    /// All steps, up to the finished image.
    async fn run(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        begin: Begin,
    ) -> anyhow::Result<(Accelerator, BuildData)> {
        let binary = self.binary()?;
        let accelerator = self.accelerator(&binary, cx).await?;
        let image = match begin.image {
            Some(image) => image,
            None => steps.run(Fetch { download: self.download.clone() }).await?,
        };
        steps.run(OutputDirectory::new(&self.directory).replacing(begin.replaces)).await?;
        let surroundings = self.surroundings(cx, steps).await?;
        let parts = self.parts(image, &surroundings, cx, steps).await?;

        let arguments = self.arguments(accelerator, &parts, &surroundings, cx)?;
        // The template may have a network card of its own.
        let mac = surroundings.mac.as_deref().map(|own| arguments.mac().unwrap_or(own).to_owned());
        let is_ps2 = arguments.have_only_a_ps2_keyboard();
        let start = Start {
            binary,
            with_console: !arguments.has("-serial"),
            args: arguments.into_words(),
            installs: self.installs(),
            machine: Kept::default(),
        };
        let tpm = || parts.tpm.as_ref().and_then(|tpm| tpm.has_ended());
        let machine = steps.run(start).await.map_err(|error| after(error, tpm()))?;

        let data = async {
            let dot = self.dot(&surroundings);
            let watch = self.boot(&machine, is_ps2, dot, cx, steps).await?;
            self.provision(&machine, &watch, mac, &surroundings, steps).await
        };
        let data = data.await.map_err(|error| after(error, machine.has_ended()))?;
        if Compact::is_wanted(&self.disks) {
            let path = parts.disks.into_iter().next().context("there is no disk")?;
            steps.run(Compact { disks: self.disks.clone(), path }).await?;
        }
        let (paths, format) = (self.disk_paths(), self.disks.format.name());
        provision::tested(cx, self.test_disks(cx, steps, accelerator, (&paths, format))).await?;
        Ok((accelerator, data))
    }

    /// The program that is QEMU.
    fn binary(&self) -> anyhow::Result<PathBuf> {
        let name = &self.hardware.qemu_binary;
        which::which(name).with_context(|| format!("cannot find `{name}`"))
    }

    /// Whether an installer fills the disk.
    fn installs(&self) -> bool {
        !self.disks.disk_image
    }

    /// Makes all that the machine is put together from; `image` is its main disk or its installer.
    async fn parts(
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

    /// QEMU's command line.
    fn arguments(
        &self,
        accelerator: Accelerator,
        parts: &Parts,
        surroundings: &GuestFacts,
        cx: &BuildContext,
    ) -> anyhow::Result<Arguments> {
        let mut arguments = Arguments::of(&Given {
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
            forward: surroundings.port.as_ref().map(Port::number).zip(self.communicator.port()),
            display: self.display(cx),
            monitor: self.monitor().as_deref(),
            vnc: self.vnc.argument(),
        });
        let rows = self.rows(cx, &self.dot(surroundings))?;
        arguments.override_with(&rows, &self.network, surroundings.mac.as_deref());
        Ok(arguments)
    }

    /// Where the machine is reached.
    async fn host(
        &self,
        machine: &Arc<Machine>,
        mac: Option<String>,
        steps: &Steps<'_>,
    ) -> anyhow::Result<String> {
        let needs_address = self.communicator.connects() && self.communicator.host().is_none();
        let Some(mac) = mac.filter(|_| needs_address) else {
            return Ok(Ipv4Addr::LOCALHOST.to_string());
        };
        let patience = self.communicator.patience();
        let (machine, bridge) = (machine.clone(), self.network.net_bridge.clone());
        let find = FindMachine { machine, bridge, mac, patience };
        Ok(steps.run(find).await?.to_string())
    }

    /// Shows the screen, and types what is to be typed at it.
    async fn boot(
        &self,
        machine: &Arc<Machine>,
        is_ps2: bool,
        dot: Dot,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Arc<Watch>> {
        let directory = screens_directory(&self.directory);
        let album = Arc::new(Album::empty(&directory, cx.facts.debug).await?);
        let (vnc, machine) = (self.vnc.clone(), machine.clone());
        let show = ShowScreen::new(machine.clone(), vnc, album.clone(), directory);
        let watch = steps.run(show).await?;
        if let Some(boot) = self.boot.clone() {
            steps.run(TypeBootCommand { machine, album, boot, dot, is_ps2 }).await?;
        }
        Ok(watch)
    }

    /// Connects, provisions and powers off. `mac` is the network card of a machine on a bridge.
    async fn provision(
        &self,
        machine: &Arc<Machine>,
        watch: &Watch,
        mac: Option<String>,
        surroundings: &GuestFacts,
        steps: &Steps<'_>,
    ) -> anyhow::Result<BuildData> {
        let target = Target {
            host: self.host(machine, mac, steps).await?,
            port: surroundings.port.as_ref().map(Port::number),
            key: surroundings.key.clone(),
            // The guest makes its key at its first boot, and only this process can be at the other
            // end of the forwarded port.
            host_key: HostKey::FirstUse,
            way: None,
            boots: true,
        };
        let mut data = BuildData::from([("ID".to_owned(), json!(self.name))]);
        if let Some(address) = surroundings.http {
            let port = address.port().to_string();
            let host = surroundings.host;
            data.insert("PackerHTTPIP".to_owned(), json!(host));
            data.insert("PackerHTTPAddr".to_owned(), json!(format!("{host}:{port}")));
            data.insert("PackerHTTPPort".to_owned(), json!(port));
        }
        let options = &self.communicator;
        let mut build_data = options.build_data(&target).await;
        build_data.extend(data.clone());
        // What is provisioned from outside is heard; an installer is only seen.
        let connected = || {
            if options.connects() {
                watch.connected()
            }
        };
        // One that nobody connects to may have ended already: by what was typed at it.
        let gone = if options.connects() { machine.gone() } else { CancellationToken::new() };
        let connection = provision_while(steps, options, target, data, gone, connected).await?;
        steps.run(self.shutdown(machine, connection)).await?;
        Ok(build_data)
    }

    fn shutdown(&self, machine: &Arc<Machine>, connection: Arc<dyn Communicator>) -> Shutdown {
        let how = match self.output.shutdown_command.as_str() {
            _ if !self.communicator.connects() => Off::ByItself,
            "" => Off::Cut,
            command => Off::Command(command.to_owned()),
        };
        let timeout = self.output.shutdown_timeout.get();
        Shutdown { machine: machine.clone(), connection, how, timeout }
    }

    /// What runs the guest: the template's choice, or what is seen to work.
    async fn accelerator(&self, qemu: &Path, cx: &BuildContext) -> anyhow::Result<Accelerator> {
        let wanted = self.hardware.accelerator;
        if !matches!(wanted, None | Some(Accelerator::Kvm)) {
            return Ok(wanted.unwrap_or(Accelerator::Tcg));
        }
        match (accelerator::kvm(qemu).await, wanted) {
            (Kvm::Works, _) => Ok(Accelerator::Kvm),
            (Kvm::Unusable(why), Some(_)) => bail!(
                "`accelerator = \"kvm\"` cannot be used here: {why}; leave `accelerator` out to \
                 fall back to `tcg`, which is slower"
            ),
            (Kvm::Unusable(why), None) => {
                cx.ui.say(format!("No KVM ({why}): using QEMU's own emulation, which is slower"));
                Ok(Accelerator::Tcg)
            }
        }
    }

    /// The key, the HTTP server and the port that leads to the guest.
    async fn surroundings(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<GuestFacts> {
        let key = self.make_key(cx).await?;
        let bridge = Some(self.network.net_bridge.as_str()).filter(|name| !name.is_empty());
        let at_bridge = bridge.map(neighbor::own_address).transpose().context("`net_bridge`")?;
        let host = at_bridge.unwrap_or(HOST_FOR_GUEST);
        let mac = bridge.map(|_| neighbor::new_mac());
        let mut known = GuestFacts { key, host, http: None, port: None, mac };
        if self.http.wants_server() {
            let texts = self.render(self.http.http_content.iter(), cx, &self.dot(&known))?;
            let options = self.http.clone();
            let usual = at_bridge.unwrap_or(Ipv4Addr::LOCALHOST.into());
            let serve = Serve { options, usual, texts, server: Kept::default() };
            known.http = Some(steps.run(serve).await?);
        }
        let is_forwarded = bridge.is_none() && !self.network.skip_nat_mapping;
        if self.communicator.port().is_some() && is_forwarded {
            let range = self.network.host_port_min..=self.network.host_port_max;
            known.port = Some(Port::reserve(&range)?);
        }
        Ok(known)
    }

    async fn make_key(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<TemporaryKey>>> {
        let Some(wish) = self.communicator.temporary_key() else { return Ok(None) };
        let (kind, bits, name) = (wish.kind, wish.bits, wish.name());
        cx.ui.say(format!("Creating temporary {kind:?} SSH key for instance..."));
        // Finding an RSA key takes its time.
        let make = move || TemporaryKey::generate(kind, bits, &name);
        let key = tokio::task::spawn_blocking(make).await??;
        cx.redactor.register(key.private_openssh().expose());
        Ok(Some(Arc::new(key)))
    }

    async fn start_tpm(&self, steps: &Steps<'_>) -> anyhow::Result<Option<Arc<Tpm>>> {
        if !self.firmware.vtpm {
            return Ok(None);
        }
        let is_old = self.firmware.use_tpm1;
        steps.run(StartTpm { is_old, ..StartTpm::default() }).await.map(Some)
    }

    async fn own_cd(
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
        let made = steps.run(MakeCd { contents, cd: Kept::default() }).await?;
        Ok(vec![Source::File(made)])
    }

    async fn make_floppy(
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
        steps.run(MakeFloppy { contents, floppy: Kept::default() }).await.map(Some)
    }

    async fn prepare_efi(&self, steps: &Steps<'_>) -> anyhow::Result<Option<Uefi>> {
        match Uefi::wanted(&self.firmware, self.architecture, &self.directory)? {
            Some(uefi) => steps.run(PrepareVariables { uefi }).await.map(Some),
            None => Ok(None),
        }
    }

    fn disk_paths(&self) -> Vec<PathBuf> {
        let additional = 1..=self.disks.disk_additional_size.len();
        let names = additional.map(|number| format!("{}-{number}", self.name));
        std::iter::once(self.name.clone())
            .chain(names)
            .map(|name| self.directory.join(name))
            .collect()
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

    fn dot(&self, surroundings: &GuestFacts) -> Dot {
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
        rows.collect::<Result<_, _>>().context("cannot render `qemuargs`")
    }
}

/// `error`, after a program that it may come from has `ended`.
fn after(error: anyhow::Error, ended: Option<Ended>) -> anyhow::Error {
    match ended {
        Some(ended) => error.context(ended.to_string()),
        None => error,
    }
}
