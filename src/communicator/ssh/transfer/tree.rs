//! Directories: one stream through `tar` each way, or file by file where the machine has none.

use std::path::Path;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio_util::bytes::Bytes;

use super::file::{self, LARGE};
use super::local::{Entry, Tree};
use super::pipe;
use super::progress::Counter;
use super::script::{self, LISTED, ShellKind, command, word};
use super::unfinished::Unfinished;
use crate::communicator::bridge::{self, BlockWriter};
use crate::communicator::pack::{Owner, Packer};
use crate::communicator::ssh::{Ssh, quote};
use crate::event::Ui;
use crate::guest::archive;
use crate::guest::listing::{self, Match};

/// How many files go at once where each goes on its own; servers allow ten sessions.
const AT_ONCE: usize = 6;

/// Uploads what is in `tree` into the directory `to`.
pub(super) async fn upload(
    ssh: &Ssh,
    shell: ShellKind,
    tree: Tree,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let to = destination(ssh, &tree, to).await?;
    let counter = Counter::new(ui, tree.what(), Some(tree.size()));
    let unfinished = Unfinished::directory(ssh, trimmed(&to)).await?;
    let at = unfinished.at.clone();
    unfinished.keep_after(fill(ssh, shell, tree, &at, &counter), None).await
}

/// `directory` without a slash at its end.
fn trimmed(directory: &str) -> &str {
    match directory.trim_end_matches('/') {
        "" => directory,
        trimmed => trimmed,
    }
}

/// Makes the directory `to`, unless it is there, and uploads what is in `tree` into it.
async fn fill(
    ssh: &Ssh,
    shell: ShellKind,
    mut tree: Tree,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    // Large files go in several streams each, after the others.
    let (mut single, archived): (Vec<_>, Vec<_>) =
        tree.files.drain(..).partition(|file| shell == ShellKind::NoTar || file.size >= LARGE);
    if shell != ShellKind::GnuTar {
        make_directories(ssh, &tree.directories, to).await?;
        tree.directories.clear();
    }
    tree.files = archived;
    if shell != ShellKind::NoTar {
        upload_archive(ssh, shell, tree, to, counter).await?;
    }
    // The largest first, so that small ones fill the gaps.
    single.sort_by_key(|file| std::cmp::Reverse(file.size));
    let at_once = if shell == ShellKind::NoTar { ssh.channels(AT_ONCE).await?.len() } else { 1 };
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

/// Where `tree` goes on this machine.
async fn destination(ssh: &Ssh, tree: &Tree, to: &str) -> anyhow::Result<String> {
    let name = tree.own_name();
    if name.is_none() {
        return Ok(super::destination(to, None, false));
    }
    let nothing = futures::stream::empty();
    let asked = pipe::feed(ssh, &command(script::IS_THERE, &[&word(to)]), nothing, None).await?;
    asked.success()?;
    Ok(super::destination(to, name, asked.printed_has(script::THERE)))
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
    shell: ShellKind,
    tree: Tree,
    to: &str,
    counter: &Counter,
) -> anyhow::Result<()> {
    let (writer, input) = bridge::writer();
    let packing = tokio::task::spawn_blocking(move || pack(&tree, writer));
    let script = if shell == ShellKind::GnuTar { script::UNTAR_GNU } else { script::UNTAR };
    let outcome = pipe::feed(ssh, &command(script, &[&word(to)]), input, Some(counter)).await?;
    // Where the machine refused, it says why; the packing only says that nobody read on.
    outcome.success()?;
    packing.await?
}

/// Writes an archive of `tree`. Everything in it belongs to root and is new: what is unpacked by an
/// ordinary user becomes that user's own.
fn pack(tree: &Tree, to: BlockWriter) -> anyhow::Result<()> {
    let mut packer = Packer::new(to, Owner::ROOT);
    for entry in &tree.directories {
        packer.directory(&entry.name, entry.mode)?;
    }
    for entry in &tree.files {
        packer.file(&entry.name, entry)?;
    }
    packer.finish().map(|_| ())
}

/// Downloads what matches the pattern `from` into `to`, files and directories under their own
/// names.
pub(super) async fn download_matching(
    ssh: &Ssh,
    shell: ShellKind,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    let list = command(script::EXISTING, &[&script::pattern(from)]);
    let (outcome, listed) = pipe::ask(ssh, &list, LISTED).await?;
    outcome.success()?;
    let found = listing::matches(&listed)?;
    anyhow::ensure!(!found.is_empty(), "nothing on the machine matches {from}");
    tokio::fs::create_dir_all(to).await?;
    for Match { path, name, is_directory } in found {
        match is_directory {
            true => download(ssh, shell, &path, &to.join(name), ui).await?,
            false => file::download(ssh, &path, &to.join(name), ui).await?,
        }
    }
    Ok(())
}

/// Downloads what is in the directory `from` into `to`.
pub(super) async fn download(
    ssh: &Ssh,
    shell: ShellKind,
    from: &str,
    to: &Path,
    ui: &Ui,
) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(to).await?;
    if shell == ShellKind::NoTar {
        return download_one_by_one(ssh, from, to, ui).await;
    }
    let counter = Counter::new(ui, from, None);
    let (mut sender, reader) = bridge::reader();
    let to = to.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || archive::unpack(reader, &to));
    let packed = command(script::TAR, &[&word(from)]);
    let drained = pipe::drain(ssh, &packed, &mut sender, Some(&counter)).await;
    drop(sender);
    // An archive that cannot be unpacked breaks the pipe: its own error says more.
    unpacking.await??;
    // 1: a file changed while it was read.
    drained?.success_or(&[1])
}

async fn download_one_by_one(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let list = command(script::LIST, &[&word(from)]);
    let (outcome, listed) = pipe::ask(ssh, &list, LISTED).await?;
    outcome.success()?;
    let below = listing::below(&listed)?;
    for name in &below.directories {
        tokio::fs::create_dir_all(to.join(name)).await?;
    }
    let at_once = ssh.channels(AT_ONCE).await?.len();
    futures::stream::iter(below.files)
        .map(|name| async move {
            let source = format!("{}/{}", from.trim_end_matches('/'), name.to_string_lossy());
            file::download(ssh, &source, &to.join(name), ui).await
        })
        .buffer_unordered(at_once)
        .try_collect()
        .await
}
