//! The `qemu` builder: a virtual machine on this host, started from a disk image or an installer.

mod architecture;
mod arguments;
mod artifact;
mod boot;
mod check;
mod checkpoints;
mod files;
mod firmware;
mod keep;
mod kept;
mod launch;
mod options;
mod parts;
mod resume;
mod run;
mod start;
mod trial;
mod unchanged;

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
use self::boot::TypeBootCommand;
use self::checkpoints::ForgetCheckpoints;
use self::files::Compact;
use self::launch::{Shown, after};
use self::options::Accelerator;
use self::run::{Off, Shutdown};
use self::start::Started;
use crate::builder::DirectoryCleaner;
use crate::builder::provision::{self, provision_while};
use crate::communicator::{self, Chosen, Taken};
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Communicator, Component,
};
use crate::interpolate::BuildData;
use crate::step::Steps;
use crate::vm::accelerator::{self, Kvm};
use crate::vm::boot::Boot;
use crate::vm::cd;
use crate::vm::download::{self, Download, Source};
use crate::vm::floppy;
use crate::vm::format;
use crate::vm::http_server;
use crate::vm::machine::Machine;
use crate::vm::vnc;
use crate::vm::watch::Watch;

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

    fn cleaner(&self, _cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(DirectoryCleaner))
    }

    fn can_keep(&self) -> bool {
        self.communicator.connects()
    }

    fn takes_checkpoints(&self) -> bool {
        true
    }

    fn is_of_image(&self, option: &str) -> bool {
        ["shutdown_command", "shutdown_timeout"].contains(&option)
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
    /// What the image to start from is, where the machine is kept if a provisioner fails.
    source: Option<String>,
}

impl Qemu {
    /// All steps, up to the finished image.
    async fn run(
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
        if Compact::is_wanted(&self.disks) {
            let path = disks.into_iter().next().context("there is no disk")?;
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
}
