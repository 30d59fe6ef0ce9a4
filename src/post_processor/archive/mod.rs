//! Archives and compressed files, written as a stream in constant memory.

mod blocks;
mod pack;

pub(super) use blocks::{Algorithm, BlockWriter};
pub(super) use pack::{Entry, Source, tar, zip};

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::post_processor::make_parent;

/// Writes the file `target` through `write`: it appears when it is whole, or not at all.
pub(super) fn write_whole(
    target: &Path,
    write: impl FnOnce(&File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let parent = make_parent(target)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".imgbake-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(&parent)
        .with_context(|| format!("cannot write in {}", parent.display()))?;
    write(unfinished.as_file())?;
    unfinished.persist(target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(())
}
