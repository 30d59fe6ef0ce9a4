//! Files to the machine and back, through the input and the output of PowerShell.
//!
//! The usual way appends some kilobytes of base64 by an `echo` each. Here one command takes
//! everything from its input, in envelopes as large as the service allows, and tells the digest of
//! what it wrote. Base64 keeps code pages from changing it; it is compressed before.

use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::packed::{LONGEST_WORDS, arrived, give, success};
use super::soap::SoapFault;
use super::{WinRm, encoded, parts};
use crate::communicator::local::{self, Tree};
use crate::communicator::progress::Counter;
use crate::component::Upload;
use crate::event::{Stream, Ui};
use crate::guest::{Capture, GuestOutput, archive};
use crate::peer;

/// Writes its input to the file `$to`; if `$unpacks`, unpacks it to the directory `$to`, or to `$name` in
/// it if it is there. It prints the digest of what came. Nothing is in its place before all has come, and
/// what has come goes with the command.
const RECEIVE: &str = include_str!("receive.ps1");
/// Prints the file `$from`; if `$packs`, an archive of what is in `$from`, or of what matches it. Its
/// digest goes to the other stream.
const SEND: &str = include_str!("send.ps1");
/// A value of PowerShell that is true.
const YES: &str = "yes";

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
            let (size, what) = (file.metadata()?.len(), path.display().to_string());
            if size >= parts::LARGE {
                match parts::upload(winrm, path, size, to, Counter::new(ui, &what, Some(size)))
                    .await
                {
                    // Its administrator may allow one user fewer shells.
                    Err(error) if error.is::<SoapFault>() => {
                        tracing::info!("the service takes no parts at a time: {error:#}");
                        winrm.settle().await;
                    }
                    uploaded => return uploaded,
                }
            }
            (Box::new(file), what, size)
        }
    };
    let counter = Counter::new(ui, what, Some(size));
    receive(winrm, reader, &[("to", to), ("unpacks", "")], counter).await
}

/// Gives [`RECEIVE`] what `reader` holds.
async fn receive(
    winrm: &WinRm,
    reader: impl Read + Send + 'static,
    values: &[(&str, &str)],
    counter: Counter,
) -> anyhow::Result<()> {
    let line = encoded(values, RECEIVE);
    let (digest, said) = give(winrm.open().await?, &line, reader, counter.into()).await?;
    arrived(&String::from_utf8_lossy(&said.stdout), &digest)
}

/// Uploads a directory: what is in it if `from` ends in a slash, else itself.
pub(super) async fn upload_dir(winrm: &WinRm, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let tree = Tree::read(from).await?;
    let name = tree.own_name().unwrap_or_default();
    let counter = Counter::new(ui, tree.what(), Some(tree.size()));
    let archive = tokio::task::spawn_blocking(move || pack_tree(&tree)).await??;
    let values = [("to", to), ("unpacks", YES), ("name", name.as_str())];
    receive(winrm, archive, &values, counter).await
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
    take(winrm, &[("from", from), ("packs", "")], to, Counter::new(ui, from, None)).await
}

/// Downloads what is in the directory `from`, or what matches it if it is a pattern, into `to`.
pub(super) async fn download_dir(
    winrm: &WinRm,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let packed = tempfile::NamedTempFile::new()?;
    let counter = Counter::new(ui, from, None);
    take(winrm, &[("from", from), ("packs", YES)], packed.path(), counter).await?;
    let to = to.to_owned();
    tokio::task::spawn_blocking(move || archive::unpack_zip(packed.as_file(), &to)).await?
}

/// Takes what [`SEND`] prints into the file `to`.
async fn take(
    winrm: &WinRm,
    values: &[(&str, &str)],
    to: &Path,
    counter: Counter,
) -> anyhow::Result<()> {
    let file = std::fs::File::create(to);
    let file = file.with_context(|| format!("cannot write {}", to.display()))?;
    let mut taking = Taking {
        file,
        counter,
        digest: Sha256::new(),
        rest: Vec::new(),
        error: None,
        said: Capture::keeping(LONGEST_WORDS),
    };
    let exit = winrm.run_line(&encoded(values, SEND), None, &mut taking).await?;
    success(&taking.said, exit)?;
    taking.finish().with_context(|| format!("cannot write {}", to.display()))
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
