//! Through the server's SFTP subsystem: what `ssh_file_transfer_method = "sftp"` asks for, and what
//! machines without a POSIX shell have.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use russh::ChannelStream;
use russh::client::Msg;
use russh_sftp::client::error::Error;
use russh_sftp::client::{RawSftpSession, SftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

use super::local::{self, Tree};
use super::progress::Counter;
use super::script::{self, LISTED};
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::exec::CHUNK;
use crate::communicator::ssh::server::Connection;
use crate::component::{Incoming, Input, Upload};
use crate::event::Ui;
use crate::guest::listing::DirectoryListing;
use crate::peer;
use crate::retry::Permanent;

/// How long the server may take for one answer, in seconds.
const PATIENCE: u64 = 60;

/// How often it is tried to remove a file that is not whole, and how long to wait before the next try.
const REMOVALS: usize = 5;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(200);

const NO_SUBSYSTEM: &str =
    "the machine has no SFTP subsystem; without it, transfers need a POSIX shell there";

/// A channel to the subsystem, and the connection that it goes through.
async fn subsystem(ssh: &Ssh) -> anyhow::Result<(Arc<Connection>, ChannelStream<Msg>)> {
    let connection = ssh.connection().await?;
    let channel = connection.handle.channel_open_session().await?;
    channel.request_subsystem(true, "sftp").await?;
    Ok((connection, channel.into_stream()))
}

/// A session, and what is still to be done in it when nobody waits any more.
struct Session {
    sftp: Arc<SftpSession>,
    ends: TaskTracker,
}

impl Deref for Session {
    type Target = SftpSession;
    fn deref(&self) -> &SftpSession {
        &self.sftp
    }
}

async fn open(ssh: &Ssh) -> anyhow::Result<Session> {
    let (connection, stream) = subsystem(ssh).await?;
    // A lost connection may come back; a server without the subsystem stays without it.
    let session = SftpSession::new(stream).await.map_err(|error| match error {
        Error::Timeout => error.into(),
        _ if connection.handle.is_closed() => anyhow::Error::new(error),
        _ => Permanent(NO_SUBSYSTEM.to_owned()).into(),
    })?;
    session.set_timeout(PATIENCE);
    Ok(Session { sftp: Arc::new(session), ends: ssh.ends.clone() })
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
        Upload::File(from) => {
            let file = local::open(from).await?;
            let metadata = file.metadata().await?;
            let counter = Counter::new(ui, from.to_string_lossy(), Some(metadata.len()));
            put(&session, file, metadata.permissions().mode(), path(to), &counter).await
        }
    }
}

/// Uploads all that `from` gives to the file `to`.
pub(super) async fn upload_stream(
    ssh: &Ssh,
    from: Input<'_>,
    about: Incoming,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let session = open(ssh).await?;
    let counter = Counter::new(ui, to, about.size);
    put(&session, from, about.mode, path(to), &counter).await
}

async fn put(
    session: &Session,
    mut from: impl AsyncRead + Unpin,
    mode: u32,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    let found = session.metadata(to).await;
    if found.as_ref().is_ok_and(|found| found.is_dir()) {
        return Err(script::is_directory(to));
    }
    let mut attributes = FileAttributes::empty();
    attributes.permissions = Some(mode & 0o7777);
    let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
    let opened = session.open_with_flags_and_attributes(to, flags, attributes.clone()).await;
    // It goes after the file, which a server may have to close before.
    let partial;
    let mut file = opened.map_err(refusal)?;
    partial = found.is_err().then(|| Partial { session, path: to });
    copy(&mut from, &mut file, counter).await?;
    file.close().await?;
    // A server applies its umask to a new file, and leaves an old one's mode as it was.
    session.set_metadata(to, attributes).await?;
    if let Some(partial) = partial {
        partial.leave();
    }
    Ok(())
}

/// A new file that is removed unless it becomes whole.
struct Partial<'a> {
    session: &'a Session,
    path: &'a str,
}

impl Partial<'_> {
    /// It is whole: it stays.
    fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let (session, path) = (self.session.sftp.clone(), self.path.to_owned());
        self.session.ends.spawn(async move {
            for _ in 0..REMOVALS {
                match session.remove_file(&path).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!("{path} is not removed yet: {error}"),
                }
                tokio::time::sleep(BETWEEN_REMOVALS).await;
            }
        });
    }
}

/// What the server answers, it would answer again.
fn refusal(error: Error) -> anyhow::Error {
    match error {
        Error::Status(_) => Permanent(error.to_string()).into(),
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
    let to = path(to);
    let is_there = session.metadata(to).await.is_ok_and(|found| found.is_dir());
    let to = super::destination(to, tree.own_name(), is_there);
    // The root, and home, are where they are.
    let to = if to == "/" { &to } else { to.trim_end_matches('/') };
    make_directory(&session, to, None).await?;
    for entry in &tree.directories {
        let name = format!("{to}/{}", entry.name.to_string_lossy());
        make_directory(&session, &name, Some(entry.mode)).await?;
    }
    for entry in &tree.files {
        let name = format!("{to}/{}", entry.name.to_string_lossy());
        let file = local::open(&entry.path).await?;
        put(&session, file, entry.mode, &name, &counter).await.with_context(|| name.clone())?;
    }
    Ok(())
}

async fn make_directory(session: &Session, name: &str, mode: Option<u32>) -> anyhow::Result<()> {
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

async fn get(session: &Session, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
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
    let from = path(from).trim_end_matches('/');
    let below = LISTED.in_time(list(ssh, from)).await??;
    tokio::fs::create_dir_all(to).await?;
    for name in &below.directories {
        tokio::fs::create_dir_all(to.join(name)).await?;
    }
    let session = open(ssh).await?;
    for name in &below.files {
        let remote = format!("{from}/{}", name.to_string_lossy());
        get(&session, &remote, &to.join(name), ui).await?;
    }
    Ok(())
}

/// What is below `directory`; symlinks are followed, as the other ways do. The library's own
/// listings have no limit.
async fn list(ssh: &Ssh, directory: &str) -> anyhow::Result<DirectoryListing> {
    let (_, stream) = subsystem(ssh).await?;
    let session = RawSftpSession::new(stream);
    session.init().await?;
    session.set_timeout(PATIENCE);
    let (mut below, mut taken) = (DirectoryListing::default(), 0);
    let mut left = vec![PathBuf::new()];
    while let Some(parent) = left.pop() {
        let remote = format!("{directory}/{}", parent.display());
        for name in names(&session, &remote, &mut taken).await? {
            let name = parent.join(peer::file_name(&name)?);
            let found = session.stat(format!("{directory}/{}", name.display())).await?.attrs;
            if found.is_dir() {
                left.push(name.clone());
                below.directories.push(name);
            } else if found.is_regular() {
                below.files.push(name);
            } else {
                tracing::warn!("{} is neither file nor directory: left out", name.display());
            }
        }
    }
    Ok(below)
}

/// The names in the directory `remote`. `taken` is how much was listed so far.
async fn names(
    session: &RawSftpSession,
    remote: &str,
    taken: &mut u64,
) -> anyhow::Result<Vec<String>> {
    let handle = session.opendir(remote).await.with_context(|| remote.to_owned())?.handle;
    let mut names = Vec::new();
    loop {
        let listed = match session.readdir(handle.as_str()).await {
            Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break,
            listed => listed?,
        };
        // An answer without names is one, too.
        *taken += 1;
        for file in listed.files {
            *taken += (remote.len() + file.filename.len()) as u64;
            names.push(file.filename);
        }
        LISTED.check(*taken)?;
    }
    session.close(handle).await?;
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}
