//! A TPM for a guest, played by the program `swtpm`.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use crate::scratch::Scratch;
use crate::vm::process::{Ended, Process};

/// A TPM that QEMU finds at a socket, with a memory of its own that ends with it. Dropping it kills
/// the program.
#[derive(Debug)]
pub struct Tpm {
    process: Process,
    socket: PathBuf,
    /// The socket, and what the TPM remembers.
    _dir: Scratch,
}

impl Tpm {
    /// Starts one: of version 1.2 if `is_old`, else of version 2.0.
    pub fn start(is_old: bool) -> anyhow::Result<Self> {
        let program = which::which("swtpm")
            .context("cannot find `swtpm`, which plays the TPM: install the package `swtpm`")?;
        let dir = Scratch::temporary("tpm").context("cannot make a directory for the TPM")?;
        let socket = dir.path().join("socket");
        // We listen before it runs, and it inherits that as its standard input: QEMU need not wait
        // for a socket to appear.
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen at {}", socket.display()))?;
        let mut command = Command::new(program);
        command.current_dir(dir.path());
        command.args(["socket", "--ctrl", "type=unixio,fd=0", "--tpmstate", "dir=."]);
        if !is_old {
            command.arg("--tpm2");
        }
        let process = Process::start("swtpm", command, OwnedFd::from(listener).into())?;
        Ok(Self { process, socket, _dir: dir })
    }

    /// Where QEMU finds it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How it ended, if it has.
    pub fn has_ended(&self) -> Option<Ended> {
        self.process.has_ended()
    }

    /// Ends it.
    pub async fn stop(&self) {
        self.process.kill().await;
    }
}
