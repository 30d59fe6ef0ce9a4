//! A child process on this machine: shown line by line, and ended with all that it started.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tempfile::TempPath;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use crate::event::{Stream, Ui};
use crate::guest::{GuestOutput, ShowLines};
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

/// What a command reads.
#[derive(Debug)]
pub enum Input {
    /// Nothing.
    Nothing,
    /// This.
    Text(Vec<u8>),
    /// A file.
    File(std::fs::File),
}

/// Runs `command` as [`run_into`] and shows what it prints.
pub async fn run(
    command: Command,
    ui: &Ui,
    cancel: &CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let mut lines = ShowLines::new(ui.clone());
    let ended = run_into(command, Input::Nothing, &mut lines, cancel).await;
    lines.finish().await;
    ended
}

/// Runs `command` in a process group of its own; it reads `input`, and what it prints goes to
/// `output`. On cancel the whole group is asked to end, and killed if it does not.
pub async fn run_into(
    mut command: Command,
    input: Input,
    output: &mut dyn GuestOutput,
    cancel: &CancellationToken,
) -> anyhow::Result<ExitStatus> {
    let (stdin, text) = match input {
        Input::Nothing => (Stdio::null(), Vec::new()),
        Input::File(file) => (file.into(), Vec::new()),
        Input::Text(text) => (Stdio::piped(), text),
    };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        command.spawn()?
    };
    let mut group = Group::led_by(&child);
    let feeding = feed(child.stdin.take(), text);
    let work = async { tokio::join!(show(&mut child, output), feeding).0 };
    let ended = or_cancelled(cancel, work).await;
    if ended.is_err() {
        group.end(&mut child).await;
    }
    group.forget();
    Ok(ended??)
}

/// Gives `text` to a child. One that does not read it all says itself whether that is wrong.
async fn feed(stdin: Option<ChildStdin>, text: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(&text).await;
    }
}

/// Shows what `child` prints until it has ended.
async fn show(child: &mut Child, lines: &mut dyn GuestOutput) -> io::Result<ExitStatus> {
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
