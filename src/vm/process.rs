//! Programs that run as long as a machine does: QEMU, `swtpm`, Podman's service. They are watched, and
//! never outlive this process.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::script::complaints::Complaints;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it ended by itself and without complaint: of QEMU, that the guest powered off.
    pub ok: bool,
    /// What people call the program.
    name: &'static str,
    /// Its exit status, for people.
    status: String,
    /// What it printed on standard error.
    stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended ({})", self.name, self.status)?;
        if !self.stderr.is_empty() {
            write!(f, ": {}", self.stderr)?;
        }
        Ok(())
    }
}

/// A running program, owned by a task that sees it end. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    ended: watch::Receiver<Option<Ended>>,
    gone: CancellationToken,
    kill: CancellationToken,
    _killed_when_dropped: DropGuard,
}

impl Process {
    /// Starts `command`, which people call `name`.
    pub fn start(name: &'static str, command: Command, stdin: Stdio) -> anyhow::Result<Self> {
        let mut command = command;
        tracing::info!("starting {:?}", command.as_std());
        let binary = command.as_std().get_program().to_string_lossy().into_owned();
        // In a group of its own, a ctrl-C at the terminal does not kill it before its undo.
        command.process_group(0).kill_on_drop(true);
        command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start `{binary}`"))?;
        let guard = child.id().map(guard).transpose().context("cannot start `sh`")?;
        let (sender, ended) = watch::channel(None);
        let (kill, gone) = (CancellationToken::new(), CancellationToken::new());
        let end = gone.clone().drop_guard();
        let owned = own(name, child, guard, kill.clone());
        tokio::spawn(async move {
            // Nobody wants to know any more: fine.
            let _ = sender.send(Some(owned.await));
            drop(end);
        });
        Ok(Self { name, ended, gone, _killed_when_dropped: kill.clone().drop_guard(), kill })
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended,
            // The runtime is going down, and the process with it.
            _ => Ended {
                ok: false,
                name: self.name,
                status: "unknown".into(),
                stderr: String::new(),
            },
        }
    }

    /// How it ended, if it has.
    pub fn has_ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Fires when it has ended.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&self) {
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

/// What a program printed, without what QEMU says of a VNC server that works.
fn without_notices(printed: &str) -> String {
    let is_notice = |line: &&str| line.starts_with("VNC server running on ");
    printed.lines().filter(|line| !is_notice(line)).collect::<Vec<_>>().join("\n")
}

/// Waits for `child`, kills it when asked to, and says how it ended.
async fn own(
    name: &'static str,
    mut child: Child,
    guard: Option<Child>,
    kill: CancellationToken,
) -> Ended {
    let complaints = Complaints::of(child.stderr.take());
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
    let stderr = without_notices(&complaints.last().await);
    Ended { ok, name, status, stderr }
}
