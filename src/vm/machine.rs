//! A running QEMU: started, watched, controlled over QMP, and ended.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::retry::or_cancelled;
use crate::scratch::Scratch;
use crate::vm::console::Console;
use crate::vm::escaped;
use crate::vm::process::{Ended, Process};
use crate::vm::qmp::Qmp;
use crate::vm::screen::Frame;

/// How long QEMU may take to open all its files and answer.
const START: Duration = Duration::from_secs(60);
/// How long QEMU may take to close its disks after `quit`, before it is killed.
const QUIT_PATIENCE: Duration = Duration::from_secs(20);

/// A QEMU process with a guest in it. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    qmp: Qmp,
    console: Console,
    process: Process,
    /// The sockets that QEMU connected to, and room for its pictures.
    directory: Scratch,
}

impl Machine {
    /// Starts `binary` with `args` and waits until it answers. A serial console of ours is added
    /// if `with_console`.
    ///
    /// # Errors
    /// When QEMU ends before it answers (with what it printed), or on interruption; nothing is
    /// left running then.
    pub async fn start(
        cancel: &CancellationToken,
        binary: &Path,
        args: &[String],
        with_console: bool,
    ) -> anyhow::Result<Self> {
        let sockets = Scratch::temporary("qemu");
        let sockets = sockets.context("cannot make a directory for QEMU's sockets")?;
        let mut command = Command::new(binary);
        command.args(args);
        // We listen and QEMU connects: no waiting for a socket to appear.
        let control = listener(&mut command, "-qmp", &sockets.path().join("qmp"))?;
        let console = Console::default();
        if with_console {
            let serial = listener(&mut command, "-serial", &sockets.path().join("serial"))?;
            tokio::spawn(console.clone().record(serial, name_in(args)));
        }
        let process = Process::start("QEMU", command, Stdio::null())?;
        let connected = or_cancelled(cancel, async {
            tokio::select! {
                connected = accept(&control) => connected,
                ended = process.ended() => bail!("{ended}"),
                () = tokio::time::sleep(START) => bail!("QEMU did not start within {START:?}"),
            }
        });
        match connected.await.map_err(anyhow::Error::from).flatten() {
            Ok(qmp) => Ok(Self { qmp, console, process, directory: sockets }),
            Err(error) => {
                process.kill().await;
                Err(error)
            }
        }
    }

    /// Waits until QEMU has ended.
    pub async fn ended(&self) -> Ended {
        self.process.ended().await
    }

    /// Fires when QEMU has ended.
    pub fn gone(&self) -> CancellationToken {
        self.process.gone()
    }

    /// What comes of `work`, as long as QEMU runs.
    pub async fn while_there<F: Future>(&self, work: F) -> anyhow::Result<F::Output> {
        self.gone().run_until_cancelled_owned(work).await.context("the machine is gone")
    }

    /// How QEMU ended, if it has.
    pub fn has_ended(&self) -> Option<Ended> {
        self.process.has_ended()
    }

    /// Cuts the guest's power, and waits until QEMU has written its disks and is gone.
    pub async fn stop(&self) {
        let quit = async {
            match self.qmp.execute("quit", json!({})).await {
                Ok(_) => drop(self.process.ended().await),
                Err(error) => tracing::debug!("{error:#}"),
            }
        };
        // Where QEMU does not listen any more, killing is what is left.
        let _ = tokio::time::timeout(QUIT_PATIENCE, quit).await;
        self.process.kill().await;
    }

    /// Its control.
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// What its screen shows.
    pub async fn frame(&self) -> anyhow::Result<Frame> {
        // Whoever asks at the same time has a file of his own.
        let name = format!("screen-{}.ppm", uuid::Uuid::new_v4());
        Frame::of(&self.qmp, &self.directory.path().join(name)).await
    }

    /// What the guest printed on its serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }
}

/// The machine's name, as QEMU is given it.
fn name_in(args: &[String]) -> String {
    let at = args.iter().position(|arg| arg == "-name");
    at.and_then(|at| args.get(at + 1)).cloned().unwrap_or_default()
}

/// Listens at `path`, and tells QEMU to connect there as its `switch`.
fn listener(command: &mut Command, switch: &str, path: &Path) -> anyhow::Result<UnixListener> {
    // In a QEMU option, a comma within a value is written twice.
    let escaped = escaped(&path.to_string_lossy());
    command.arg(switch).arg(format!("unix:{escaped},server=off"));
    UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))
}

async fn accept(control: &UnixListener) -> anyhow::Result<Qmp> {
    let (stream, _) = control.accept().await.context("cannot take QEMU's call")?;
    Qmp::greet(stream).await
}
