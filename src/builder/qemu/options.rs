//! The options of `qemu`, by what they are about. Images, CDs and HTTP have theirs in [`crate::vm`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::config::GoDuration;
use crate::vm::MachineText;

/// Names of QEMU's accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    None,
    Kvm,
    Tcg,
    Hax,
    Hvf,
    Whpx,
    Xen,
}

impl Accelerator {
    /// As QEMU calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Hax => "hax",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Xen => "xen",
        }
    }
}

/// The machine.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Hardware {
    /// What runs the guest's code: `kvm`, `tcg`, `hvf`, `whpx`, `xen`, `hax`, or `none` to leave it
    /// to QEMU. If not given: `kvm` where it is seen to run a guest, else `tcg`.
    pub accelerator: Option<Accelerator>,
    /// The QEMU to run, by name or path.
    #[default("qemu-system-x86_64".into())]
    pub qemu_binary: String,
    /// The machine type: `pc` if not given, or `virt` for the guests of `qemu-system-aarch64`.
    pub machine_type: String,
    /// The CPU model. If not given: QEMU's default, or for the guests of `qemu-system-aarch64`, where
    /// that is a CPU of 32 bits, the best one that there is.
    pub cpu_model: String,
    /// Memory in MiB.
    #[default(512)]
    pub memory: u64,
    /// CPUs in all; the product of the next three if not given.
    pub cpus: u32,
    /// CPU sockets.
    pub sockets: u32,
    /// Cores of each socket.
    pub cores: u32,
    /// Threads of each core.
    pub threads: u32,
    /// Whether the machine has no window.
    pub headless: bool,
    /// The display of a machine that is not headless.
    #[default("gtk".into())]
    pub display: String,
    /// Whether QEMU chooses the display.
    pub use_default_display: bool,
    /// The VGA card.
    pub vga: String,
    /// Arguments for QEMU, each a list of a switch and its value. A switch that is given here
    /// replaces all that the builder would have given it. `{{ .HTTPIP }}`, `{{ .HTTPPort }}`,
    /// `{{ .HTTPDir }}`, `{{ .HTTPContent }}`, `{{ .OutputDir }}`, `{{ .Name }}` and
    /// `{{ .SSHHostPort }}` may be used. A machine that tests an image (`boot-test`) has those rows, too,
    /// with overlays for the disks of the image, and without what an installer was booted from.
    pub qemuargs: Vec<Vec<MachineText>>,
    /// Whether QEMU also opens a control socket for others.
    pub qmp_enable: bool,
    /// Where that socket is: `<output_directory>/<vm_name>.monitor` if not given.
    pub qmp_socket_path: Option<PathBuf>,
    /// Changes nothing: no build needs it any more.
    pub run_once: bool,
}

/// What runs before the operating system, and what it trusts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Firmware {
    /// A firmware image instead of QEMU's BIOS.
    pub firmware: Option<PathBuf>,
    /// Whether `firmware` is put in as flash memory.
    pub use_pflash: bool,
    /// Whether the machine boots with UEFI. The guests of `qemu-system-aarch64` do, unless `firmware`
    /// is given.
    pub efi_boot: bool,
    /// The UEFI's code; implies `efi_boot`. If not given: the one beside `efi_firmware_vars`, or the
    /// one that is installed on this host.
    pub efi_firmware_code: Option<PathBuf>,
    /// The UEFI's variables, of which the image gets a copy; implies `efi_boot`. If not given: those
    /// beside `efi_firmware_code`, or those that are installed on this host.
    pub efi_firmware_vars: Option<PathBuf>,
    /// Whether `efivars.fd` is left out of the artifact.
    pub efi_drop_efivars: bool,
    /// Whether the machine has a TPM, played by the program `swtpm`. It forgets all when the build
    /// ends.
    pub vtpm: bool,
    /// Whether that TPM is of version 1.2 instead of 2.0.
    pub use_tpm1: bool,
    /// The TPM's device: `tpm-tis` if not given, or `tpm-tis-device` for the guests of
    /// `qemu-system-aarch64`.
    pub tpm_device_type: String,
}

/// How disks are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    Ide,
    Sata,
    Scsi,
    Sd,
    #[default]
    Virtio,
    VirtioScsi,
}

impl Interface {
    /// As QEMU calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Sd => "sd",
            Self::Virtio => "virtio",
            Self::VirtioScsi => "virtio-scsi",
        }
    }
}

