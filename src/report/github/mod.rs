//! What GitHub shows of a run: the log of a step, its summary, and a comment on a pull request.
//!
//! ```text
//! events ──▶ log::Log ──▶ standard output, which the runner reads
//!               └──▶ record::RunRecord ──▶ summary
//! ```

pub mod command;
mod gantt;
pub(super) mod log;
pub mod markdown;
pub mod record;
pub mod summary;
#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

/// A file as the repository calls it, which is relative to `root` there.
pub fn in_repository(root: &Path, file: &str) -> String {
    let mut parts = Vec::new();
    for part in root.join(file).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part.as_os_str().to_owned()),
        }
    }
    parts.iter().collect::<PathBuf>().display().to_string()
}

/// How the log of a step looks.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether to use colours.
    pub color: bool,
    /// The working directory, as the repository calls it: what names of files begin with.
    pub root: PathBuf,
}
