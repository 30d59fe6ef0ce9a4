//! A running QEMU: started, watched, controlled over QMP, and ended.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::retry::or_cancelled;
use crate::vm::console::Console;
use crate::vm::qmp::Qmp;
use crate::vm::tool;

/// How long QEMU may take to open all its files and answer.
const START: Duration = Duration::from_secs(60);
/// How long QEMU may take to close its disks after `quit`, before it is killed.
const QUIT_PATIENCE: Duration = Duration::from_secs(20);
/// What is kept of QEMU's standard error.
const KEPT_STDERR: u64 = 64 * 1024;

/// A QEMU process with a guest in it. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    qmp: Qmp,
    console: Console,
    process: Process,
    /// The sockets that QEMU connected to.
    _sockets: TempDir,
}

/// How QEMU ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it ended by itself and without complaint: the guest powered off.
    pub ok: bool,
    /// Its exit status, for people.
    status: String,
    /// What it printed on standard error.
    stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QEMU ended ({})", self.status)?;
        if !self.stderr.is_empty() {
            write!(f, ": {}", self.stderr)?;
        }
        Ok(())
    }
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
        let sockets = tempfile::Builder::new().prefix("imgbake-qemu-").tempdir();
        let sockets = sockets.context("cannot make a directory for QEMU's sockets")?;
        let mut command = Command::new(binary);
        command.args(args);
        // We listen and QEMU connects: no waiting for a socket to appear.
        let control = listener(&mut command, "-qmp", &sockets.path().join("qmp"))?;
        let console = Console::default();
        if with_console {
            let serial = listener(&mut command, "-serial", &sockets.path().join("serial"))?;
            tokio::spawn(console.clone().record(serial));
        }
        let process = Process::start(command)?;
        let connected = or_cancelled(cancel, async {
            tokio::select! {
                connected = accept(&control) => connected,
                ended = process.ended() => bail!("{ended}"),
                () = tokio::time::sleep(START) => bail!("QEMU did not start within {START:?}"),
            }
        });
        match connected.await.map_err(anyhow::Error::from).flatten() {
            Ok(qmp) => Ok(Self { qmp, console, process, _sockets: sockets }),
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
        self.process.gone.clone()
    }

    /// How QEMU ended, if it has.
    pub fn has_ended(&self) -> Option<Ended> {
        self.process.ended.borrow().clone()
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

    /// What the guest printed on its serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }
}

/// Listens at `path`, and tells QEMU to connect there as its `switch`.
fn listener(command: &mut Command, switch: &str, path: &Path) -> anyhow::Result<UnixListener> {
    // In a QEMU option, a comma within a value is written twice.
    let escaped = path.to_string_lossy().replace(',', ",,");
    command.arg(switch).arg(format!("unix:{escaped},server=off"));
    UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))
}

async fn accept(control: &UnixListener) -> anyhow::Result<Qmp> {
    let (stream, _) = control.accept().await.context("cannot take QEMU's call")?;
    Qmp::greet(stream).await
}

/// The process itself, owned by a task that sees it end.
#[derive(Debug)]
struct Process {
    ended: watch::Receiver<Option<Ended>>,
    gone: CancellationToken,
    kill: CancellationToken,
    _killed_when_dropped: DropGuard,
}

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        tracing::info!("starting {:?}", command.as_std());
        let binary = command.as_std().get_program().to_string_lossy().into_owned();
        // In a group of its own, a ctrl-C at the terminal does not kill it before its undo.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start `{binary}`"))?;
        let guard = child.id().map(guard).transpose().context("cannot start `sh`")?;
        let (sender, ended) = watch::channel(None);
        let (kill, gone) = (CancellationToken::new(), CancellationToken::new());
        let end = gone.clone().drop_guard();
        let owned = own(child, guard, kill.clone());
        tokio::spawn(async move {
            // Nobody wants to know any more: fine.
            let _ = sender.send(Some(owned.await));
            drop(end);
        });
        Ok(Self { ended, gone, _killed_when_dropped: kill.clone().drop_guard(), kill })
    }

    async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended,
            // The runtime is going down, and the process with it.
            _ => Ended { ok: false, status: "unknown".into(), stderr: String::new() },
        }
    }

    async fn kill(&self) {
        self.kill.cancel();
        self.ended().await;
    }
}

/// Kills the process `pid` when we are gone without a chance to do it: its end of our pipe closes.
fn guard(pid: u32) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _ || kill -KILL \"$0\"", &pid.to_string()])
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Waits for `child`, kills it when asked to, and says how it ended.
async fn own(mut child: Child, guard: Option<Child>, kill: CancellationToken) -> Ended {
    let stderr = child.stderr.take();
    let printed = tokio::spawn(async move {
        let mut printed = Vec::new();
        if let Some(stderr) = stderr {
            // An unreadable rest is no reason to lose what was read.
            let _ = stderr.take(KEPT_STDERR).read_to_end(&mut printed).await;
        }
        tool::text(&printed)
    });
    let status = match kill.run_until_cancelled(child.wait()).await {
        Some(status) => status,
        None => {
            // It may have ended in this moment.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    if let Some(mut guard) = guard {
        // Its charge is gone; so it must be, before the number is given to another process.
        let _ = guard.start_kill();
        let _ = guard.wait().await;
    }
    let ok = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let stderr = printed.await.unwrap_or_default();
    Ended { ok, status, stderr }
}
