//! Files of a container: one archive each way.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use tokio::sync::OnceCell;

use super::{Container, DockerExec, refused};
use crate::communicator::bridge::{self, BlockWriter};
use crate::communicator::local::{self, Entry, Tree};
use crate::communicator::pack::{Owner, Packer};
use crate::communicator::progress::Counter;
use crate::communicator::quoting;
use crate::component::{Communicator, Exit, Upload};
use crate::docker::PathKind;
use crate::event::Ui;
use crate::guest::{archive, listing};
use crate::peer;
use crate::retry::Permanent;

/// The mode of a directory that is made on the way to another.
const DIRECTORY: u32 = 0o755;

impl Container {
    pub(super) async fn upload_file(
        &self,
        from: Upload<'_>,
        to: &str,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let to = self.absolute(to).await?;
        let (directory, name) = split(&to)?;
        let owner = self.owner().await?;
        match from {
            Upload::Text { content, mode } => {
                let counter = Counter::new(ui, to.as_str(), Some(content.len() as u64));
                let mut packer = Packer::new(Vec::new(), owner);
                packer.text(Path::new(name), content, mode)?;
                let packed = packer.finish()?;
                let blocks = futures::stream::iter([Ok(packed.into())]);
                self.put(directory, blocks, counter).await
            }
            Upload::File(path) => {
                let entry = entry_of(path).await?;
                let counter = Counter::new(ui, path.display().to_string(), Some(entry.size));
                let name = PathBuf::from(name);
                let pack = move |to| {
                    let mut packer = Packer::new(to, owner);
                    packer.file(&name, &entry)?;
                    packer.finish().map(|_| ())
                };
                self.put_packed(directory, pack, counter).await
            }
        }
    }

    pub(super) async fn upload_tree(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
        let tree = Tree::read(from).await?;
        let to = self.absolute(to).await?;
        let (to, is_there) = match (self.kind(&to).await?, tree.own_name()) {
            (PathKind::Other, _) => bail!(Permanent(format!("{to} is no directory"))),
            (PathKind::Directory, Some(name)) => {
                let to = format!("{}/{name}", to.trim_end_matches('/'));
                let kind = self.kind(&to).await?;
                (to, kind == PathKind::Directory)
            }
            (kind, _) => (to, kind == PathKind::Directory),
        };
        let (below, missing) = match is_there {
            true => (to, PathBuf::new()),
            false => self.nearest(&to).await?,
        };
        // What is there already keeps its mode and its owner.
        let new = match is_there {
            true => self.new_directories(&tree, &below).await?,
            false => tree.directories.clone(),
        };
        let (counter, owner) =
            (Counter::new(ui, tree.what(), Some(tree.size())), self.owner().await?);
        let pack = move |to| pack(&tree, &new, &missing, owner, to);
        self.put_packed(&below, pack, counter).await
    }

    pub(super) async fn download_file(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        let path = self.absolute(from).await?;
        let path = self.engine.followed(&self.id, &path).await.map_err(refused)?;
        let to_file = to.to_owned();
        self.get(&path, ui, move |archive| unpack_file(archive, &to_file)).await
    }

    pub(super) async fn download_tree(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        tokio::fs::create_dir_all(to).await?;
        let path = format!("{}/.", self.absolute(from).await?.trim_end_matches('/'));
        let to_dir = to.to_owned();
        self.get(&path, ui, move |archive| archive::unpack(archive, &to_dir)).await
    }

    /// Downloads what matches the pattern `from`, each under its own name.
    pub(super) async fn download_matching(
        &self,
        from: &str,
        to: &Path,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let list = format!("set -- {}; {}", quoting::pattern(from), quoting::EXISTING);
        let machine: &dyn Communicator = self;
        let (exit, said) = machine.run_captured(&list).await?;
        ensure!(exit == Exit::Status(0), Permanent(format!("cannot look for {from}")));
        let found = listing::matches(&said.stdout)?;
        ensure!(!found.is_empty(), "nothing on the machine matches {from}");
        tokio::fs::create_dir_all(to).await?;
        for listing::Match { path, name, is_directory } in found {
            let to = to.join(name);
            let downloaded = match is_directory {
                true => self.download_tree(&path, &to, ui).await,
                false => self.download_file(&path, &to, ui).await,
            };
            downloaded.with_context(|| format!("cannot download {path}"))?;
        }
        Ok(())
    }