/// How the host caches what the guest writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    Writethrough,
    Writeback,
    None,
    #[default]
    Unsafe,
    Directsync,
}

impl Cache {
    /// As QEMU calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Writethrough => "writethrough",
            Self::Writeback => "writeback",
            Self::None => "none",
            Self::Unsafe => "unsafe",
            Self::Directsync => "directsync",
        }
    }
}

/// The form of the finished image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Qcow2,
    Raw,
}

impl Format {
    /// As QEMU calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// The disks.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Disks {
    /// Whether `iso_url` is a disk image to start from. Else it is the CD of an installer, which boots
    /// the first time and finds an empty disk.
    pub disk_image: bool,
    /// Whether the finished image keeps only what differs from the one that it started from, which
    /// it needs ever after.
    pub use_backing_file: bool,
    /// The form of the finished image: `qcow2` or `raw`.
    #[default(Format::Qcow2)]
    pub format: Format,
    /// The size of the disk, with a unit (`b`, `k`, `m`, `g`, `t`) or in MiB.
    #[default("40960M".into())]
    pub disk_size: String,
    /// Whether the disk keeps the size of the image that it starts from. Needs `disk_image`.
    pub skip_resize_disk: bool,
    /// The sizes of more disks.
    pub disk_additional_size: Vec<String>,
    /// How disks are connected: `ide`, `sata`, `scsi`, `sd`, `virtio` or `virtio-scsi`.
    #[default(Interface::Virtio)]
    pub disk_interface: Interface,
    /// How the host caches what the guest writes: `writethrough`, `writeback`, `none`, `unsafe` or
    /// `directsync`. The default `unsafe` is the fastest: it ignores the guest's requests to flush,
    /// which matter only if this host loses power, and then the build is gone anyway.
    #[default(Cache::Unsafe)]
    pub disk_cache: Cache,
    /// What becomes of blocks that the guest discards: `unmap` or `ignore`.
    #[schemars(extend("enum" = ["unmap", "ignore"]))]
    #[default("ignore".into())]
    pub disk_discard: String,
    /// What becomes of zeroes that the guest writes: `unmap`, `on` or `off`.
    #[schemars(extend("enum" = ["unmap", "on", "off"]))]
    #[default("off".into())]
    pub disk_detect_zeroes: String,
    /// Whether the finished qcow2 image is compressed.
    pub disk_compression: bool,
    /// Whether the finished image keeps blocks that it does not need.
    pub skip_compaction: bool,
    /// How CDs are connected: `ide`, `scsi`, `virtio`, `virtio-scsi`, or not given for the way that
    /// the machine type has.
    pub cdrom_interface: String,
    /// More arguments for `qemu-img`.
    pub qemu_img_args: QemuImgArgs,
}

/// More arguments for `qemu-img`, by its command.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QemuImgArgs {
    /// For `qemu-img create`.
    pub create: Vec<String>,
    /// For `qemu-img convert`.
    pub convert: Vec<String>,
    /// For `qemu-img resize`.
    pub resize: Vec<String>,
}

/// The network.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Network {
    /// The network card.
    #[default("virtio-net".into())]
    pub net_device: String,
    /// A bridge of this host that the machine is on, instead of a network of its own behind this
    /// host. QEMU's helper must be allowed to use it (`/etc/qemu/bridge.conf`). The machine is found
    /// by its address there.
    pub net_bridge: String,
    /// The first port of this host to try for reaching the guest's SSH server.
    #[default(2222)]
    pub host_port_min: u16,
    /// The last port to try.
    #[default(4444)]
    pub host_port_max: u16,
    /// The former name of `host_port_min`.
    pub ssh_host_port_min: Option<u16>,
    /// The former name of `host_port_max`.
    pub ssh_host_port_max: Option<u16>,
    /// Whether no port is forwarded: the guest is reached in another way, e.g. by `qemuargs`.
    pub skip_nat_mapping: bool,
}

/// How the machine ends, and what is left.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Output {
    /// The command that shuts the guest down. Without one its power is cut.
    pub shutdown_command: String,
    /// How long the guest may take to power off.
    #[default(GoDuration::from_secs(5 * 60))]
    pub shutdown_timeout: GoDuration,
    /// Where the image is written; must not exist, unless with `-force`. `output-<build>` if not
    /// given.
    pub output_directory: Option<PathBuf>,
    /// The name of the machine and of the image's file. `packer-<build>` if not given.
    pub vm_name: String,
}
