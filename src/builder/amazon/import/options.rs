//! The options of an import.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::ImageText;
use crate::builder::amazon::image::{
    AmiOptions, BootMode, CopyOptions, ImageDisks, ImageSettings, SharingOptions, check_name,
    is_kms_key, no_key,
};
use crate::component::Check;
use crate::config::Late;
use crate::diagnostic::code;
use crate::post_processor::BuildFields;

/// What is imported, by which way, and what the AMI is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImportOptions {
    /// The bucket that the file goes through, in the region of the import.
    pub s3_bucket_name: String,
    /// The file's key in the bucket; `packer-import-{{timestamp}}.` and the `format` if not given.
    pub s3_key_name: Option<Late<BuildFields>>,
    /// How S3 encrypts the file: `AES256` or `aws:kms`; as the bucket says if not given.
    pub s3_encryption: Option<S3Encryption>,
    /// The KMS key for `s3_encryption = "aws:kms"`.
    pub s3_encryption_key: String,
    /// Whether the file stays in S3.
    pub skip_clean: bool,
    /// The kind of disk image, and how the name of its file ends: `ova`, `raw`, `vhd`, `vhdx` or
    /// `vmdk`.
    pub format: DiskFormat,
    /// The processors that it is for: `x86_64`, `arm64` or `i386`.
    pub architecture: ImportArchitecture,
    /// How machines of the AMI start: `legacy-bios` or `uefi`. Of `arm64`, `uefi` if not given; of all
    /// others, `legacy-bios`.
    pub boot_mode: Option<ImportBootMode>,
    /// What is on it: `linux` or `windows`; needed with `uefi`.
    pub platform: Option<Platform>,
    /// The role that EC2 reads the file with, if it is not `vmimport`.
    pub role_name: String,
    /// `AWS` or `BYOL`: who brings the licence of Windows.
    pub license_type: String,
    /// What the AMI is called. EC2 gives imported ones a name of its own: one that is to have this
    /// name is copied.
    pub ami_name: String,
    /// The AMI's description.
    pub ami_description: String,
    /// Whether the AMI is encrypted when it is copied to `ami_name`.
    pub ami_encrypt: bool,
    /// The KMS key for `ami_encrypt`; the account's default key if not given.
    pub ami_kms_key: String,
    /// Tags of the AMI and of its snapshots.
    pub tags: IndexMap<String, String>,
}

/// A kind of disk image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// A whole virtual machine.
    #[default]
    Ova,
    /// The disk's bytes.
    Raw,
    /// Of Hyper-V.
    Vhd,
    /// Of Hyper-V.
    Vhdx,
    /// Of VMware.
    Vmdk,
}

impl DiskFormat {
    /// As the API and file names have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ova => "ova",
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
        }
    }
}

/// How S3 encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum S3Encryption {
    /// With keys of S3.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of KMS.
    #[serde(rename = "aws:kms")]
    Kms,
}

impl S3Encryption {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
        }
    }
}

/// A kind of processors that disks are imported for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportArchitecture {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit x86.
    I386,
}

impl ImportArchitecture {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::I386 => "i386",
        }
    }
}

/// How an imported machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportBootMode {
    /// With a BIOS.
    LegacyBios,
    /// With UEFI.
    Uefi,
}

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

impl Platform {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        }
    }
}

impl ImportOptions {
    /// Reports what is wrong, also with how the AMI is shared.
    pub fn check(&self, sharing: &SharingOptions, check: &mut Check<'_>) {
        if self.s3_bucket_name.is_empty() {
            check.missing("s3_bucket_name", "say which bucket the file goes through");
        }
        if !self.ami_name.is_empty() {
            check_name(&self.ami_name, check);
        }
        self.check_start(check);
        self.check_encryption(sharing, check);
        if !self.s3_encryption_key.is_empty() && self.s3_encryption != Some(S3Encryption::Kms) {
            let text = "`s3_encryption_key` has no effect";
            let warning = check.warn(code::OPTION_VALUE, "s3_encryption_key", text);
            warning.help = Some("it is for `s3_encryption = \"aws:kms\"`".to_owned());
        }
    }

    fn check_start(&self, check: &mut Check<'_>) {
        let is_arm = self.architecture == ImportArchitecture::Arm64;
        if is_arm && self.boot_mode == Some(ImportBootMode::LegacyBios) {
            check.error("boot_mode", "arm64 has no BIOS: it starts with `uefi`");
        }
        if self.starts_with() == BootMode::Uefi && self.platform.is_none() {
            check.missing("platform", "with `uefi`, say whether it is `linux` or `windows`");
        }
    }

    fn check_encryption(&self, sharing: &SharingOptions, check: &mut Check<'_>) {
        if self.ami_encrypt && self.ami_name.is_empty() {
            let help = "only a copy is encrypted, and a copy has a name of yours";
            check.missing("ami_name", help);
        }
        let key = &self.ami_kms_key;
        if !key.is_empty() && !self.ami_encrypt {
            check.error("ami_kms_key", "a key is for `ami_encrypt = true`");
        }
        if !key.is_empty() && !is_kms_key(key) {
            check.error("ami_kms_key", no_key(key));
        }
        if let Some(option) = sharing.shared_by(&[]).filter(|_| self.ami_encrypt)
            && key.is_empty()
        {
            let cause = "cannot use what is encrypted with the account's default key";
            check.missing("ami_kms_key", format!("`{option}` {cause}"));
        }
    }

    /// How machines of the AMI start.
    pub fn starts_with(&self) -> BootMode {
        match (self.boot_mode, self.architecture) {
            (Some(ImportBootMode::Uefi), _) | (None, ImportArchitecture::Arm64) => BootMode::Uefi,
            _ => BootMode::LegacyBios,
        }
    }

    /// The key of the file in S3, before it is rendered.
    pub fn key_name(&self) -> Late<BuildFields> {
        let usual = || format!("packer-import-{{{{timestamp}}}}.{}", self.format.as_str());
        self.s3_key_name.clone().unwrap_or_else(|| Late::new(usual()))
    }

    /// What becomes of the AMI when it is there, which is shared so.
    pub(crate) fn image(&self, sharing: SharingOptions) -> ImageSettings {
        let text = |text: &String| ImageText::new(text.as_str());
        let is_copied = !self.ami_name.is_empty();
        ImageSettings {
            ami: AmiOptions {
                ami_name: self.ami_name.clone(),
                ami_description: Some(text(&self.ami_description)),
                tags: self.tags.iter().map(|(key, value)| (text(key), text(value))).collect(),
                ..AmiOptions::default()
            },
            sharing,
            copies: CopyOptions {
                encrypt_boot: self.ami_encrypt.then_some(true),
                kms_key_id: self.ami_kms_key.clone(),
                is_renamed: is_copied,
                ..CopyOptions::default()
            },
            disks: ImageDisks::default(),
            takes_run_tags: false,
            force: false,
        }
    }
}
