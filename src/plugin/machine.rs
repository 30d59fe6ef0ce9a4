//! The machine of a plugin's builder: its communicator, as ours.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use futures::StreamExt as _;
use rmpv::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::gob;
use super::login::{Login, WinRmFlags};
use super::mux::{Accept, Channel};
use super::pack::object;
use super::process::Process;
use super::rpc::Client;
use crate::communicator::lend;
use crate::component::{
    Access, Command, Communicator, DISCONNECTED_STATUS, Entrance, Exit, Incoming, Input, Upload,
    WindowsAccess,
};
use crate::event::{Stream, Ui};
use crate::guest::shell::{Cmd, LoginShell, Posix, Shell};
use crate::guest::{Capture, GuestOutput};
use crate::interpolate::BuildData;
use crate::peer::open_regular;

/// How much is read at a time.
const CHUNK: usize = 256 * 1024;

/// How long a plugin may take to start a command, and to say how it ended once its output is over.
const START: Duration = Duration::from_secs(120);

/// How long it may take to move a file or a directory: nobody knows how much that is, nor how slow the
/// machine's connection.
const TRANSFER: Duration = Duration::from_secs(6 * 60 * 60);

/// How long a machine may take to say which shell it has, and how often it is asked: the first command on
/// a busy Windows takes its time.
const ASK: Duration = Duration::from_secs(30);
const TRIES: usize = 3;

/// What reads the commands that a plugin takes to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `cmd` of Windows, by WinRM.
    WinRm,
    /// This shell.
    Shell(LoginShell),
}

impl Kind {
    /// `command` as the machine takes it.
    fn line(self, command: Command<'_>) -> Cow<'_, str> {
        match (self, command) {
            (
                Self::Shell(shell @ (LoginShell::Cmd | LoginShell::PowerShell)),
                Command::Ours(text),
            ) => shell.line_for_cmd(text).into(),
            _ => command.text().into(),
        }
    }

    fn shell(self) -> &'static dyn Shell {
        match self {
            Self::Shell(LoginShell::Posix) => &Posix,
            Self::WinRm | Self::Shell(_) => &Cmd,
        }
    }
}

/// The machine that a builder's process is connected to.
#[derive(Clone, Debug)]
pub struct Machine {
    process: Arc<Process>,
    client: Arc<Client>,
    kind: Kind,
    login: Login,
}

impl Machine {
    /// The one that the builder in `process` serves as `id`, of which it says `data`, and its template
    /// `winrm`.
    pub async fn connect(
        process: Arc<Process>,
        id: u32,
        data: &BuildData,
        winrm: WinRmFlags,
    ) -> anyhow::Result<Self> {
        let channel = process.session.dial(id).await.context("the machine cannot be reached")?;
        let is_by = |name: &str| data.get("ConnType").is_some_and(|kind| kind == name);
        let kind = match is_by("winrm") {
            // Only Windows is spoken with in that way.
            true => Kind::WinRm,
            false => Kind::Shell(LoginShell::Posix),
        };
        let login = Login::of(data, winrm);
        let mut machine = Self { process, client: Arc::new(Client::new(channel)), kind, login };
        if is_by("ssh") {
            machine.kind = Kind::Shell(machine.login_shell().await);
        }
        Ok(machine)
    }

    /// The shell that whoever logs in by SSH gets: the machine may be one of Windows. One that does not say
    /// it is none.
    async fn login_shell(&self) -> LoginShell {
        for _ in 0..TRIES {
            let mut said = Capture::default();
            let asked = self.run_command(Command::Template(LoginShell::QUESTION), None, &mut said);
            match tokio::time::timeout(ASK, asked).await {
                Ok(Ok(Exit::Status(_))) => {
                    let shell = LoginShell::of(&String::from_utf8_lossy(&said.stdout));
                    return shell.unwrap_or(LoginShell::Posix);
                }
                Ok(Ok(Exit::Disconnected)) => tracing::info!("the machine has not said its shell"),
                Ok(Err(error)) => tracing::info!("the machine's shell is not known: {error:#}"),
                Err(_) => tracing::info!("the machine does not say which shell it has"),
            }
            if !self.process.is_alive() {
                break;
            }
        }
        LoginShell::Posix
    }

    async fn call(&self, method: &str, argument: Value, limit: Duration) -> anyhow::Result<Value> {
        let method = format!("Communicator.{method}");
        let answer = self.client.call(&method, argument, limit).await;
        self.process.explained(&method, answer).await.map_err(|error| {
            match self.process.is_alive() {
                true => error,
                false => error.context(
                    "it may have no machine to talk to (its builder without a communicator)",
                ),
            }
        })
    }

    /// Starts `command`; `stdin` is 0 for one that reads nothing.
    async fn start(
        &self,
        command: &str,
        stdin: u32,
        [stdout, stderr, end]: [u32; 3],
    ) -> anyhow::Result<()> {
        let argument = object([
            ("Command", command.into()),
            ("StdinStreamId", stdin.into()),
            ("StdoutStreamId", stdout.into()),
            ("StderrStreamId", stderr.into()),
            ("ResponseStreamId", end.into()),
        ]);
        self.call("Start", argument, START).await.map(drop)
    }

