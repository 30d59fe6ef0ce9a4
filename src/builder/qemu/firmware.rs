//! UEFI: its code, and the variables that the image gets a copy of. The TPM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;

use crate::builder::qemu::architecture::Architecture;
use crate::builder::qemu::options::Firmware;
use crate::component::BuildContext;
use crate::peer;
use crate::step::{Ending, Slot, Step};
use crate::vm::tpm::Tpm;

/// QEMU's flash memory is smaller for every machine.
const LARGEST_VARIABLES: u64 = 128 << 20;

/// The file in the output directory that holds the machine's UEFI variables.
pub(super) const VARIABLES: &str = "efivars.fd";

/// How distributions tell the two files of a UEFI apart: what the name of the one has, and what the
/// other has there.
const CODE_AND_VARS: [(&str, &str); 3] =
    [("CODE", "VARS"), ("code", "vars"), ("QEMU_EFI-pflash", "vars-template-pflash")];

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
    /// What `options` ask for; `None`: another firmware.
    pub fn wanted(
        options: &Firmware,
        architecture: Architecture,
        directory: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let (code, vars) = (options.efi_firmware_code.clone(), options.efi_firmware_vars.clone());
        let needs_it = architecture == Architecture::Arm64 && options.firmware.is_none();
        if !options.efi_boot && !needs_it && code.is_none() && vars.is_none() {
            return Ok(None);
        }
        let pair = match (code, vars) {
            (Some(code), Some(vars)) => Some((code, vars)),
            // Code of one size does not take variables of another.
            (Some(code), None) => {
                let installed = || installed(architecture).map(|(_, vars)| vars);
                beside(&code, CODE_AND_VARS).or_else(installed).map(|vars| (code, vars))
            }
            (None, Some(vars)) => {
                let vars_and_code = CODE_AND_VARS.map(|(code, vars)| (vars, code));
                let installed = || installed(architecture).map(|(code, _)| code);
                beside(&vars, vars_and_code).or_else(installed).map(|code| (code, vars))
            }
            (None, None) => installed(architecture),
        };
        let (code, template) = pair.with_context(|| missing(architecture))?;
        Ok(Some(Self { code, template, vars: directory.join(VARIABLES) }))
    }
}

/// The file that belongs to `given`: where its name has the first word of a pair, it has the second.
fn beside(given: &Path, pairs: [(&str, &str); 3]) -> Option<PathBuf> {
    let name = given.file_name()?.to_str()?;
    pairs
        .into_iter()
        .filter(|(this, _)| name.contains(this))
        .map(|(this, other)| given.with_file_name(name.replace(this, other)))
        .find(|path| path.exists())
}

/// What a distribution has put where it usually is.
fn installed(architecture: Architecture) -> Option<(PathBuf, PathBuf)> {
    let pairs = architecture.uefi().iter();
    let mut pairs = pairs.map(|(code, vars)| (PathBuf::from(code), PathBuf::from(vars)));
    pairs.find(|(code, vars)| code.exists() && vars.exists())
}

fn missing(architecture: Architecture) -> String {
    format!(
        "no UEFI firmware for this machine is where it usually is: install the package `{}`, or give \
         `efi_firmware_code` and `efi_firmware_vars`",
        architecture.uefi_package()
    )
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

/// Starts the machine's TPM; undone by ending it.
#[derive(Default)]
pub(super) struct StartTpm {
    pub is_old: bool,
    pub tpm: Slot<Arc<Tpm>>,
}

#[async_trait]
impl Step for StartTpm {
    type Output = Arc<Tpm>;

    fn name(&self) -> &'static str {
        "start the TPM"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Arc<Tpm>> {
        cx.ui.say("Starting a TPM for the machine");
        let tpm = Arc::new(Tpm::start(self.is_old)?);
        self.tpm.keep(tpm.clone());
        Ok(tpm)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        if let Some(tpm) = self.tpm.take() {
            tpm.stop().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(options: &Firmware, architecture: Architecture) -> Option<(PathBuf, PathBuf)> {
        let uefi = Uefi::wanted(options, architecture, Path::new("out")).ok()??;
        assert_eq!(uefi.vars, Path::new("out/efivars.fd"));
        Some((uefi.code, uefi.template))
    }

    #[test]
    fn who_names_one_file_of_a_uefi_gets_the_one_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (code, vars) in [
            ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
            ("edk2-code.4m.fd", "edk2-vars.4m.fd"),
            ("QEMU_EFI-pflash.raw", "vars-template-pflash.raw"),
        ] {
            std::fs::write(path(code), "").unwrap();
            std::fs::write(path(vars), "").unwrap();
            let both = Some((path(code), path(vars)));
            let by_code = Firmware { efi_firmware_code: Some(path(code)), ..Firmware::default() };
            let by_vars = Firmware { efi_firmware_vars: Some(path(vars)), ..Firmware::default() };
            assert_eq!(wanted(&by_code, Architecture::Pc), both, "{code}");
            assert_eq!(wanted(&by_vars, Architecture::Pc), both, "{vars}");
        }
    }

    #[test]
    fn a_machine_of_arm_boots_with_uefi_unless_it_has_another_firmware() {
        let none = Firmware::default();
        assert_eq!(wanted(&none, Architecture::Pc), None);
        // Where none is installed, that is an error.
        let found = Uefi::wanted(&none, Architecture::Arm64, Path::new("out"));
        assert!(!matches!(found, Ok(None)), "{found:?}");
        let own = Firmware { firmware: Some("/fw/u-boot.bin".into()), ..Firmware::default() };
        assert_eq!(wanted(&own, Architecture::Arm64), None);
    }
}
