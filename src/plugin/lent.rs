//! Our machine, lent to a plugin's provisioner: our communicator, as theirs.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rmpv::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::gob;
use super::mux::{Channel, Session};
use super::pack::{self, field, id_in, text_in};
use super::rpc::{Service, no_such_method};
use super::voice::Voice;
use crate::component::{Command, Communicator, Exit, Upload};
use crate::event::{Stream, Ui};
use crate::guest::GuestOutput;
use crate::peer::open_regular;

/// The status of a command that could not be run to its end.
const FAILED: i64 = 1;

/// Serves our machine and our voice to a plugin's provisioner.
pub struct Lent {
    /// The connection to the plugin.
    pub session: Session,
    /// The machine.
    pub communicator: Arc<dyn Communicator>,
    /// The build's voice.
    pub voice: Voice,
    /// The same, for transfers.
    pub ui: Ui,
}

type Answer = Result<Value, String>;

fn said(error: anyhow::Error) -> String {
    format!("{error:#}")
}

#[async_trait]
impl Service for Lent {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Answer {
        if service != "Communicator" {
            return self.voice.call(service, method, argument).await;
        }
        let done = match method {
            "Start" => self.start(&argument).await,
            "Upload" => self.upload(&argument).await,
            "Download" => self.download(&argument).await,
            "UploadDir" | "DownloadDir" => self.transfer_dir(method, &argument).await,
            _ => return no_such_method(service, method),
        };
        done.map(|()| Value::Nil).map_err(said)
    }
}

impl Lent {
    async fn dial(&self, argument: &Value, name: &str) -> anyhow::Result<Option<Channel>> {
        match id_in(argument, name) {
            0 => Ok(None),
            id => Ok(Some(self.session.dial(id).await?)),
        }
    }

    /// Starts a command; it answers when it runs, and the streams tell the rest.
    async fn start(&self, argument: &Value) -> anyhow::Result<()> {
        let stdin = self.dial(argument, "StdinStreamId").await?;
        let streams = Streams {
            stdout: self.dial(argument, "StdoutStreamId").await?,
            stderr: self.dial(argument, "StderrStreamId").await?,
        };
        let end = self.session.dial(id_in(argument, "ResponseStreamId")).await?;
        let (communicator, command) = (self.communicator.clone(), text_in(argument, "Command"));
        super::runtime::spawn(run(communicator, command, stdin, streams, end));
        Ok(())
    }

    /// What comes is kept first: an upload of ours knows how much it is.
    async fn upload(&self, argument: &Value) -> anyhow::Result<()> {
        let mut file = NamedTempFile::new()?;
        if let Some(mut from) = self.dial(argument, "ReaderStreamId").await? {
            let mut to = tokio::fs::File::from_std(file.as_file().try_clone()?);
            tokio::io::copy(&mut from, &mut to).await?;
            to.flush().await?;
        }
        let mode = field(argument, "FileInfo").and_then(|info| field(info, "M"));
        let mode = mode.and_then(Value::as_u64).map_or(0o644, |mode| mode as u32 & 0o777);
        file.as_file_mut().set_permissions(Permissions::from_mode(mode | 0o400))?;
        let path = text_in(argument, "Path");
        self.communicator.upload(Upload::File(file.path()), &path, &self.ui).await
    }

    async fn download(&self, argument: &Value) -> anyhow::Result<()> {
        let to = self.dial(argument, "WriterStreamId").await?;
        let file = NamedTempFile::new()?;
        self.communicator.download(&text_in(argument, "Path"), file.path(), &self.ui).await?;
        if let Some(mut to) = to {
            let mut from = tokio::fs::File::from_std(open_regular(file.path())?);
            tokio::io::copy(&mut from, &mut to).await?;
            to.shutdown().await?;
        }
        Ok(())
    }

    async fn transfer_dir(&self, method: &str, argument: &Value) -> anyhow::Result<()> {
        let (from, to) = (text_in(argument, "Src"), text_in(argument, "Dst"));
        let excluded = field(argument, "Exclude").map(pack::texts).unwrap_or_default();
        anyhow::ensure!(
            excluded.is_empty(),
            "imgbake cannot leave out {} of a directory that is transferred",
            excluded.join(", ")
        );
        match method {
            "UploadDir" => self.communicator.upload_dir(&from, &to, &self.ui).await,
            _ => self.communicator.download_dir(&from, Path::new(&to), &self.ui).await,
        }
    }
}

/// Where a command's output goes.
struct Streams {
    stdout: Option<Channel>,
    stderr: Option<Channel>,
}

#[async_trait]
impl GuestOutput for Streams {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let to = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        // Whoever does not want it any more has closed the stream.
        if let Some(channel) = to
            && channel.write_all(bytes).await.is_err()
        {
            *to = None;
        }
    }
}

async fn run(
    communicator: Arc<dyn Communicator>,
    command: String,
    stdin: Option<Channel>,
    mut streams: Streams,
    mut end: Channel,
) {
    let unread = async {
        match stdin {
            Some(stdin) => is_fed(stdin).await,
            None => std::future::pending().await,
        }
    };
    let status = tokio::select! {
        exit = communicator.run(Command::Template(&command), &mut streams) => match exit {
            Ok(Exit::Status(status)) => Ok(i64::from(status)),
            Ok(disconnected @ Exit::Disconnected) => Ok(i64::from(disconnected.status())),
            Err(error) => Err(said(error)),
        },
        () = unread => Err("imgbake cannot feed a command of a plugin with input".to_owned()),
    };
    let status = match status {
        Ok(status) => status,
        Err(why) => {
            streams.chunk(Stream::Stderr, format!("{why}\n").as_bytes()).await;
            FAILED
        }
    };
    // A plugin that has stopped listening gets no end.
    for stream in [&mut streams.stdout, &mut streams.stderr].into_iter().flatten() {
        let _ = stream.shutdown().await;
    }
    let _ = end.write_all(&gob::exit_status(status)).await;
    let _ = end.shutdown().await;
}

/// Waits until something comes; for ever if nothing does.
async fn is_fed(mut stdin: Channel) {
    match stdin.read(&mut [0; 1]).await {
        Ok(read) if read > 0 => {}
        _ => std::future::pending().await,
    }
}
