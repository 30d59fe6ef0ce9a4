//! A directory of this host that is to be uploaded.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::peer;
use crate::retry::Permanent;

/// All directories and files below one directory, symlinks followed; parents before what is in
/// them.
#[derive(Debug)]
pub(super) struct Tree {
    /// As the template names it.
    from: String,
    pub(super) directories: Vec<Entry>,
    pub(super) files: Vec<Entry>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where it is below the directory.
    pub(super) name: PathBuf,
    pub(super) mode: u32,
    pub(super) size: u64,
}

/// Opens the file `path` to upload it. What is no regular file (a FIFO, a device) is refused, for
/// good.
pub(super) async fn open(path: &Path) -> anyhow::Result<tokio::fs::File> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || peer::open_regular(&path)).await?;
    let opened = opened.map_err(|error| Permanent(format!("cannot read it: {error}")))?;
    Ok(tokio::fs::File::from_std(opened))
}

impl Tree {
    /// Looks at everything below `from`.
    pub(super) async fn read(from: &str) -> anyhow::Result<Self> {
        let mut tree = Self { from: from.to_owned(), directories: Vec::new(), files: Vec::new() };
        tokio::task::spawn_blocking(move || {
            let root = PathBuf::from(&tree.from);
            let metadata = std::fs::metadata(&root)
                .with_context(|| format!("cannot read {}", root.display()))?;
            anyhow::ensure!(metadata.is_dir(), "{} is no directory", root.display());
            tree.walk(&root, Path::new(""), &mut BTreeSet::from([identity(&metadata)]))?;
            Ok(tree)
        })
        .await?
    }

    /// What it is called in a directory that exists already; `None` if only what is in it goes there.
    pub(super) fn own_name(&self) -> Option<String> {
        let whole = (!self.from.ends_with('/')).then(|| Path::new(&self.from).canonicalize().ok());
        Some(whole??.file_name()?.to_string_lossy().into_owned())
    }

    /// Its last name, for people.
    pub(super) fn what(&self) -> &str {
        &self.from
    }

    /// The bytes of all files.
    pub(super) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    fn walk(
        &mut self,
        directory: &Path,
        name: &Path,
        above: &mut BTreeSet<(u64, u64)>,
    ) -> anyhow::Result<()> {
        let read = || format!("cannot read {}", directory.display());
        let listed: Result<Vec<_>, _> = std::fs::read_dir(directory).with_context(read)?.collect();
        let mut listed = listed.with_context(read)?;
        listed.sort_by_key(std::fs::DirEntry::file_name);
        for item in listed {
            let path = item.path();
            let metadata = std::fs::metadata(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let entry = Entry {
                name: name.join(item.file_name()),
                mode: metadata.permissions().mode() & 0o7777,
                size: metadata.len(),
                path,
            };
            if metadata.is_dir() {
                let identity = identity(&metadata);
                let path = entry.path.clone();
                let name = entry.name.clone();
                anyhow::ensure!(above.insert(identity), "{} leads into itself", path.display());
                self.directories.push(entry);
                self.walk(&path, &name, above)?;
                above.remove(&identity);
            } else if metadata.is_file() {
                self.files.push(entry);
            } else {
                tracing::warn!("{} is neither file nor directory: left out", entry.path.display());
            }
        }
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
