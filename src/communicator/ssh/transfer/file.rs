//! One file.

use std::io::SeekFrom;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use futures::future::try_join_all;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

use super::local;
use super::pipe::{self, FileSink};
use super::progress::Counter;
use super::script::{self, command, word};
use super::unfinished::{Unfinished, beside};
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::exec::CHUNK;
use crate::component::{Incoming, Input, Upload};
use crate::event::Ui;
use crate::guest::listing;

/// A file of at least this size goes in several streams at once.
pub(super) const LARGE: u64 = 16 * 1024 * 1024;
/// How many streams that are.
const STREAMS: usize = 6;
/// What the streams' parts are multiples of.
const MEBIBYTE: u64 = 1024 * 1024;

/// Something ran that is no shell: a server for SFTP alone, or a command that is forced on the user.
#[derive(Debug, thiserror::Error)]
#[error("no shell took the file")]
pub(super) struct NoShell {
    /// What it printed.
    pub(super) said: String,
}

/// Whether `from` goes in several streams.
pub(super) async fn is_large(from: Upload<'_>) -> bool {
    match from {
        Upload::Text { .. } => false,
        Upload::File(path) => {
            tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.len() >= LARGE)
        }
    }
}

/// Uploads to the file `to`.
pub(super) async fn upload(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let path = match from {
        Upload::Text { content, mode } => {
            let counter = Counter::new(ui, to, Some(u64::try_from(content.len())?));
            return upload_text(ssh, content, mode, to, &counter).await;
        }
        Upload::File(path) => path,
    };
    let metadata = local::open(path).await?.metadata().await?;
    let mode = metadata.permissions().mode() & 0o7777;
    let size = metadata.len();
    let counter = Counter::new(ui, path.to_string_lossy(), Some(size));
    upload_path(ssh, path, size, mode, to, &counter).await
}

/// Uploads the file at `path`, which has `size` bytes.
pub(super) async fn upload_path(
    ssh: &Ssh,
    path: &Path,
    size: u64,
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    if size >= LARGE {
        return upload_striped(ssh, path, size, mode, to, counter).await;
    }
    let input = ReaderStream::with_capacity(local::open(path).await?, CHUNK);
    write(ssh, Box::pin(input), size, mode, to, counter).await
}

/// Uploads all that `from` gives to the file `to`.
pub(super) async fn upload_stream(
    ssh: &Ssh,
    from: Input<'_>,
    about: Incoming,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let counter = Counter::new(ui, to, about.size);
    let unfinished = Unfinished::file(ssh, to).await?;
    let input = ReaderStream::with_capacity(from, CHUNK);
    let command = command(script::WRITE_ALL, &[&word(&unfinished.at)]);
    let writing = async { pipe::feed(ssh, &command, input, Some(&counter)).await?.success() };
    unfinished.keep_after(writing, Some(about.mode)).await
}

async fn upload_text(
    ssh: &Ssh,
    content: &[u8],
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    let size = content.len() as u64;
    let content = Bytes::copy_from_slice(content);
    write(ssh, futures::stream::iter([Ok(content)]), size, mode, to, counter).await
}

/// Uploads `input`, which has at least `size` bytes.
async fn write<S>(
    ssh: &Ssh,
    input: S,
    size: u64,
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()>
where
    S: futures::Stream<Item = std::io::Result<Bytes>> + Unpin,
{
    let (mode, size) = (format!("{mode:o}"), size.to_string());
    let command = command(script::WRITE, &[&word(to), &word(&beside(to)), &mode, &size]);
    let outcome = pipe::feed(ssh, &command, input, Some(counter)).await?;
    script::refuse_directory(outcome.exit, to)?;
    if outcome.is_foreign() {
        return Err(NoShell { said: outcome.said_with(b"") }.into());
    }
    outcome.success()?;
    // What takes every command without being a shell (a server for SFTP alone) must not be believed.
    anyhow::ensure!(outcome.printed_has(script::WRITTEN), NoShell { said: outcome.said_with(b"") });
    Ok(())
}

/// The parts of a file of `size` bytes: first mebibyte and number of mebibytes of each.
fn parts(size: u64, streams: usize) -> Vec<(u64, u64)> {
    let mebibytes = size.div_ceil(MEBIBYTE);
    let each = mebibytes.div_ceil(u64::try_from(streams).unwrap_or(1)).max(1);
    (0..mebibytes)
        .step_by(usize::try_from(each).unwrap_or(usize::MAX))
        .map(|first| (first, each.min(mebibytes - first)))
        .collect()
}

async fn upload_striped(
    ssh: &Ssh,
    path: &Path,
    size: u64,
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    let unfinished = Unfinished::file(ssh, to).await?;
    let channels = ssh.channels(STREAMS).await?;
    let (at, parts) = (word(&unfinished.at), parts(size, channels.len()));
    let writing = parts.into_iter().zip(channels).map(|((first, count), channel)| {
        let at = at.as_str();
        async move {
            let mut file = local::open(path).await?;
            file.set_max_buf_size(CHUNK);
            file.seek(SeekFrom::Start(first * MEBIBYTE)).await?;
            let input = ReaderStream::with_capacity(file.take(count * MEBIBYTE), CHUNK);
            let command = command(script::WRITE_PART, &[at, &first.to_string()]);
            let fed = pipe::feed_channel(channel, &command, Box::pin(input), Some(counter));
            fed.await?.success()
        }
    });
    let writing = async { try_join_all(writing).await.map(|_| ()) };
    unfinished.keep_after(writing, Some(mode)).await
}

/// Downloads the file `from`.
pub(super) async fn download(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let file = File::create(to).await.with_context(|| format!("cannot write {}", to.display()))?;
    // One that is small, and grows a little while it is read.
    let mut file = FileSink::new(file, 2 * LARGE);
    let source = word(from);
    let read = command(script::READ, &[&source, &LARGE.to_string()]);
    let counter = Counter::new(ui, from, None);
    let outcome = pipe::drain(ssh, &read, &mut file, Some(&counter)).await?;
    script::refuse_directory(outcome.exit, from)?;
    outcome.success()?;
    match listing::size(&outcome.said()) {
        Some(size) if size >= LARGE => {
            drop(counter);
            file.into_file().set_len(size).await?;
            download_striped(ssh, &source, size, to, &Counter::new(ui, from, Some(size))).await
        }
        _ => Ok(()),
    }
}

async fn download_striped(
    ssh: &Ssh,
    source: &str,
    size: u64,
    to: &Path,
    counter: &Counter,
) -> anyhow::Result<()> {
    let channels = ssh.channels(STREAMS).await?;
    let parts = parts(size, channels.len());
    let reading = parts.into_iter().zip(channels).map(|((first, count), channel)| async move {
        let mut file = File::options().write(true).open(to).await?;
        file.seek(SeekFrom::Start(first * MEBIBYTE)).await?;
        let mut file = FileSink::new(file, count * MEBIBYTE);
        let part = [source, &first.to_string(), &count.to_string()];
        let command = command(script::READ_PART, &part);
        let drained = pipe::drain_channel(channel, &command, &mut file, Some(counter));
        drained.await?.success()?;
        let end = file.into_file().stream_position().await?;
        let expected = size.min((first + count) * MEBIBYTE);
        anyhow::ensure!(end == expected, "it changed while it was read");
        Ok(())
    });
    try_join_all(reading).await?;
    Ok(())
}
