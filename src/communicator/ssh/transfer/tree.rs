//! Directories: one stream through `tar` each way, or file by file where the machine has none.

use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio_util::bytes::Bytes;

use super::bridge::{self, BlockReader, BlockWriter};
use super::file::{self, LARGE};
use super::local::{Entry, Tree};
use super::pipe::{self, CHUNK};
use super::progress::Counter;
use super::script::{self, Shell, command, word};
use crate::communicator::ssh::{Ssh, quote};
use crate::event::Ui;

/// How many files go at once where each goes on its own; servers allow ten sessions.
const AT_ONCE: usize = 6;

/// Uploads what is in `tree` into the directory `to`.
pub(super) async fn upload(
    ssh: &Ssh,
    shell: Shell,
    mut tree: Tree,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let counter = Counter::new(ui, tree.what(), Some(tree.size()));
    // Large files go in several streams each, after the others.
    let (mut single, archived): (Vec<_>, Vec<_>) =
        tree.files.drain(..).partition(|file| shell == Shell::NoTar || file.size >= LARGE);
    if shell != Shell::GnuTar {
        make_directories(ssh, &tree.directories, to).await?;
        tree.directories.clear();
    }
    tree.files = archived;
    if shell != Shell::NoTar {
        upload_archive(ssh, shell, tree, to, &counter).await?;
    }
    // The largest first, so that small ones fill the gaps.
    single.sort_by_key(|file| std::cmp::Reverse(file.size));
    let at_once = if shell == Shell::NoTar { ssh.channels(AT_ONCE).await?.len() } else { 1 };
    let counter = &counter;
    futures::stream::iter(single)
        .map(|entry| async move {
            let to = format!("{}/{}", to.trim_end_matches('/'), entry.name.to_string_lossy());
            file::upload_path(ssh, &entry.path, entry.size, entry.mode, &to, counter)
                .await
                .with_context(|| entry.path.display().to_string())
        })
        .buffer_unordered(at_once)
        .try_collect()
        .await
}

/// Makes the directories that are not there yet.
async fn make_directories(ssh: &Ssh, directories: &[Entry], to: &str) -> anyhow::Result<()> {
    let mut script = script::MAKE_DIRECTORY.to_owned();
    for directory in directories {
        // A leading `./` keeps a name from being an option.
        let name = quote(&format!("./{}", directory.name.to_string_lossy()));
        script.push_str(&format!("d {:o} {name}\n", directory.mode));
    }
    let command = command(script::IN_DIRECTORY, &[&word(to)]);
    let input = futures::stream::iter([Ok(Bytes::from(script))]);
    pipe::feed(ssh, &command, input, None).await?.success()
}

async fn upload_archive(
    ssh: &Ssh,
    shell: Shell,
    tree: Tree,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    let (writer, input) = bridge::writer();
    let packing = tokio::task::spawn_blocking(move || pack(tree, writer));
    let script = if shell == Shell::GnuTar { script::UNTAR_GNU } else { script::UNTAR };
    let outcome = pipe::feed(ssh, &command(script, &[&word(to)]), input, Some(counter)).await?;
    // Where the machine refused, it says why; the packing only says that nobody read on.
    outcome.success()?;
    packing.await?
}

