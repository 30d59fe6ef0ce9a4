//! Files to the machine and back, through the input and the output of PowerShell.
//!
//! The usual way appends some kilobytes of base64 by an `echo` each. Here one command takes
//! everything from its input, in envelopes as large as the service allows, and tells the digest of
//! what it wrote. Base64 keeps code pages from changing it; it is compressed before.

use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use async_trait::async_trait;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::shell::Input;
use super::{WinRm, encoded};
use crate::communicator::local::{self, Tree};
use crate::communicator::progress::Counter;
use crate::component::{Exit, Upload};
use crate::event::{Stream, Ui};
use crate::fault::{Fault, Kind};
use crate::guest::shell::{Cmd, Shell as _};
use crate::guest::{self, Capture, GuestOutput, archive};
use crate::peer;
use crate::retry::Permanent;

/// Writes its input to `$path`, and prints the digest of the file.
const RECEIVE: &str = include_str!("receive.ps1");
/// Prints the file `$path`, and its digest to the other stream.
const SEND: &str = include_str!("send.ps1");
/// Unpacks `$archive` to `$to`, or to `$name` in it if it is there, and removes it.
const UNPACK: &str = include_str!("unpack.ps1");

/// Packs what is in `$from`, or what matches it, into `$archive`.
const PACK: &str = include_str!("pack.ps1");

/// The status of a script that was to write to, or read, a directory.
const IS_DIRECTORY: u32 = 64;
/// How much is read at a time.
const CHUNK: usize = 128 * 1024;
/// How many chunks wait for the network.
const AHEAD: usize = 16;
/// What a machine may say of a transfer.
const LONGEST_WORDS: usize = 64 * 1024;

/// Uploads to the file `to`.
pub(super) async fn upload(
    winrm: &WinRm,
    from: Upload<'_>,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let (reader, what, size): (Box<dyn Read + Send>, String, u64) = match from {
        Upload::Text { content, .. } => {
            let content = content.to_vec();
            let size = content.len() as u64;
            (Box::new(io::Cursor::new(content)), "text".to_owned(), size)
        }
        Upload::File(path) => {
            let file = local::open(path).await?.into_std().await;
            let size = file.metadata()?.len();
            (Box::new(file), path.display().to_string(), size)
        }
    };
    let counter = Counter::new(ui, what, Some(size));
    upload_all(winrm, reader, to, counter).await
}

/// Uploads what `reader` holds to the file `to`.
async fn upload_all(
    winrm: &WinRm,
    reader: impl Read + Send + 'static,
    to: &str,
    counter: Counter,
) -> anyhow::Result<()> {
    let (chunks, mut input) = mpsc::channel(AHEAD);
    let packing = tokio::task::spawn_blocking(move || pack(reader, &chunks, &counter));
    let input: Input<'_> = Box::pin(futures::stream::poll_fn(move |cx| input.poll_recv(cx)));
    let mut said = Capture::keeping(LONGEST_WORDS);
    let line = encoded(&[("path", to)], RECEIVE);
    let exit = winrm.run_line(&line, Some(input), &mut said).await?;
    success(&said, exit)?;
    // Whoever reads no more ends the packing.
    let digest = packing.await??;
    let written = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    ensure!(
        written == digest,
        "the file on the machine has the digest {written:?}, not {digest}: it was changed on its way"
    );
    Ok(())
}

/// Sends all of `reader` as base64 of its compressed bytes, and gives the digest of it.
fn pack(
    mut reader: impl Read,
    chunks: &mpsc::Sender<anyhow::Result<Bytes>>,
    counter: &Counter,
) -> anyhow::Result<String> {
    let text = EncoderWriter::new(Pipe(chunks), &BASE64);
    let mut packed = GzEncoder::new(text, Compression::fast());
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            count => {
                digest.update(&buffer[..count]);
                packed.write_all(&buffer[..count])?;
                counter.add(count);
            }
        }
    }
    packed.finish()?.finish()?;
    Ok(hex::encode(digest.finalize()))
}

/// Where a thread writes what a task reads.
struct Pipe<'a>(&'a mpsc::Sender<anyhow::Result<Bytes>>);

impl io::Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the machine reads no more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error unless one of our scripts, which has `said` that, succeeded.
fn success(said: &Capture, exit: Exit) -> anyhow::Result<()> {
    let said = guest::harmless(&said.stderr);
    match exit {
        Exit::Status(0) => Ok(()),
        Exit::Status(IS_DIRECTORY) => bail!(Permanent(format!("the machine says: {said}"))),
        Exit::Status(status) => bail!("the machine says, with status {status}: {said}"),
        Exit::Disconnected => {
            Err(Fault::passing(Kind::Guest).mark(anyhow!("the connection was lost")))
        }
    }
}

