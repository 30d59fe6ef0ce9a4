//! Archives and compressed files, written as a stream in constant memory.

mod blocks;
mod pack;

pub(super) use blocks::{Algorithm, BlockWriter};
pub(super) use pack::{Entry, Part, Source, tar, zip};

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use crate::post_processor::make_parent;
use crate::whole_file::WholeFile;

/// Writes the file `target` through `write`: it appears when it is whole, or not at all.
pub(super) fn write_whole(
    target: &Path,
    write: impl FnOnce(&File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let parent = make_parent(target)?;
    let unfinished = WholeFile::create(target, 0o666)
        .with_context(|| format!("cannot write in {}", parent.display()))?;
    write(unfinished.file())?;
    unfinished.appear().with_context(|| format!("cannot write {}", target.display()))
}
