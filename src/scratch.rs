//! Directories that only we may look into: for keys and secrets that other programs read from files,
//! for sockets, for all that is thrown away.
//!
//! They go with the run. One whose run was killed is known by its lock, which nobody holds any more:
//! `imgbake cleanup` removes it, and the next run that needs one in the directory for state, too.

use std::fs::{DirBuilder, DirEntry, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::env::Environment;
use crate::peer;

/// A directory of this run. It goes with this value.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _lock: File,
}

/// The file that is locked as long as the run lives.
const LOCK: &str = "lock";
/// Where they are, in the directory for state.
const PARENT: &str = "tmp";
/// How those are called that are among everybody's temporary files.
const OURS: &str = "imgbake-";

impl Scratch {
    /// A new one in `parent`, with a name that says what it is for.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(parent: &Path, what: &str) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(&format!("{what}-")).tempdir_in(parent)?;
        let lock = File::create_new(dir.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { dir, _lock: lock })
    }

    /// A new one among everybody's temporary files: paths are short there, as sockets need it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn temporary(what: &str) -> io::Result<Self> {
        Self::among_others(&std::env::temp_dir(), what)
    }

    /// A new one in `parent`, where others have files, too: `imgbake cleanup` knows it by its name.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn among_others(parent: &Path, what: &str) -> io::Result<Self> {
        Self::new(parent, &format!("{OURS}{what}"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The directory that they are in, which only we may look into, if the environment has a place for it.
pub fn parent(environment: &Environment) -> Option<PathBuf> {
    let parent = in_state(&environment.state_dir()?);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&parent);
    made.is_ok().then_some(parent)
}

/// The directory that they are in, where `state` is the one for state.
pub fn in_state(state: &Path) -> PathBuf {
    state.join(PARENT)
}

/// Removes those in `parent` that dead runs have left.
pub fn remove_dead(parent: &Path) {
    for dead in of_dead(parent) {
        // Another run may be doing the same.
        let _ = std::fs::remove_dir_all(dead);
    }
}

/// Those in `parent` that dead runs have left.
pub fn of_dead(parent: &Path) -> Vec<PathBuf> {
    dead_in(parent, "")
}

/// Those among everybody's temporary files that dead runs of this user have left.
pub fn temporary_of_dead() -> Vec<PathBuf> {
    dead_in(&std::env::temp_dir(), OURS)
}

/// Those in `parent` whose names begin with `prefix`. No lock of anybody else is touched.
fn dead_in(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let is_meant = |entry: &DirEntry| entry.file_name().as_bytes().starts_with(prefix.as_bytes());
    let meant = entries.flatten().filter(is_meant).map(|entry| entry.path());
    meant.filter(|path| is_dead(path)).collect()
}

/// Whether nobody holds the lock of `path`. One without a lock was never finished, or is being made.
fn is_dead(path: &Path) -> bool {
    let is_directory = path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    is_directory && peer::open_own(&path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_of_a_dead_run() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Scratch::new(parent.path(), "a").unwrap();
        let dead = parent.path().join("dead");
        std::fs::create_dir(&dead).unwrap();
        assert_eq!(of_dead(parent.path()), Vec::<PathBuf>::new());
        std::fs::write(dead.join(LOCK), "").unwrap();
        assert_eq!(of_dead(parent.path()), [dead]);
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
