//! Directories that builds make on this machine, and who removes them after runs that died.
//!
//! A path may be taken by somebody else since. So the journal knows a directory by what no other one
//! has, wherever it is called so: its file system, its number there, and when it was made.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::component::{CleanupContext, OneByOne};
use crate::journal::{Entry, Thing};

/// What the journal says of a directory.
#[derive(Serialize, Deserialize)]
struct Details {
    directory: PathBuf,
}

/// The directory that will be at `path`, of which people say that it is a `kind`.
pub(super) fn thing(kind: &str, path: &Path) -> io::Result<Thing> {
    let absolute = std::path::absolute(path)?;
    let details = json!(Details { directory: absolute });
    Ok(Thing::new(kind, path.display().to_string()).shown_by_name().with_details(details))
}

/// What the directory at `path` is known by.
pub(super) fn identity(path: &Path) -> io::Result<String> {
    let facts = path.symlink_metadata()?;
    if !facts.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no directory"));
    }
    // Not all file systems know that.
    let made = facts.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    let made = made.unwrap_or_default().as_nanos();
    Ok(format!("{}-{}-{made}", facts.dev(), facts.ino()))
}

/// Removes a directory and all that is in it, if it is there.
pub(super) async fn remove_directory(path: &Path) -> anyhow::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Where `thing` is, if it is there still. One whose making went unanswered can only be empty.
fn find(thing: &Thing) -> anyhow::Result<Option<PathBuf>> {
    let details = thing.details().cloned().unwrap_or_default();
    let Details { directory } = Details::deserialize(details)
        .with_context(|| format!("{thing} is nothing that this version knows"))?;
    ensure!(directory.is_absolute(), "{thing} is called as no build calls anything");
    let is_it = match (thing.id(), identity(&directory)) {
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => false,
        (_, Err(error)) if error.kind() == io::ErrorKind::NotADirectory => false,
        (_, Err(error)) => return Err(error.into()),
        (Some(known), Ok(found)) => known == found,
        (None, Ok(_)) => std::fs::read_dir(&directory)?.next().is_none(),
    };
    Ok(is_it.then_some(directory))
}

/// Removes the directories that dead runs have left. Those without a journal are not told from those of
/// people.
#[derive(Clone, Debug)]
pub struct DirectoryCleaner {
    /// What it works with.
    pub cx: CleanupContext,
}

#[async_trait]
impl OneByOne for DirectoryCleaner {
    type Found = PathBuf;

    fn context(&self) -> &CleanupContext {
        &self.cx
    }

    fn has(&self, thing: &Thing) -> bool {
        thing.details().is_some_and(|details| details.get("directory").is_some())
    }

    async fn find(&self, thing: &Thing) -> anyhow::Result<Option<PathBuf>> {
        find(thing)
    }

    fn describe(&self, thing: &Thing, _: &PathBuf) -> String {
        thing.in_full()
    }

    async fn remove(&self, _: &Entry, directory: PathBuf) -> anyhow::Result<()> {
        remove_directory(&directory).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_earlier_version_is_understood_and_written_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let line = json!({ "directory": path });
        assert_eq!(thing("the output directory", &path).unwrap().details(), Some(&line));
        std::fs::create_dir(&path).unwrap();
        let read = Thing::new("the output directory", "out").with_details(line);
        assert_eq!(find(&read).unwrap(), Some(path));
    }

    #[test]
    fn only_the_directory_that_was_made_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::create_dir(&path).unwrap();
        let made = thing("the directory", &path).unwrap().known_as(identity(&path).unwrap());
        std::fs::write(path.join("disk"), "").unwrap();
        assert_eq!(find(&made).unwrap(), Some(path.clone()));
        // Nobody knows whether it was made: what is in there is not ours.
        let unknown = thing("the directory", &path).unwrap();
        assert_eq!(find(&unknown).unwrap(), None);
        // Somebody else's is there now, even where a file system gives its number again.
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(find(&made).unwrap(), None);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("diary"), "").unwrap();
        assert_eq!(find(&made).unwrap(), None);
        let elsewhere = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &elsewhere).unwrap();
        let linked = thing("the directory", &elsewhere).unwrap();
        let linked = linked.known_as(identity(&path).unwrap());
        assert_eq!(find(&linked).unwrap(), None);
    }
}
