//! Which accelerator runs guests on this host: found out by running one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::scratch::Scratch;
use crate::vm::escaped;

/// How long a guest of 512 bytes may take; where KVM works it takes a tenth of this.
const PATIENCE: Duration = Duration::from_millis(1800);
/// What the guest writes to the exit port, and the status that QEMU makes of it: `2 * 16 + 1`.
const SIGNAL: u8 = 0x10;
const SIGNALLED: i32 = 33;

/// Whether KVM can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// It ran a guest.
    Works,
    /// It cannot, because of this.
    Unusable(String),
}

/// Whether KVM runs a guest of `qemu` here. Asked once in the life of this process.
///
/// That `/dev/kvm` opens says little: in nested and sandboxed virtual machines it may open and then
/// hang the guest at its first interrupt. So a guest is run: QEMU's BIOS, which uses interrupts and
/// reads a disk, and a boot sector that reports back.
pub async fn kvm(qemu: &Path) -> Kvm {
    type Verdicts = Mutex<HashMap<PathBuf, Arc<OnceCell<Kvm>>>>;
    static VERDICTS: std::sync::LazyLock<Verdicts> = std::sync::LazyLock::new(Verdicts::default);
    let verdict = {
        let mut verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.entry(qemu.to_owned()).or_default().clone()
    };
    verdict.get_or_init(|| probe(qemu)).await.clone()
}

async fn probe(qemu: &Path) -> Kvm {
    if let Some(other) = other_architecture(qemu) {
        return Kvm::Unusable(format!("this machine's CPU runs no guests of {other}"));
    }
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if let Err(error) = device {
        return Kvm::Unusable(format!("/dev/kvm cannot be opened: {error}"));
    }
    if !runs_pc_guests(qemu) {
        // There is no guest to try; QEMU itself says it if KVM cannot run this architecture.
        return Kvm::Works;
    }
    try_guest(qemu, "kvm", PATIENCE)
        .await
        .unwrap_or_else(|error| Kvm::Unusable(format!("{error:#}")))
}

/// The architecture of the guests of `qemu`, if it is known not to be this machine's.
fn other_architecture(qemu: &Path) -> Option<&str> {
    let guest = qemu.file_name()?.to_str()?.strip_prefix("qemu-system-")?;
    let host = std::env::consts::ARCH;
    let runs_here = guest == host || (guest, host) == ("i386", "x86_64");
    (!runs_here).then_some(guest)
}

fn runs_pc_guests(qemu: &Path) -> bool {
    let name = qemu.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["qemu-system-x86_64", "qemu-system-i386", "qemu-kvm"].contains(&name)
}

/// Boots the smallest guest there is.
async fn try_guest(qemu: &Path, accelerator: &str, patience: Duration) -> anyhow::Result<Kvm> {
    let dir = Scratch::temporary("probe")?;
    let disk = dir.path().join("disk");
    std::fs::write(&disk, boot_sector())?;
    let file = escaped(&disk.to_string_lossy());
    let drive = format!("file={file},format=raw,if=ide,readonly=off");
    let mut child = Command::new(qemu)
        .args(["-accel", accelerator, "-machine", "pc", "-m", "8", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive"])
        .arg(drive)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", qemu.display()))?;
    let Ok(status) = tokio::time::timeout(patience, child.wait()).await else {
        // A process that is stuck in the kernel may not die at once; dropping it does not wait.
        return Ok(Kvm::Unusable("a guest hangs under KVM".to_owned()));
    };
    match status?.code() {
        Some(SIGNALLED) => Ok(Kvm::Works),
        _ => Ok(Kvm::Unusable("QEMU cannot start a guest under KVM".to_owned())),
    }
}

/// `mov al, SIGNAL; out 0xf4, al; hlt; jmp $-1`, with the mark of a boot sector.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..7].copy_from_slice(&[0xb0, SIGNAL, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_guest_reports_back() {
        let verdict =
            try_guest(Path::new("qemu-system-x86_64"), "tcg", Duration::from_secs(60)).await;
        assert_eq!(verdict.unwrap(), Kvm::Works);
    }

    #[test]
    fn guests_of_another_architecture_are_known_by_their_qemu() {
        let own = format!("/usr/bin/qemu-system-{}", std::env::consts::ARCH);
        assert_eq!(other_architecture(Path::new(&own)), None);
        assert_eq!(other_architecture(Path::new("qemu-kvm")), None);
        assert_eq!(other_architecture(Path::new("qemu-system-riscv64")), Some("riscv64"));
    }

    #[tokio::test]
    async fn a_guest_that_hangs_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("qemu-system-x86_64");
        std::fs::write(&fake, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let started = Instant::now();
        let verdict = try_guest(&fake, "kvm", PATIENCE).await.unwrap();
        assert_eq!(verdict, Kvm::Unusable("a guest hangs under KVM".into()));
        // `PATIENCE` keeps to two seconds; a busy machine may be late to notice.
        assert!(PATIENCE < Duration::from_secs(2) && started.elapsed() < Duration::from_secs(30));
    }
}
