//! The options of an AMI that is registered from snapshots: EC2 knows nothing of its machine.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::Check;

/// How machines of the AMI start.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegistrationOptions {
    /// The processors that the AMI is for: `x86_64`, the default, `arm64`, `i386`, `arm64_mac` or
    /// `x86_64_mac`.
    pub ami_architecture: Option<Architecture>,
    /// How machines of the AMI start: `legacy-bios`, `uefi` or `uefi-preferred`. If not given, EC2
    /// takes `uefi` for arm64, and `legacy-bios` for all others.
    pub boot_mode: Option<BootMode>,
    /// The variables of the machine's UEFI firmware, in base64, as `GetInstanceUefiData` says them.
    pub uefi_data: String,
    /// `v2.0`: machines of the AMI have a NitroTPM.
    pub tpm_support: Option<TpmSupport>,
}

/// A kind of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit ARM, Apple's.
    Arm64Mac,
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit x86, Apple's.
    X86_64Mac,
}

impl Architecture {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Arm64Mac => "arm64_mac",
            Self::I386 => "i386",
            Self::X86_64 => "x86_64",
            Self::X86_64Mac => "x86_64_mac",
        }
    }
}

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    /// With a BIOS.
    LegacyBios,
    /// With UEFI.
    Uefi,
    /// With UEFI where the instance type has it.
    UefiPreferred,
}

impl BootMode {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LegacyBios => "legacy-bios",
            Self::Uefi => "uefi",
            Self::UefiPreferred => "uefi-preferred",
        }
    }
}

/// Which NitroTPM a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TpmSupport {
    /// TPM 2.0.
    #[serde(rename = "v2.0")]
    V2,
}

impl RegistrationOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        if self.uefi_data.is_empty() {
            return;
        }
        let architecture = self.ami_architecture.unwrap_or_default();
        match self.boot_mode {
            Some(BootMode::LegacyBios) => {
                check.error("uefi_data", "with `boot_mode = \"legacy-bios\"` there is no UEFI");
            }
            None if architecture != Architecture::Arm64 => {
                let kind = architecture.as_str();
                check.missing(
                    "boot_mode",
                    format!("`uefi_data` needs `uefi`: {kind} starts with a BIOS otherwise"),
                );
            }
            _ => {}
        }
    }
}
