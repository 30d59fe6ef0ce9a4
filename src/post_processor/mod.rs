//! Post-processors: each makes something of a finished artifact.
//!
//! | file | what is there |
//! |---|---|
//! | `archive` | archives and compressed files, written as streams |
//! | `boxes` | what `vagrant_cloud` and `vagrant_registry` share: which box, and its upload |
//! | all others | one post-processor each (`docker`: four) |

mod archive;
pub mod artifice;
mod boxes;
pub mod checksum;
pub mod compress;
#[cfg(feature = "docker")]
pub mod docker;
pub mod manifest;
pub mod provenance;
pub mod shell_local;
pub mod vagrant;
pub mod vagrant_cloud;
pub mod vagrant_registry;

#[cfg(test)]
mod fake;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::component::{Artifact, Facts, Processed};
use crate::config::late_fields;
use crate::interpolate::{BuildData, Dot};
use crate::retry::Cancelled;
use crate::step::remove_if_there;
use crate::whole_file::{WholeFile, directory_of};

/// An artifact that is files and nothing else. Destroying it removes them.
struct Files {
    builder_id: &'static str,
    id: String,
    files: Vec<PathBuf>,
    description: String,
    /// Of the artifact that it was made from, for the post-processors to come.
    build_data: BuildData,
}

#[async_trait]
impl Artifact for Files {
    fn builder_id(&self) -> &str {
        self.builder_id
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn build_data(&self) -> BuildData {
        self.build_data.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        for file in &self.files {
            remove_if_there(file).await?;
        }
        Ok(())
    }
}

/// The input goes on as it is, and cannot be thrown away.
fn passed_on(input: Arc<dyn Artifact>) -> Processed {
    Processed { artifact: Some(input), keep_input: true, keep_forced: true }
}

late_fields! {
    /// The fields of `dot`.
    pub BuildFields = ["BuildName", "BuilderType"] and the build;
}

/// What `.Name` means in late options: what the machine said, `.BuildName` and `.BuilderType`.
pub(crate) fn dot(facts: &Facts) -> Dot {
    let mut dot: Dot = facts.scope.build_data.clone().unwrap_or_default();
    dot.insert("BuildName".into(), facts.source_name().into());
    dot.insert("BuilderType".into(), facts.builder_type.as_str().into());
    dot
}

/// The directory of `path`, made if it is not there.
fn make_parent(path: &Path) -> anyhow::Result<PathBuf> {
    let parent = directory_of(path);
    fs::create_dir_all(parent)
        .with_context(|| format!("cannot make the directory {}", parent.display()))?;
    Ok(parent.to_owned())
}

/// Replaces the file that `path` names, or that its symbolic link names, in one move.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = WholeFile::create(&path, 0o664)?;
    new.file().write_all(content)?;
    if let Ok(old) = fs::metadata(&path) {
        new.file().set_permissions(old.permissions())?;
    }
    new.file().sync_data()?;
    new.appear()
}

/// The last part of `path`, for people and for archives.
fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Runs `work`, which reads and writes files, on a thread where it may block. It reads through
/// [`Stoppable`], which fails when the run is interrupted.
async fn blocking<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl FnOnce(&CancellationToken) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let token = cancel.clone();
    let result = tokio::task::spawn_blocking(move || work(&token)).await;
    if cancel.is_cancelled() {
        return Err(Cancelled.into());
    }
    result.context("the file work panicked")?
}

/// A reader that fails when the run is interrupted, and counts.
struct Stoppable<'a, R> {
    inner: R,
    cancel: &'a CancellationToken,
    count: u64,
}

impl<'a, R: io::Read> Stoppable<'a, R> {
    fn new(inner: R, cancel: &'a CancellationToken) -> Self {
        Self { inner, cancel, count: 0 }
    }
}

impl<R: io::Read> io::Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other(Cancelled));
        }
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}