    async fn kind(&self, path: &str) -> anyhow::Result<PathKind> {
        self.engine.path_kind(&self.id, path).await.map_err(refused)
    }

    /// The nearest directory above `path` that is there, and what is missing below it.
    async fn nearest(&self, path: &str) -> anyhow::Result<(String, PathBuf)> {
        let path = Path::new(path);
        for above in path.ancestors().skip(1) {
            let text = above.to_string_lossy();
            match self.kind(&text).await? {
                PathKind::Directory => {
                    return Ok((text.into_owned(), path.strip_prefix(above)?.to_owned()));
                }
                PathKind::Other => bail!(Permanent(format!("{text} is no directory"))),
                PathKind::Nothing => {}
            }
        }
        bail!("the container has no directories")
    }

    /// Those directories of `tree` that are not there yet below `to`. What is missing has nothing
    /// below it that is there.
    async fn new_directories(&self, tree: &Tree, to: &str) -> anyhow::Result<Vec<Entry>> {
        let (mut new, mut topmost): (_, Option<&Path>) = (Vec::new(), None);
        for entry in &tree.directories {
            let path = format!("{}/{}", to.trim_end_matches('/'), entry.name.to_string_lossy());
            if !topmost.is_some_and(|topmost| entry.name.starts_with(topmost)) {
                if self.kind(&path).await? != PathKind::Nothing {
                    continue;
                }
                topmost = Some(&entry.name);
            }
            new.push(entry.clone());
        }
        Ok(new)
    }

    /// Sends what `pack` writes, which runs on a thread where it may block.
    async fn put_packed(
        &self,
        directory: &str,
        pack: impl FnOnce(BlockWriter) -> anyhow::Result<()> + Send + 'static,
        counter: Counter,
    ) -> anyhow::Result<()> {
        let (writer, blocks) = bridge::writer();
        let packing = tokio::task::spawn_blocking(move || pack(writer));
        let put = self.put(directory, blocks, counter).await;
        // Where the engine refused, it says why; the packing only says that nobody read on.
        put?;
        packing.await?
    }

    async fn put(
        &self,
        directory: &str,
        blocks: impl futures::Stream<Item = std::io::Result<tokio_util::bytes::Bytes>> + Send + 'static,
        counter: Counter,
    ) -> anyhow::Result<()> {
        let counted = blocks.inspect(move |block| {
            counter.add(block.as_ref().map_or(0, |block| block.len()));
        });
        self.engine.put_archive(&self.id, directory, counted).await.map_err(refused)
    }

    /// Fetches the archive of `path` and has `unpack` read it, on a thread where it may block.
    async fn get(
        &self,
        path: &str,
        ui: &Ui,
        unpack: impl FnOnce(Box<dyn std::io::Read>) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let counter = Counter::new(ui, path, None);
        let mut blocks = std::pin::pin!(self.engine.get_archive(&self.id, path));
        // A refusal comes before the first block.
        let Some(first) = blocks.next().await else { bail!("the engine sent nothing") };
        let first = first.map_err(refused)?;
        let (sender, reader) = bridge::reader();
        let unpacking = tokio::task::spawn_blocking(move || unpack(Box::new(reader)));
        let mut next = Some(Ok(first));
        let mut received = Ok(());
        while let Some(block) = next {
            match block {
                Ok(block) => {
                    counter.add(block.len());
                    if sender.send(block).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    received = Err(refused(error));
                    break;
                }
            }
            next = blocks.next().await;
        }
        drop(sender);
        let unpacked = unpacking.await?;
        received.and(unpacked)
    }