/// Writes an archive of `tree`. Everything in it belongs to root and is new: what is unpacked by an
/// ordinary user becomes that user's own.
fn pack(tree: Tree, to: BlockWriter) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let mut archive = tar::Builder::new(BufWriter::with_capacity(CHUNK, to));
    let header = |entry: &Entry, kind, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(entry.mode);
        header.set_size(size);
        header.set_mtime(now);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    for entry in &tree.directories {
        let mut header = header(entry, tar::EntryType::Directory, 0);
        archive.append_data(&mut header, &entry.name, std::io::empty())?;
    }
    for entry in &tree.files {
        let read = || format!("cannot read {}", entry.path.display());
        let file = std::fs::File::open(&entry.path).with_context(read)?;
        let mut header = header(entry, tar::EntryType::Regular, entry.size);
        // A file that shrinks or grows meanwhile must not break the archive.
        let content = file.chain(std::io::repeat(0)).take(entry.size);
        archive.append_data(&mut header, &entry.name, content).with_context(read)?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// Downloads what matches the pattern `from` into `to`, files and directories under their own
/// names.
pub(super) async fn download_matching(
    ssh: &Ssh,
    shell: Shell,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let mut listed = Vec::new();
    let list = command(script::EXISTING, &[&script::pattern(from)]);
    pipe::drain(ssh, &list, &mut listed, None).await?.success()?;
    tokio::fs::create_dir_all(to).await?;
    for item in listed.split(|&byte| byte == 0).filter(|item| !item.is_empty()) {
        let (kind, path) = item.split_at(1);
        let path = String::from_utf8_lossy(path);
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        anyhow::ensure!(!matches!(name, "" | "." | ".."), "the machine lists {path}");
        match kind {
            b"d" => download(ssh, shell, &path, &to.join(name), ui).await?,
            _ => file::download(ssh, &path, &to.join(name), ui).await?,
        }
    }
    Ok(())
}

/// Downloads what is in the directory `from` into `to`.
pub(super) async fn download(
    ssh: &Ssh,
    shell: Shell,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(to).await?;
    if shell == Shell::NoTar {
        return download_one_by_one(ssh, from, to, ui).await;
    }
    let counter = Counter::new(ui, from, None);
    let (mut sender, reader) = bridge::reader();
    let to = to.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack(reader, &to));
    let packed = command(script::TAR, &[&word(from)]);
    let drained = pipe::drain(ssh, &packed, &mut sender, Some(&counter)).await;
    drop(sender);
    // An archive that cannot be unpacked breaks the pipe: its own error says more.
    unpacking.await??;
    // 1: a file changed while it was read.
    drained?.success_or(&[1])
}

/// Unpacks an archive that a machine made. It may be hostile: nothing is written but directories
/// and plain files below `to`.
fn unpack(from: BlockReader, to: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(from);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = below(to, &entry.path()?)?;
        let mode = entry.header().mode()? & 0o777;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            std::fs::create_dir_all(&path)?;
            directories.push((path, mode | 0o700));
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let write = || format!("cannot write {}", path.display());
        if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let mut file = std::fs::File::create(&path).with_context(write)?;
            std::io::copy(&mut entry, &mut file).with_context(write)?;
        } else if kind.is_hard_link() {
            let first = entry.link_name()?.context("a hard link to nothing")?;
            std::fs::copy(below(to, &first)?, &path).with_context(write)?;
        } else {
            tracing::warn!("{} is neither file nor directory: left out", path.display());
            continue;
        }
        set_mode(&path, mode)?;
    }
    // Only now, or a directory that is not writable could not be filled.
    directories.iter().rev().try_for_each(|(path, mode)| set_mode(path, *mode))?;
    // What follows the archive's end must be read, or the machine's tar would fail.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode)
        .with_context(|| format!("cannot set the permissions of {}", path.display()))
}

/// `name` below `directory`, if it does not lead out of it.
fn below(directory: &Path, name: &Path) -> anyhow::Result<PathBuf> {
    let mut path = directory.to_owned();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => anyhow::bail!("the machine sent a file called {}: refused", name.display()),
        }
    }
    Ok(path)
}

async fn download_one_by_one(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let mut listed = Vec::new();
    let list = command(script::LIST, &[&word(from)]);
    pipe::drain(ssh, &list, &mut listed, None).await?.success()?;
    let mut names = listed.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let as_path = |name| Path::new(std::ffi::OsStr::from_bytes(name));
    for name in names.by_ref().take_while(|name| *name != b"/") {
        tokio::fs::create_dir_all(below(to, as_path(name))?).await?;
    }
    let at_once = ssh.channels(AT_ONCE).await?.len();
    let files: Vec<PathBuf> = names.map(|name| as_path(name).to_owned()).collect();
    futures::stream::iter(files)
        .map(|name| async move {
            let source = format!("{}/{}", from.trim_end_matches('/'), name.to_string_lossy());
            file::download(ssh, &source, &below(to, &name)?, ui).await
        })
        .buffer_unordered(at_once)
        .try_collect()
        .await
}
