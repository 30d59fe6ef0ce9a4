//! What an engine sends, kept in a file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio_util::bytes::Bytes;

use super::engine::EngineError;
use crate::component::Check;
use crate::whole_file::{WholeFile, directory_of};

/// How long an engine may send nothing.
const STALLED: Duration = Duration::from_secs(600);

/// What is written at a time.
const CHUNK: usize = 1024 * 1024;

/// Reports that `path`, which `option` says is to be written, is a directory.
pub fn check_file(option: &str, path: &Path, check: &mut Check<'_>) {
    if path.is_dir() {
        check.error(option, format!("{} is a directory", path.display())).help =
            Some("name a file, e.g. `image.tar`".to_owned());
    }
}

/// Writes all of `from` to the file `to`: it appears when it is whole, or not at all.
pub async fn write_file(
    from: impl Stream<Item = Result<Bytes, EngineError>>,
    to: &Path,
) -> anyhow::Result<()> {
    let write = || format!("cannot write {}", to.display());
    let parent = directory_of(to);
    tokio::fs::create_dir_all(parent)
        .await
        .with_context(|| format!("cannot make the directory {}", parent.display()))?;
    let unfinished = WholeFile::create(to, 0o666).with_context(write)?;
    let file = unfinished.file().try_clone().with_context(write)?;
    let file = tokio::fs::File::from_std(file);
    let mut file = BufWriter::with_capacity(CHUNK, file);
    let mut from = std::pin::pin!(from);
    loop {
        match tokio::time::timeout(STALLED, from.next()).await {
            Err(_) => bail!("the engine has sent nothing for {STALLED:?}"),
            Ok(None) => break,
            Ok(Some(chunk)) => file.write_all(&chunk?).await.with_context(write)?,
        }
    }
    file.flush().await.with_context(write)?;
    unfinished.appear().with_context(write)?;
    Ok(())
}
