//! What an engine sends, kept in a file.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio_util::bytes::Bytes;

use super::engine::EngineError;

/// How long an engine may send nothing.
const STALLED: Duration = Duration::from_secs(600);

/// What is written at a time.
const CHUNK: usize = 1024 * 1024;

/// Writes all of `from` to the file `to`: it appears when it is whole, or not at all.
pub async fn write_file(
    from: impl Stream<Item = Result<Bytes, EngineError>>,
    to: &Path,
) -> anyhow::Result<()> {
    let write = || format!("cannot write {}", to.display());
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    tokio::fs::create_dir_all(parent)
        .await
        .with_context(|| format!("cannot make the directory {}", parent.display()))?;
    let unfinished = tempfile::Builder::new()
        .prefix(".imgbake-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .with_context(write)?;
    let file = tokio::fs::File::from_std(unfinished.reopen().with_context(write)?);
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
    unfinished.persist(to).with_context(write)?;
    Ok(())
}
