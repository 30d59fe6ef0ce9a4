//! Through the server's SFTP subsystem: what `ssh_file_transfer_method = "sftp"` asks for, and what
//! machines without a POSIX shell have.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use russh_sftp::client::SftpSession;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::local::Tree;
use super::pipe::CHUNK;
use super::progress::Counter;
use crate::communicator::ssh::Ssh;
use crate::component::Upload;
use crate::event::Ui;
use crate::retry::Permanent;

/// How long the server may take for one answer, in seconds.
const PATIENCE: u64 = 60;

async fn open(ssh: &Ssh) -> anyhow::Result<SftpSession> {
    let connection = ssh.connection().await?;
    let channel = connection.handle.channel_open_session().await?;
    channel.request_subsystem(true, "sftp").await?;
    let session = SftpSession::new(channel.into_stream()).await.context(
        "the machine has no SFTP subsystem; without it, transfers need a POSIX shell there",
    )?;
    session.set_timeout(PATIENCE);
    Ok(session)
}

/// SFTP starts in the home directory, so that a path below it needs no name for it.
fn path(text: &str) -> &str {
    match text.strip_prefix('~') {
        Some("" | "/") => ".",
        Some(rest) => rest.strip_prefix('/').unwrap_or(text),
        None => text,
    }
}

/// Uploads to the file `to`.
pub(super) async fn upload(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let session = open(ssh).await?;
    match from {
        Upload::Text { content, mode } => {
            let counter = Counter::new(ui, to, Some(u64::try_from(content.len())?));
            put(&session, content, mode, path(to), &counter).await
        }
        Upload::File(local) => {
            let file = tokio::fs::File::open(local).await?;
            let metadata = file.metadata().await?;
            let counter = Counter::new(ui, local.to_string_lossy(), Some(metadata.len()));
            put(&session, file, metadata.permissions().mode(), path(to), &counter).await
        }
    }
}

async fn put(
    session: &SftpSession,
    mut from: impl AsyncRead + Unpin,
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    if session.metadata(to).await.is_ok_and(|found| found.is_dir()) {
        let cause = "is a directory there: end it with a slash to mean what is in it";
        anyhow::bail!(Permanent(format!("{to} {cause}")));
    }
    let mut attributes = FileAttributes::empty();
    attributes.permissions = Some(mode & 0o7777);
    let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
    let opened = session.open_with_flags_and_attributes(to, flags, attributes.clone()).await;
    let mut file = opened.map_err(refusal)?;
    copy(&mut from, &mut file, counter).await?;
    file.close().await?;
    // A server applies its umask to a new file, and leaves an old one's mode as it was.
    session.set_metadata(to, attributes).await?;
    Ok(())
}

/// What the server answers, it would answer again.
fn refusal(error: russh_sftp::client::error::Error) -> anyhow::Error {
    match error {
        russh_sftp::client::error::Error::Status(_) => Permanent(error.to_string()).into(),
        other => other.into(),
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    counter: &Counter,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        to.write_all(&buffer[..length]).await?;
        counter.add(length);
    }
    to.flush().await?;
    Ok(())
}

/// Uploads what is in `tree` into the directory `to`.
pub(super) async fn upload_tree(ssh: &Ssh, tree: Tree, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let session = open(ssh).await?;
    let counter = Counter::new(ui, tree.what(), Some(tree.size()));
    let to = path(to).trim_end_matches('/');
    make_directory(&session, to, None).await?;
    for entry in &tree.directories {
        let name = format!("{to}/{}", entry.name.to_string_lossy());
        make_directory(&session, &name, Some(entry.mode)).await?;
    }
    for entry in &tree.files {
        let name = format!("{to}/{}", entry.name.to_string_lossy());
        let file = tokio::fs::File::open(&entry.path).await?;
        put(&session, file, entry.mode, &name, &counter).await.with_context(|| name.clone())?;
    }
    Ok(())
}

async fn make_directory(
    session: &SftpSession,
    name: &str,
    mode: Option<u32>,
) -> anyhow::Result<()> {
    if session.metadata(name).await.is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    session.create_dir(name).await.with_context(|| format!("cannot make {name}"))?;
    if let Some(mode) = mode {
        let mut attributes = FileAttributes::empty();
        attributes.permissions = Some(mode);
        session.set_metadata(name, attributes).await?;
    }
    Ok(())
}

/// Downloads the file `from`.
pub(super) async fn download(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let session = open(ssh).await?;
    get(&session, path(from), to, ui).await
}

async fn get(session: &SftpSession, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let mut remote = session.open(from).await?;
    let counter = Counter::new(ui, from, remote.metadata().await?.size);
    let mut local = tokio::fs::File::create(to)
        .await
        .with_context(|| format!("cannot write {}", to.display()))?;
    copy(&mut remote, &mut local, &counter).await
}

/// Downloads what is in the directory `from` into `to`.
pub(super) async fn download_tree(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    anyhow::ensure!(!super::script::is_pattern(from), "patterns need a POSIX shell there");
    let session = open(ssh).await?;
    let mut left = vec![(path(from).trim_end_matches('/').to_owned(), to.to_owned())];
    while let Some((remote, local)) = left.pop() {
        tokio::fs::create_dir_all(&local).await?;
        for entry in session.read_dir(remote.as_str()).await? {
            let name = entry.file_name();
            anyhow::ensure!(!name.contains('/'), "the machine sent a file called {name}: refused");
            let (remote, local) = (format!("{remote}/{name}"), local.join(&name));
            // Follows symlinks, as the other ways do.
            let metadata = session.metadata(remote.as_str()).await?;
            if metadata.is_dir() {
                left.push((remote, local));
            } else if metadata.is_regular() {
                get(&session, &remote, &local, ui).await?;
            } else {
                tracing::warn!("{remote} is neither file nor directory: left out");
            }
        }
    }
    Ok(())
}
