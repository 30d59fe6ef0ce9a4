//! Files that the builds of this process share: one at a time fetches or checks a file, and what it
//! has found out holds for the others, as long as the file stays as it is.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::retry::{Cancelled, or_cancelled};

/// What this process knows, by file.
static FILES: LazyLock<Mutex<HashMap<PathBuf, Arc<Shared>>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Shared {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was found out, and how the file was then.
    found: Mutex<HashMap<String, Stamp>>,
}

/// How a file is: any change of its content changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        let changed = (file.ctime(), file.ctime_nsec());
        Some(Self { device: file.dev(), inode: file.ino(), size: file.size(), changed })
    }
}

/// The turn of one build with a file: until it is dropped, no other has it.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    shared: Arc<Shared>,
    _guard: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for it; says so to `waits` if another build is at work.
    pub async fn with(
        path: &Path,
        cancel: &CancellationToken,
        waits: impl FnOnce(),
    ) -> Result<Self, Cancelled> {
        // One file has several names.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let shared = lock(&FILES).entry(path.clone()).or_default().clone();
        let guard = match shared.turn.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => {
                waits();
                or_cancelled(cancel, shared.turn.clone().lock_owned()).await?
            }
        };
        Ok(Self { path, shared, _guard: guard })
    }

    /// Whether an earlier turn found out `fact`, and the file is as it was then.
    pub fn knows(&self, fact: &str) -> bool {
        let found = lock(&self.shared.found).get(fact).copied();
        found.is_some() && found == self.stamp()
    }

    /// How the file is now, if it is there.
    pub fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    /// Tells those that come later that `fact` is so, as long as the file is as it was at `stamp`.
    pub fn learn(&self, fact: &str, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            lock(&self.shared.found).insert(fact.to_owned(), stamp);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_turn_found_out_holds_for_the_next_until_the_file_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cancel = CancellationToken::new();
        let turn = || Turn::with(file.path(), &cancel, || {});
        let first = turn().await.unwrap();
        assert!(!first.knows("its checksum"));
        first.learn("its checksum", first.stamp());
        let second = tokio::spawn({
            let (path, cancel) = (file.path().to_owned(), cancel.clone());
            async move { Turn::with(&path, &cancel, || {}).await.unwrap().knows("its checksum") }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "it is the first one's turn");
        drop(first);
        assert!(second.await.unwrap());
        std::fs::write(file.path(), "another").unwrap();
        assert!(!turn().await.unwrap().knows("its checksum"));
    }
}
