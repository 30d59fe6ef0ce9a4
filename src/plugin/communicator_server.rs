//! Our machine, lent to a plugin's provisioner: our communicator, as theirs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use rmpv::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::io::{AsyncWriteExt as _, BufReader};
use walkdir::WalkDir;

use super::gob;
use super::mux::{Channel, Session};
use super::pack::{self, field, id_in, text_in};
use super::rpc::{Service, no_such_method};
use super::voice::Voice;
use crate::component::{Command, Communicator, Incoming, Upload};
use crate::event::{Stream, Ui};
use crate::guest::GuestOutput;
use crate::peer::open_regular;

/// How much is read at a time.
const CHUNK: usize = 256 * 1024;

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

    async fn upload(&self, argument: &Value) -> anyhow::Result<()> {
        let info = field(argument, "FileInfo");
        let number = |name| info.and_then(|info| field(info, name)).and_then(Value::as_u64);
        let mode = number("M").map_or(0o644, |mode| mode as u32 & 0o777);
        let about = Incoming { mode, size: number("S") };
        let path = text_in(argument, "Path");
        let uploaded = match self.dial(argument, "ReaderStreamId").await? {
            Some(mut from) => {
                self.communicator.upload_stream(&mut from, about, &path, &self.ui).await
            }
            None => {
                let nothing = Upload::Text { content: &[], mode };
                self.communicator.upload(nothing, &path, &self.ui).await
            }
        };
        uploaded.with_context(|| format!("cannot upload to {path}"))
    }

    async fn download(&self, argument: &Value) -> anyhow::Result<()> {
        let to = self.dial(argument, "WriterStreamId").await?;
        let (file, path) = (NamedTempFile::new()?, text_in(argument, "Path"));
        let downloaded = self.communicator.download(&path, file.path(), &self.ui).await;
        downloaded.with_context(|| format!("cannot download {path}"))?;
        if let Some(mut to) = to {
            let from = tokio::fs::File::from_std(open_regular(file.path())?);
            tokio::io::copy_buf(&mut BufReader::with_capacity(CHUNK, from), &mut to).await?;
            to.shutdown().await?;
        }
        Ok(())
    }

    async fn transfer_dir(&self, method: &str, argument: &Value) -> anyhow::Result<()> {
        let (from, to) = (text_in(argument, "Src"), text_in(argument, "Dst"));
        let excluded = field(argument, "Exclude").map(pack::texts).unwrap_or_default();
        let (verb, done) = match method {
            "UploadDir" => ("upload", self.upload_dir(&from, &to, &excluded).await),
            _ => ("download", self.download_dir(&from, Path::new(&to), &excluded).await),
        };
        done.with_context(|| format!("cannot {verb} the directory {from} to {to}"))
    }

    async fn upload_dir(&self, from: &str, to: &str, excluded: &[String]) -> anyhow::Result<()> {
        if excluded.is_empty() {
            return self.communicator.upload_dir(from, to, &self.ui).await;
        }
        let rest = Rest::of(from, excluded)?;
        self.communicator.upload_dir(&rest.path()?, to, &self.ui).await
    }

    /// Downloads what is in the machine's directory `from`, but for `excluded`. A communicator has only
    /// whole directories: all of it comes, and the rest is moved to its place.
    async fn download_dir(&self, from: &str, to: &Path, excluded: &[String]) -> anyhow::Result<()> {
        if excluded.is_empty() {
            return self.communicator.download_dir(from, to, &self.ui).await;
        }
        fs::create_dir_all(to).with_context(|| to.display().to_string())?;
        let all = tempfile::tempdir_in(to)?;
        self.communicator.download_dir(from, all.path(), &self.ui).await?;
        let walk = WalkDir::new(all.path()).min_depth(1).into_iter();
        for entry in walk.filter_entry(|one| !is_left_out(one.path(), all.path(), from, excluded)) {
            let entry = entry?;
            let target = to.join(entry.path().strip_prefix(all.path())?);
            match entry.file_type().is_dir() {
                true => fs::create_dir_all(&target),
                false => fs::rename(entry.path(), &target),
            }
            .with_context(|| target.display().to_string())?;
        }
        Ok(())
    }
}

/// Whether `path`, a part of `root`, is one of `excluded`: paths below `root`, whole ones, or below
/// `whole`, as which the plugin knows it.
fn is_left_out(path: &Path, root: &Path, whole: &str, excluded: &[String]) -> bool {
    let Ok(below) = path.strip_prefix(root) else { return false };
    let as_known = Path::new(whole).join(below);
    let is_it = |one: &Path| [below, path, &as_known].contains(&one);
    // All of it is never meant.
    !below.as_os_str().is_empty() && excluded.iter().map(Path::new).any(is_it)
}

/// What is uploaded of a directory of which parts are left out: links to all the rest.
struct Rest {
    dir: TempDir,
    /// What is added to its path, as the directory was written: its name, and a slash at its end.
    tail: String,
}

impl Rest {
    /// What is in `from`, but for `excluded`: paths below it.
    fn of(from: &str, excluded: &[String]) -> anyhow::Result<Self> {
        let root = Path::new(from).canonicalize().with_context(|| from.to_owned())?;
        let name = root.file_name().context("the whole machine is no directory to upload")?;
        let dir = tempfile::tempdir()?;
        let target = dir.path().join(name);
        let walk = WalkDir::new(&root).follow_links(true).into_iter();
        for entry in walk.filter_entry(|one| !is_left_out(one.path(), &root, from, excluded)) {
            let entry = entry?;
            let to = target.join(entry.path().strip_prefix(&root)?);
            match entry.file_type().is_dir() {
                true => fs::create_dir(&to)?,
                false => symlink(entry.path(), &to)?,
            }
        }
        let slash = if from.ends_with('/') { "/" } else { "" };
        let tail = format!("/{}{slash}", name.to_str().context("its name is no text")?);
        Ok(Self { dir, tail })
    }

    fn path(&self) -> anyhow::Result<String> {
        let dir = self.dir.path().to_str().context("the temporary directory is no text")?;
        Ok(format!("{dir}{}", self.tail))
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
    let command = Command::Template(&command);
    let exit = match stdin {
        Some(mut stdin) => communicator.run_fed(command, &mut stdin, &mut streams).await,
        None => communicator.run(command, &mut streams).await,
    };
    let status = match exit {
        // A lost connection has a number of its own.
        Ok(exit) => i64::from(exit.status()),
        Err(error) => {
            let why = format!("{}\n", said(error));
            streams.chunk(Stream::Stderr, why.as_bytes()).await;
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
