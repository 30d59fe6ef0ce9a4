//! A connection to a machine, and what goes through it. A connector of the room `communicator` opens it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::component::access::{Access, ContainerAccess, Entrance, WindowsAccess};
use crate::event::Ui;
use crate::guest::shell::{Posix, Shell};
use crate::guest::{Capture, GuestOutput, ShowLines};
use crate::peer::Allowance;

/// How a command on a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(u32),
    /// The connection was lost before it said how it ended.
    Disconnected,
}

/// The status that templates know a lost connection by (`valid_exit_codes`).
pub const DISCONNECTED_STATUS: u32 = 2_300_218;

impl Exit {
    /// The status, a lost connection as [`DISCONNECTED_STATUS`].
    pub fn status(self) -> u32 {
        match self {
            Self::Status(status) => status,
            Self::Disconnected => DISCONNECTED_STATUS,
        }
    }
}

/// Bytes that come while they are passed on; nobody knows how many.
pub type Input<'a> = &'a mut (dyn AsyncRead + Send + Unpin);

/// What is uploaded to one file.
#[derive(Clone, Copy, Debug)]
pub enum Upload<'a> {
    /// A local file, with its permissions.
    File(&'a Path),
    /// A text made here.
    Text {
        /// The bytes.
        content: &'a [u8],
        /// Permissions on the machine.
        mode: u32,
    },
}

/// A command for a machine, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// We did, for the machine's [`shell`](Communicator::shell). Where that is POSIX, `sh` runs it,
    /// whatever shell the user logs in to.
    Ours(&'a str),
    /// The template's author did, for the user's login shell. That runs it if it is a POSIX shell;
    /// else `sh` does: what fish cannot read it leaves out, and says that all is well.
    Template(&'a str),
}

impl<'a> Command<'a> {
    /// What is to be run.
    pub fn text(self) -> &'a str {
        match self {
            Self::Ours(text) | Self::Template(text) => text,
        }
    }
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Command<'a> {
    fn from(text: &'a T) -> Self {
        Self::Ours(text.as_ref())
    }
}

/// What a machine may answer to one of our own commands, none of which has much to do.
const ANSWER: Allowance =
    Allowance::new("the machine's answer", 1024 * 1024, Duration::from_secs(120));

/// What is known of a stream before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// The permissions of the file that it becomes.
    pub mode: u32,
    /// How much it is, where its sender has said that.
    pub size: Option<u64>,
}

/// A connection to a machine.
#[async_trait]
pub trait Communicator: Send + Sync {
    /// The shell that the machine has for us: the language of [`Command::Ours`].
    fn shell(&self) -> &dyn Shell {
        &Posix
    }
    /// Runs `command`; what it prints goes to `output` as it comes.
    async fn run(&self, command: Command<'_>, output: &mut dyn GuestOutput)
    -> anyhow::Result<Exit>;
    /// The same for a command that reads `input`. A connection that has no way for that runs it, too,
    /// and fails only once something comes.
    async fn run_fed(
        &self,
        command: Command<'_>,
        input: Input<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        tokio::select! {
            exit = self.run(command, output) => exit,
            () = comes(input) => anyhow::bail!("this connection gives no input to a command"),
        }
    }
    /// Uploads to the file `to`. An error of this and of what follows says why; what was to go where, the
    /// caller says.
    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()>;
    /// Uploads all that `from` gives to the file `to`. A connection that must know before how much that
    /// is has it in a file first.
    async fn upload_stream(
        &self,
        from: Input<'_>,
        about: Incoming,
        to: &str,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let file = kept(from, about.mode).await?;
        self.upload(Upload::File(file.path()), to, ui).await
    }
    /// Uploads a directory: its contents into `to` if `from` ends in a slash, or if `to` is not there
    /// yet and so becomes that directory; else itself into `to`.
    async fn upload_dir(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()>;
    /// Downloads the file `from`.
    async fn download(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()>;
    /// Downloads the contents of the directory `from` into `to`; or what matches `from`, if it is a
    /// pattern with `*`, `?` or `[`.
    async fn download_dir(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()>;
    /// How another program of this machine gets to the other one, `by` its own connection or by ours;
    /// `None` if it cannot.
    async fn access(&self, _by: Entrance<'_>) -> anyhow::Result<Option<Access>> {
        Ok(None)
    }
    /// How another program of this machine gets to the other one by WinRM; `None` if it cannot.
    async fn windows_access(&self) -> anyhow::Result<Option<WindowsAccess>> {
        Ok(None)
    }
    /// How another program of this machine gets to the other one, which is a container; `None` if it is
    /// none, or cannot be reached so.
    fn container_access(&self) -> Option<ContainerAccess> {
        None
    }
    /// Ends the connection; all later calls fail.
    async fn close(&self);
}

/// Waits until something of `input` comes; for ever if nothing does.
async fn comes(input: Input<'_>) {
    match input.read(&mut [0; 1]).await {
        Ok(read) if read > 0 => {}
        _ => std::future::pending().await,
    }
}

/// All of `input` in a file with the permissions `mode`.
async fn kept(input: Input<'_>, mode: u32) -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    let mut input = BufReader::with_capacity(256 * 1024, input);
    let mut to = tokio::fs::File::from_std(file.as_file().try_clone()?);
    tokio::io::copy_buf(&mut input, &mut to).await?;
    to.flush().await?;
    // We must be able to read it, whoever else may.
    to.set_permissions(Permissions::from_mode(mode | 0o400)).await?;
    Ok(file)
}

impl dyn Communicator + '_ {
    /// Runs `command` and shows what it prints.
    pub async fn run_shown<'a>(
        &self,
        command: impl Into<Command<'a>>,
        ui: &Ui,
    ) -> anyhow::Result<Exit> {
        let mut lines = ShowLines::new(ui.clone());
        let exit = self.run(command.into(), &mut lines).await;
        lines.finish().await;
        exit
    }

    /// Runs `command` and keeps what it prints: an answer for us, so it is neither long nor late.
    pub async fn run_captured<'a>(
        &self,
        command: impl Into<Command<'a>>,
    ) -> anyhow::Result<(Exit, Capture)> {
        let mut capture = Capture::default();
        let exit = ANSWER.in_time(self.run(command.into(), &mut capture)).await??;
        ANSWER.check(capture.printed())?;
        Ok((exit, capture))
    }
}
