//! Podman, asked to be an engine for as long as we need one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::scratch::Scratch;
use crate::vm::process::Process;

/// How long Podman may take to listen.
const START: Duration = Duration::from_secs(30);

/// `podman system service` on a socket that only we may use. It ends when this is dropped, and when we
/// are killed: by itself it would wait for ever.
#[derive(Debug)]
pub(super) struct Service {
    process: Process,
    _dir: Scratch,
    socket: PathBuf,
}

impl Service {
    /// Starts `program` and waits until it listens.
    pub(super) async fn start(program: &Path) -> anyhow::Result<Self> {
        let dir = Scratch::temporary("podman")?;
        let socket = dir.path().join("podman.sock");
        let mut command = Command::new(program);
        command.args(["system", "service", "--time=0"]);
        command.arg(format!("unix://{}", socket.display()));
        let process = Process::start("podman", command, Stdio::null())?;
        let service = Self { process, _dir: dir, socket };
        let listening = tokio::time::timeout(START, service.listening()).await;
        listening.with_context(|| format!("{} listens nowhere", program.display()))??;
        Ok(service)
    }

    async fn listening(&self) -> anyhow::Result<()> {
        while tokio::net::UnixStream::connect(&self.socket).await.is_err() {
            if let Some(ended) = self.process.has_ended() {
                bail!("{ended}");
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
