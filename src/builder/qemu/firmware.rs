//! UEFI: its code, and the variables that the image gets a copy of.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;

use crate::builder::qemu::options::Hardware;
use crate::component::BuildContext;
use crate::peer;
use crate::step::Step;

/// QEMU's flash memory is smaller for every machine.
const LARGEST_VARIABLES: u64 = 128 << 20;

/// The file in the output directory that holds the machine's UEFI variables.
pub(super) const VARIABLES: &str = "efivars.fd";

/// Where distributions put code and variables; newer ones have only the second.
const USUAL: [(&str, &str); 2] = [
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
];

/// The files of a machine that boots with UEFI.
#[derive(Clone, Debug)]
pub(super) struct Uefi {
    pub code: PathBuf,
    /// The machine's own variables.
    pub vars: PathBuf,
    /// What they are a copy of.
    template: PathBuf,
}

impl Uefi {
    /// What `hardware` asks for; `None`: BIOS.
    pub fn wanted(hardware: &Hardware, directory: &Path) -> anyhow::Result<Option<Self>> {
        let (code, vars) = (&hardware.efi_firmware_code, &hardware.efi_firmware_vars);
        if !hardware.efi_boot && code.is_none() && vars.is_none() {
            return Ok(None);
        }
        let usual =
            USUAL.iter().find(|(code, vars)| [code, vars].iter().all(|p| Path::new(p).exists()));
        let missing = "no UEFI firmware is installed where it usually is: install the package \
                       `ovmf`, or give `efi_firmware_code` and `efi_firmware_vars`";
        let of = |given: &Option<PathBuf>, usual: Option<&str>| {
            given.clone().or(usual.map(PathBuf::from)).context(missing)
        };
        Ok(Some(Self {
            code: of(code, usual.map(|usual| usual.0))?,
            template: of(vars, usual.map(|usual| usual.1))?,
            vars: directory.join(VARIABLES),
        }))
    }
}

/// Gives the machine its own copy of the UEFI's variables.
pub(super) struct PrepareVariables {
    pub uefi: Uefi,
}

#[async_trait]
impl Step for PrepareVariables {
    type Output = Uefi;

    fn name(&self) -> &'static str {
        "copy the UEFI variables"
    }

    async fn run(&self, _cx: &BuildContext) -> anyhow::Result<Uefi> {
        let template = self.uefi.template.display();
        let text = peer::read_regular(&self.uefi.template, LARGEST_VARIABLES);
        let text = text.with_context(|| format!("cannot read {template}"))?;
        // Not a copy of the file's permissions: the machine writes here.
        tokio::fs::write(&self.uefi.vars, text)
            .await
            .with_context(|| format!("cannot write {}", self.uefi.vars.display()))?;
        Ok(self.uefi.clone())
    }
}
