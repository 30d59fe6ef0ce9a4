//! The `qemu` builder: a virtual machine on this host, started from a disk image or an installer.
//!
//! | file | what is there |
//! |---|---|
//! | `options`, `check`, `architecture` | what the template says, what can be wrong with it, what a CPU lacks |
//! | `start` | how a build comes to its machine: a new one, or one that was kept |
//! | `parts`, `files`, `firmware` | what a machine is put together from |
//! | `arguments`, `launch`, `run`, `boot` | it is started, shown, typed at and stopped |
//! | `life` | it is provisioned, and its disk becomes the image |
//! | `unchanged` | whether there is an image that is enough |
//! | `checkpoints`, `keep`, `kept`, `resume` | its states, kept for another run that goes on there |
//! | `image_test`, `image_test_rows` | the image is tested in a machine of its own |
//! | `artifact` | what the builder leaves |

mod architecture;
mod arguments;
mod artifact;
mod boot;
mod check;
mod checkpoints;
mod files;
mod firmware;
mod image_test;
mod image_test_rows;
mod keep;
mod kept;
mod launch;
mod life;
mod options;
mod parts;
mod resume;
mod run;
mod start;
mod unchanged;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

pub use self::artifact::BUILDER_ID;
pub use self::boot::ScreenAndKeys;
pub use self::options::{Disks, Firmware, Hardware, Network, Output};

use self::architecture::Architecture;
use self::image_test_rows::UnderTest;
use self::options::{Accelerator, Format, QemuImgArgs};
use crate::builder::{DirectoryCleaner, provision};
use crate::communicator::{self, Chosen, Taken};
use crate::component::{
    Artifact, BuildContext, Builder, Capabilities, Check, Cleaner, CleanupContext, Component,
    PastImage, PastQuery, Purpose,
};
use crate::config::option_parts;
use crate::diagnostic::code;
use crate::env::Environment;
use crate::permission::Permission;
use crate::step::Steps;
use crate::vm::accelerator::{self, Kvm};
use crate::vm::boot::Boot;
use crate::vm::cd;
use crate::vm::download::{self, Download, Source};
use crate::vm::floppy;
use crate::vm::format;
use crate::vm::http_server;
use crate::vm::vnc;

option_parts! {
    /// The options of `qemu`, in groups.
    #[derive(Debug)]
    pub struct QemuOptions {
        /// The machine.
        hardware: Hardware,
        /// What it boots with.
        firmware: Firmware,
        /// Its disks.
        disks: Disks,
        /// Its network.
        network: Network,
        /// What becomes of it.
        output: Output,
        /// The image to start from.
        image: download::Options,
        /// A CD for it.
        cd: cd::Options,
        /// A floppy for it.
        floppy: floppy::Options,
        /// Files that it may fetch.
        http: http_server::Options,
        /// What it shows, and what is typed at it.
        screen: ScreenAndKeys,
        /// How it is talked to.
        communicator: communicator::Options,
    }
}

/// A machine to build.
#[derive(Clone, Debug)]
pub struct Qemu {
    architecture: Architecture,
    hardware: Hardware,
    firmware: Firmware,
    /// The machine's disks, in the form in which it writes to them.
    disks: Disks,
    /// The form of the finished image.
    finished: Format,
    network: Network,
    output: Output,
    download: Download,
    cd: cd::Options,
    floppy: floppy::Options,
    http: http_server::Options,
    /// What is typed at it.
    boot: Option<Boot>,
    vnc: vnc::Options,
    connector: Chosen,
    /// The machine's name.
    name: String,
    directory: PathBuf,
    /// The image that it is started from, if it tests one.
    under_test: Option<UnderTest>,
}

impl Component for Qemu {
    const TYPE: &'static str = "qemu";
    const ABOUT: &'static str =
        "Boots a disk image or an installer in QEMU, provisions the machine, and keeps its disk.";
    type Options = (QemuOptions,);

    fn lint((options,): &Self::Options, check: &mut Check<'_>) {
        options.image.lint(check);
    }

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let QemuOptions { mut hardware, firmware, disks, mut network, output, .. } = options;
        let QemuOptions { image, cd, floppy, http, screen, communicator, .. } = options;
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
        let connector = communicator.choose(&Taken::any(), check);
        let download = image.check(check)?;
        if hardware.memory < 10 {
            let usual = Hardware::default().memory;
            let cause = format!("no machine runs with so few MiB: it gets {usual}");
            check.warn(code::OPTION_VALUE, "memory", cause);
            hardware.memory = usual;
        }
        let build = check.facts.source_name();
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
            finished: disks.format,
            disks,
            network,
            output,
            download,
            cd,
            floppy,
            http,
            boot,
            vnc: screen.vnc,
            connector: connector?,
            name,
            directory,
            under_test: None,
        })
    }
}

#[async_trait]
impl Builder for Qemu {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        steps.finish(self.bake(cx, &steps)).await
    }

    fn makes(&self) -> Option<&'static str> {
        Some(BUILDER_ID)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            skips_unchanged: match self.download.is_streamed() {
                true => Err("`iso_skip_cache` leaves the image on its server"),
                false => Ok(()),
            },
            tests: self.connector.connects(),
            keeps_failed: self.connector.connects(),
            takes_checkpoints: true,
        }
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        let named = image;
        let image = PathBuf::from(image);
        if !image.exists() {
            return Err(provision::no_image(named));
        }
        let format = format::of(&image)?;
        let accelerator = self.accelerator(&self.binary()?, cx).await?;
        self.test_disks(cx, &Steps::new(cx), accelerator, (&[image], format)).await
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.files_read())
    }

    fn permissions(&self, purpose: Purpose, environment: &Environment) -> Vec<Permission> {
        match purpose {
            Purpose::Build => self.download.permissions(environment),
            _ => Vec::new(),
        }
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(DirectoryCleaner { cx: cx.clone() }))
    }

    fn is_image_option(&self, option: &str) -> bool {
        ["shutdown_command", "shutdown_timeout"].contains(&option)
    }

    async fn earlier_images(&self, query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        self.past_image(query).await
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
    /// The same, for a machine that may be kept: only qcow2 has room for its states.
    fn with_room_for_states(&self) -> Self {
        let disks = match self.disks.format {
            Format::Qcow2 => self.disks.clone(),
            Format::Raw => Disks {
                format: Format::Qcow2,
                // It is written anew in the end, and what is said of it is about that.
                skip_compaction: false,
                qemu_img_args: QemuImgArgs {
                    convert: self.disks.qemu_img_args.convert.clone(),
                    ..QemuImgArgs::default()
                },
                ..self.disks.clone()
            },
        };
        Self { disks, ..self.clone() }
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
