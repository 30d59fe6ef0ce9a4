//! A child process on this machine: shown line by line, and ended with all that it started.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tempfile::TempPath;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::event::{Stream, Ui};
use crate::guest::{GuestOutput as _, ShowLines};
use crate::retry::or_cancelled;

/// Held while a script is written and while a child is started. A child that is started in
/// another thread meanwhile would inherit the script as a file open for writing, and no program
/// that is open for writing can be executed ("text file busy").
static STARTING: Mutex<()> = Mutex::new(());

/// How long an interrupted child may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How long a child that has ended may leave its output open without writing (a server that it
/// left running holds it open for good).
const QUIET: Duration = Duration::from_secs(1);

/// Writes `content` to a temporary script that only we may read and run. It goes when the path is
/// dropped.
pub fn temporary_script(content: &str, extension: &str) -> io::Result<TempPath> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = tempfile::Builder::new()
        .prefix("packer-shell")
        .suffix(extension)
        .permissions(Permissions::from_mode(0o700))
        .tempfile()?;
    file.write_all(content.as_bytes())?;
    Ok(file.into_temp_path())
}

/// Runs `command` in a process group of its own and shows what it prints. On cancel the whole
/// group is asked to end, and killed if it does not.
pub async fn run(
    mut command: Command,
    ui: &Ui,
    cancel: &CancellationToken,
) -> anyhow::Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        command.spawn()?
    };
    let mut group = Group::led_by(&child);
    let mut lines = ShowLines::new(ui.clone());
    let ended = or_cancelled(cancel, show(&mut child, &mut lines)).await;
    if ended.is_err() {
        group.end(&mut child).await;
    }
    group.forget();
    lines.finish().await;
    Ok(ended??)
}

/// Shows what `child` prints until it has ended.
async fn show(child: &mut Child, lines: &mut ShowLines) -> io::Result<ExitStatus> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut from_stdout, mut from_stderr) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut status = None;
    loop {
        if let Some(status) = status
            && stdout.is_none()
            && stderr.is_none()
        {
            return Ok(status);
        }
        tokio::select! {
            read = next(&mut stdout, &mut from_stdout) => {
                lines.chunk(Stream::Stdout, &from_stdout[..read?]).await;
            }
            read = next(&mut stderr, &mut from_stderr) => {
                lines.chunk(Stream::Stderr, &from_stderr[..read?]).await;
            }
            ended = child.wait(), if status.is_none() => status = Some(ended?),
            () = tokio::time::sleep(QUIET), if status.is_some() => (stdout, stderr) = (None, None),
        }
    }
}

/// Reads what comes next; at its end the pipe is closed, and a closed pipe never has anything.
async fn next<P: AsyncRead + Unpin>(pipe: &mut Option<P>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(open) = pipe else { return std::future::pending().await };
    let read = open.read(buffer).await?;
    if read == 0 {
        *pipe = None;
    }
    Ok(read)
}

/// A child and everything that it started. Dropped before its end, it is killed.
struct Group(Option<Pid>);

impl Group {
    fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Asks all to end and waits for them; the leader is reaped.
    async fn end(&mut self, leader: &mut Child) {
        let Some(group) = self.0 else { return };
        // What has ended by itself needs no signal.
        let _ = kill_process_group(group, Signal::TERM);
        let all_ended = async {
            let _ = leader.wait().await;
            // Only the leader is our child: for the others there is nothing to wait on.
            while test_kill_process_group(group).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(GRACE, all_ended).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = leader.wait().await;
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