    /// Runs `command`, which reads `input` if it is given any.
    async fn run_command(
        &self,
        command: Command<'_>,
        input: Option<Input<'_>>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        let session = &self.process.session;
        let streams = [session.accept(), session.accept(), session.accept()];
        let ids = [streams[0].id, streams[1].id, streams[2].id];
        let fed = input.map(|input| (session.accept(), input));
        let stdin = fed.as_ref().map_or(0, |(stream, _)| stream.id);
        let started = CancellationToken::new();
        let start = async {
            self.start(&self.kind.line(command), stdin, ids).await?;
            started.cancel();
            Ok(())
        };
        let work = async { tokio::try_join!(start, follow(streams, &started, output)) };
        let followed = tokio::select! {
            followed = work => followed,
            Err(error) = give(fed) => Err(error),
        };
        match followed {
            Ok(((), status)) if status == i64::from(DISCONNECTED_STATUS) => Ok(Exit::Disconnected),
            // A signal has no status: -1 stands for it.
            Ok(((), status)) => Ok(Exit::Status(status as u32)),
            Err(_) if !self.process.is_alive() => {
                Err(self.process.death("while a command ran").await)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the plugin read from a stream that `write` fills.
    async fn upload_from(
        &self,
        argument: impl FnOnce(u32) -> Value,
        write: impl AsyncFnOnce(&mut Channel) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let stream = self.process.session.accept();
        let call = self.call("Upload", argument(stream.id), TRANSFER);
        let feed = async {
            let mut channel = stream.channel().await?;
            let written = write(&mut channel).await;
            channel.shutdown().await?;
            written
        };
        // A plugin that fails does not read on; one that has answered reads no more.
        let mut call = std::pin::pin!(call);
        tokio::select! {
            answer = &mut call => answer.map(drop),
            fed = feed => {
                let answer = call.await;
                fed.and(answer.map(drop))
            }
        }
    }

    async fn transfer_dir(&self, method: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let argument = object([("Dst", to.into()), ("Src", from.into()), ("Exclude", Value::Nil)]);
        self.call(method, argument, TRANSFER).await.map(drop)
    }
}

/// Gives a command what it reads. One that does not read on is no error: how it ends says why.
async fn give(input: Option<(Accept, Input<'_>)>) -> anyhow::Result<()> {
    let Some((stream, input)) = input else { return Ok(()) };
    let mut to = stream.channel().await?;
    let mut input = ReaderStream::with_capacity(input, CHUNK);
    while let Some(chunk) = input.next().await {
        let chunk = chunk.context("the command's input cannot be read")?;
        // A command may be waiting for what is there.
        if to.write_all(&chunk).await.is_err() || to.flush().await.is_err() {
            return Ok(());
        }
    }
    // The same.
    let _ = to.shutdown().await;
    Ok(())
}

/// Passes on both outputs of a command, then says how it ended.
async fn follow(
    [stdout, stderr, end]: [Accept; 3],
    started: &CancellationToken,
    output: &mut dyn GuestOutput,
) -> anyhow::Result<i64> {
    let mut stdout = stdout.channel_of(started).await.context("the command's output")?;
    let mut stderr = stderr.channel_of(started).await.context("the command's errors")?;
    let (mut from_stdout, mut from_stderr) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut stdout_open, mut stderr_open) = (true, true);
    while stdout_open || stderr_open {
        tokio::select! {
            read = stdout.read(&mut from_stdout), if stdout_open => match read? {
                0 => stdout_open = false,
                read => output.chunk(Stream::Stdout, &from_stdout[..read]).await,
            },
            read = stderr.read(&mut from_stderr), if stderr_open => match read? {
                0 => stderr_open = false,
                read => output.chunk(Stream::Stderr, &from_stderr[..read]).await,
            },
        }
    }
    let mut said = Vec::new();
    let mut end = tokio::time::timeout(START, end.channel()).await??;
    tokio::time::timeout(START, async {
        // The stream may stay open behind the status: it is read until there is one.
        loop {
            let mut more = [0; 512];
            let read = end.read(&mut more).await?;
            said.extend_from_slice(&more[..read]);
            match gob::read_exit_status(&said) {
                Ok(status) => return Ok(status),
                Err(error) if read == 0 || said.len() > CHUNK => return Err(anyhow!(error)),
                Err(_) => {}
            }
        }
    })
    .await
    .context("the plugin did not say how the command ended")?
}

#[async_trait]
impl Communicator for Machine {
    fn shell(&self) -> &dyn Shell {
        self.kind.shell()
    }

    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        self.run_command(command, None, output).await
    }

    async fn run_fed(
        &self,
        command: Command<'_>,
        input: Input<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        self.run_command(command, Some(input), output).await
    }

    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
        match from {
            Upload::Text { content, mode } => {
                let size = content.len() as u64;
                let about = Incoming { mode, size: Some(size) };
                let argument = |id| upload(to, id, about);
                self.upload_from(argument, async |to| Ok(to.write_all(content).await?)).await
            }
            Upload::File(path) => {
                let file = open_regular(path).with_context(|| path.display().to_string())?;
                let metadata = file.metadata()?;
                let (size, mode) = (Some(metadata.len()), metadata.permissions().mode());
                let mut file = tokio::fs::File::from_std(file);
                self.upload_stream(&mut file, Incoming { mode, size }, to, ui).await
            }
        }
    }

    async fn upload_stream(
        &self,
        from: Input<'_>,
        about: Incoming,
        to: &str,
        _ui: &Ui,
    ) -> anyhow::Result<()> {
        let copy = async move |to: &mut Channel| {
            tokio::io::copy_buf(&mut BufReader::with_capacity(CHUNK, from), to).await?;
            Ok(())
        };
        self.upload_from(|id| upload(to, id, about), copy).await
    }

    async fn upload_dir(&self, from: &str, to: &str, _ui: &Ui) -> anyhow::Result<()> {
        self.transfer_dir("UploadDir", from, to).await
    }

    async fn download(&self, from: &str, to: &Path, _ui: &Ui) -> anyhow::Result<()> {
        let stream = self.process.session.accept();
        let argument = object([("Path", from.into()), ("WriterStreamId", stream.id.into())]);
        let answered = CancellationToken::new();
        let call = async {
            self.call("Download", argument, TRANSFER).await?;
            answered.cancel();
            anyhow::Ok(())
        };
        let take = async {
            let channel = stream.channel_of(&answered).await.context("the file's content")?;
            let mut file = tokio::fs::File::create(to).await?;
            tokio::io::copy_buf(&mut BufReader::with_capacity(CHUNK, channel), &mut file).await?;
            file.flush().await?;
            anyhow::Ok(())
        };
        // Both must end: the answer may come before the last bytes.
        tokio::try_join!(call, take).map(drop)
    }

    async fn download_dir(&self, from: &str, to: &Path, _ui: &Ui) -> anyhow::Result<()> {
        fs::create_dir_all(to)?;
        let Some(to) = to.to_str() else { bail!("{} is no text", to.display()) };
        self.transfer_dir("DownloadDir", from, to).await
    }

    /// The plugin's connection is the only one that we know to work: it may have logged in with a
    /// password, or through hosts that it alone knows. Whoever wants to do without it gets what the
    /// builder tells.
    async fn access(&self, by: Entrance<'_>) -> anyhow::Result<Option<Access>> {
        Ok(match by {
            _ if self.kind == Kind::WinRm => None,
            Entrance::OwnLogin => None,
            Entrance::Unaided => self.login.ssh(),
            Entrance::OurConnection(sharing) => {
                Some(lend(Arc::new(self.clone()), self.login.user(), sharing).await?)
            }
        })
    }

    async fn windows_access(&self) -> anyhow::Result<Option<WindowsAccess>> {
        Ok(self.login.windows().filter(|_| self.kind == Kind::WinRm))
    }

    /// The builder closes it when it is done.
    async fn close(&self) {}
}

fn upload(path: &str, id: u32, about: Incoming) -> Value {
    let name = path.rsplit('/').next().unwrap_or(path);
    let info = |size: u64| {
        object([
            ("N", name.into()),
            ("S", size.into()),
            ("M", (about.mode & 0o777).into()),
            ("T", Value::Nil),
        ])
    };
    // A plugin that is told a size counts on it.
    let info = about.size.map_or(Value::Nil, info);
    object([("Path", path.into()), ("ReaderStreamId", id.into()), ("FileInfo", info)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_windows_has_what_we_say_as_we_say_it_whatever_its_shell_is() {
        let (ours, theirs) = (Command::Ours("echo $a"), Command::Template("echo $a"));
        let line = |kind: Kind, command| kind.line(command).into_owned();
        assert_eq!(line(Kind::WinRm, ours), "echo $a");
        assert_eq!(line(Kind::Shell(LoginShell::Posix), ours), "echo $a");
        assert_eq!(line(Kind::Shell(LoginShell::Cmd), ours), "cmd /d /c \"echo $a\"");
        let through = line(Kind::Shell(LoginShell::PowerShell), ours);
        let through = through.strip_suffix("; exit $LASTEXITCODE").unwrap();
        assert!(through.contains("-EncodedCommand") && !through.contains('$'), "{through}");
        assert_eq!(line(Kind::Shell(LoginShell::PowerShell), theirs), "echo $a");
        assert!(Kind::Shell(LoginShell::Posix).shell().is_posix());
        assert!(!Kind::Shell(LoginShell::PowerShell).shell().is_posix());
    }
}