/// Uploads a directory: what is in it if `from` ends in a slash, else itself.
pub(super) async fn upload_dir(winrm: &WinRm, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let tree = Tree::read(from).await?;
    let name = tree.own_name().unwrap_or_default();
    let counter = Counter::new(ui, tree.what(), Some(tree.size()));
    let archive = tokio::task::spawn_blocking(move || pack_tree(&tree)).await??;
    let remote = temporary_archive();
    upload_all(winrm, archive, &remote, counter).await?;
    let values = [("archive", remote.as_str()), ("to", to), ("name", &name)];
    let mut said = Capture::keeping(LONGEST_WORDS);
    let exit = winrm.run_line(&encoded(&values, UNPACK), None, &mut said).await?;
    success(&said, exit)
}

/// All of `tree` in one archive. It is packed once more on its way, and so it is not here.
fn pack_tree(tree: &Tree) -> anyhow::Result<std::fs::File> {
    let mut archive = zip::ZipWriter::new(tempfile::tempfile()?);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true);
    for directory in &tree.directories {
        archive.add_directory(name(&directory.name)?, options)?;
    }
    for entry in &tree.files {
        let read = || format!("cannot read {}", entry.path.display());
        let mut file = peer::open_regular(&entry.path).with_context(read)?;
        archive.start_file(name(&entry.name)?, options)?;
        io::copy(&mut file, &mut archive).with_context(read)?;
    }
    let mut file = archive.finish()?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// A path as Windows can have it.
fn name(path: &Path) -> anyhow::Result<&str> {
    let text = path.to_str().with_context(|| format!("{} is no text", path.display()))?;
    let is_bad = |c: char| matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*');
    ensure!(!text.contains(is_bad), "Windows cannot have a file of the name {text}");
    Ok(text)
}

/// Downloads the file `from`.
pub(super) async fn download(winrm: &WinRm, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let file = std::fs::File::create(to);
    let file = file.with_context(|| format!("cannot write {}", to.display()))?;
    let counter = Counter::new(ui, from, None);
    let mut taking = Taking {
        file,
        counter,
        digest: Sha256::new(),
        rest: Vec::new(),
        error: None,
        said: Capture::keeping(LONGEST_WORDS),
    };
    let exit = winrm.run_line(&encoded(&[("path", from)], SEND), None, &mut taking).await?;
    success(&taking.said, exit)?;
    taking.finish().with_context(|| format!("cannot write {}", to.display()))
}

/// Downloads what is in the directory `from`, or what matches it if it is a pattern, into `to`.
pub(super) async fn download_dir(
    winrm: &WinRm,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let remote = temporary_archive();
    let fetched = fetch(winrm, from, &remote, ui).await;
    let removal = Cmd.remove_files(&[&remote]);
    let removed = winrm.run_line(&removal, None, &mut Capture::default()).await;
    let fetched = fetched?;
    removed.context("cannot remove the archive from the machine")?;
    let to = to.to_owned();
    tokio::task::spawn_blocking(move || archive::unpack_zip(fetched.as_file(), &to)).await?
}

/// What is in `from`, as an archive that was packed on the machine.
async fn fetch(
    winrm: &WinRm,
    from: &str,
    remote: &str,
    ui: &Ui,
) -> anyhow::Result<tempfile::NamedTempFile> {
    let mut said = Capture::default();
    let line = encoded(&[("from", from), ("archive", remote)], PACK);
    let exit = winrm.run_line(&line, None, &mut said).await?;
    success(&said, exit)?;
    let archive = tempfile::NamedTempFile::new()?;
    download(winrm, remote, archive.path(), ui).await?;
    Ok(archive)
}

/// Where an archive is for a while.
fn temporary_archive() -> String {
    format!("%TEMP%\\imgbake-{}.zip", uuid::Uuid::new_v4())
}

/// Writes what comes as base64 to a file.
struct Taking {
    file: std::fs::File,
    counter: Counter,
    digest: Sha256,
    /// The start of four characters whose rest has not come yet.
    rest: Vec<u8>,
    error: Option<anyhow::Error>,
    said: Capture,
}

impl Taking {
    fn take(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.rest.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let whole = self.rest.len() / 4 * 4;
        let bytes = base64::Engine::decode(&BASE64, &self.rest[..whole]);
        let bytes = bytes.context("what came is no base64")?;
        self.rest.drain(..whole);
        self.digest.update(&bytes);
        self.counter.add(bytes.len());
        Ok(self.file.write_all(&bytes)?)
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        ensure!(self.rest.is_empty(), "the end of the file did not come");
        let digest = hex::encode(self.digest.finalize());
        let sent = String::from_utf8_lossy(&self.said.stderr).trim().to_owned();
        ensure!(sent == digest, "what came has the digest {digest}, not {sent:?}");
        Ok(())
    }
}

#[async_trait]
impl GuestOutput for Taking {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stderr => self.said.chunk(stream, bytes).await,
            Stream::Stdout if self.error.is_none() => self.error = self.take(bytes).err(),
            Stream::Stdout => {}
        }
    }
}