    /// `path` from the root on. A home directory is that of the user who runs commands.
    async fn absolute(&self, path: &str) -> anyhow::Result<String> {
        let relative_to_home = path == "~" || path.starts_with("~/");
        if !relative_to_home {
            return Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") });
        }
        let machine: &dyn Communicator = self;
        let (_, said) = machine.run_captured("printf %s ~").await?;
        let home = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        ensure!(home.starts_with('/'), Permanent("the user has no home directory".to_owned()));
        Ok(format!("{}{}", home.trim_end_matches('/'), &path[1..]))
    }

    /// Whom what is uploaded belongs to. Root is asked for nothing.
    async fn owner(&self) -> anyhow::Result<Owner> {
        if !self.options.fix_upload_owner {
            return Ok(Owner::ROOT);
        }
        let owner = self.owner.get_or_try_init(|| async {
            let found = self.engine.find_container(&self.id).await.map_err(refused)?;
            let user = found.and_then(|found| found.config).and_then(|config| config.user);
            match user.as_deref() {
                None | Some("" | "root" | "0" | "root:root" | "0:0") => Ok(Owner::ROOT),
                Some(user) => self.ask_owner(user).await,
            }
        });
        owner.await.copied()
    }

    async fn ask_owner(&self, user: &str) -> anyhow::Result<Owner> {
        let options =
            DockerExec { user: Some(user.to_owned()), pty: false, ..self.options.clone() };
        let (engine, id) = (self.engine.clone(), self.id.clone());
        let as_user = Self { engine, id, options, owner: OnceCell::new() };
        let machine: &dyn Communicator = &as_user;
        let (exit, said) = machine.run_captured("id -u && id -g").await?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let numbers: Vec<u64> = said.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        match (exit, numbers.as_slice()) {
            (Exit::Status(0), &[user, group]) => Ok(Owner { user, group }),
            _ => bail!(Permanent(format!(
                "cannot find out the number of the user {user}; `fix_upload_owner = false` leaves \
                 what is uploaded to root"
            ))),
        }
    }
}

/// The directory and the last name of `path`.
fn split(path: &str) -> anyhow::Result<(&str, &str)> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    ensure!(!matches!(name, "" | "." | ".."), Permanent(format!("{path} names no file")));
    Ok((if directory.is_empty() { "/" } else { directory }, name))
}

async fn entry_of(path: &Path) -> anyhow::Result<Entry> {
    let file = local::open(path).await.with_context(|| path.display().to_string())?;
    let metadata = file.metadata().await?;
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(Entry { path: path.to_owned(), name: PathBuf::new(), mode, size: metadata.len() })
}

/// Writes `tree` below the directories `missing`, which are made.
fn pack(
    tree: &Tree,
    directories: &[Entry],
    missing: &Path,
    owner: Owner,
    to: BlockWriter,
) -> anyhow::Result<()> {
    let mut packer = Packer::new(to, owner);
    let mut above: Vec<_> =
        missing.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    above.reverse();
    for directory in above {
        packer.directory(directory, DIRECTORY)?;
    }
    for entry in directories {
        packer.directory(&missing.join(&entry.name), entry.mode)?;
    }
    for entry in &tree.files {
        packer.file(&missing.join(&entry.name), entry)?;
    }
    packer.finish().map(|_| ())
}

/// Writes the only file of an archive to `to`.
fn unpack_file(from: impl std::io::Read, to: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(from);
    let mut entries = archive.entries()?;
    let mut entry = entries.next().context("the archive is empty")??;
    let kind = entry.header().entry_type();
    ensure!(kind.is_file(), Permanent("it is no regular file".to_owned()));
    let mode = entry.header().mode()? & 0o777;
    let write = || format!("cannot write {}", to.display());
    let mut options = std::fs::File::options();
    let file = peer::open_regular_as(options.write(true).create(true).truncate(true), to);
    let mut file = file.with_context(write)?;
    std::io::copy(&mut entry, &mut file).with_context(write)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).with_context(write)?;
    Ok(())
}
