//! What machines of a CPU architecture have, and what they lack.

use std::path::Path;

use crate::builder::qemu::options::Accelerator;

/// The architecture of a guest, as far as machines differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// A PC, or what is told as if it were one.
    Pc,
    /// A machine of QEMU's type `virt`: it has no BIOS, no IDE, no floppy drive, no keyboard and no
    /// screen of its own.
    Arm64,
}

impl Architecture {
    /// The one whose guests `qemu` runs.
    pub fn of(qemu: &Path) -> Self {
        match qemu.file_name().is_some_and(|name| name == "qemu-system-aarch64") {
            true => Self::Arm64,
            false => Self::Pc,
        }
    }

    pub fn machine_type(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Arm64 => "virt",
        }
    }

    /// `None`: what QEMU takes itself is good.
    pub fn cpu_model(self, accelerator: Accelerator) -> Option<&'static str> {
        match (self, accelerator) {
            (Self::Pc, _) => None,
            // Emulating the usual algorithm of pointer authentication takes half of the time.
            (Self::Arm64, Accelerator::Tcg) => Some("max,pauth-impdef=on"),
            (Self::Arm64, Accelerator::Kvm | Accelerator::Hvf) => Some("host"),
            (Self::Arm64, _) => Some("max"),
        }
    }

    pub fn tpm_device(self) -> &'static str {
        match self {
            Self::Pc => "tpm-tis",
            Self::Arm64 => "tpm-tis-device",
        }
    }

    /// What a person, or `boot_command`, needs to use the machine.
    pub fn console_devices(self) -> &'static [&'static str] {
        match self {
            Self::Pc => &[],
            Self::Arm64 => &["virtio-gpu-pci", "qemu-xhci", "usb-kbd"],
        }
    }

    /// Where distributions put the code and the variables of its UEFI; newer ones have only the
    /// larger ones.
    pub fn uefi(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Pc => &[
                ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
                ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
                ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
                ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
            ],
            Self::Arm64 => &[
                ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
                (
                    "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
                    "/usr/share/edk2/aarch64/vars-template-pflash.raw",
                ),
            ],
        }
    }

    /// The Debian package that holds it.
    pub fn uefi_package(self) -> &'static str {
        match self {
            Self::Pc => "ovmf",
            Self::Arm64 => "qemu-efi-aarch64",
        }
    }
}
