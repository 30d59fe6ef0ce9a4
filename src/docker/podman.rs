//! Podman, asked to be an engine for as long as we need one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long Podman may take to listen.
const START: Duration = Duration::from_secs(30);

/// `podman system service` on a socket that only we may use. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    _child: Child,
    _dir: TempDir,
    socket: PathBuf,
}

impl Service {
    /// Starts `program` and waits until it listens.
    pub(super) async fn start(program: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("imgbake-podman-").tempdir()?;
        let socket = dir.path().join("podman.sock");
        let child = Command::new(program)
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not ended by the ctrl-C that tells us to clean up.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut service = Self { _child: child, _dir: dir, socket };
        let listening = tokio::time::timeout(START, service.listening(program)).await;
        listening.with_context(|| format!("{} listens nowhere", program.display()))??;
        Ok(service)
    }

    async fn listening(&mut self, program: &Path) -> anyhow::Result<()> {
        while tokio::net::UnixStream::connect(&self.socket).await.is_err() {
            if let Some(status) = self._child.try_wait()? {
                bail!("`{} system service` ended with {status}", program.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}
