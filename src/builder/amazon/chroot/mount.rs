//! Mounts on this host, which outlive whoever made them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::Command;

use crate::component::{CleanupContext, OneByOne};
use crate::journal::{Entry, Thing};
use crate::peer;

/// A mount, as the journal says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where.
    pub path: PathBuf,
    /// Since which start of this host: another one knows nothing of it.
    pub boot: String,
}

/// What the kernel says of mounts, and of its start.
const MOUNTS: &str = "/proc/self/mountinfo";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// How much there is to read.
const LARGEST: u64 = 16 << 20;

impl Mount {
    /// One that is about to be made.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), boot: boot()? })
    }

    /// This for the journal.
    pub fn thing(&self) -> Thing {
        let name = self.path.display().to_string();
        Thing::new("mount", name).with_details(json!({ "mount": self }))
    }

    /// What the journal says of `thing`, if it is a mount.
    fn of(thing: &Thing) -> Option<Self> {
        Self::deserialize(thing.details()?.get("mount")?).ok()
    }

    /// Whether it is there.
    pub fn is_there(&self) -> io::Result<bool> {
        Ok(boot()? == self.boot && mounted()?.contains(&self.path))
    }
}

fn boot() -> io::Result<String> {
    Ok(read(BOOT)?.trim().to_owned())
}

fn read(path: &str) -> io::Result<String> {
    let bytes = peer::read_regular(Path::new(path), LARGEST)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn mounted() -> io::Result<BTreeSet<PathBuf>> {
    Ok(read(MOUNTS)?.lines().filter_map(place).collect())
}

/// Where a line of the kernel's list says that something is mounted.
fn place(line: &str) -> Option<PathBuf> {
    // Spaces, tabs, line ends and backslashes are written in octal.
    let escaped = line.split(' ').nth(4)?;
    let plain = escaped.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    Some(plain.replace("\\134", "\\").into())
}

/// Removes the mounts that dead builds have left on this host. The kernel does not say whose a mount is.
#[derive(Clone, Debug)]
pub struct MountCleaner {
    /// What it works with.
    pub cx: CleanupContext,
}

#[async_trait]
impl OneByOne for MountCleaner {
    type Found = Mount;

    fn context(&self) -> &CleanupContext {
        &self.cx
    }

    fn has(&self, thing: &Thing) -> bool {
        Mount::of(thing).is_some()
    }

    /// The last one first: one may be in another.
    fn in_order(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.reverse();
        entries
    }

    async fn find(&self, thing: &Thing) -> anyhow::Result<Option<Mount>> {
        let Some(mount) = Mount::of(thing) else { return Ok(None) };
        Ok(mount.is_there()?.then_some(mount))
    }

    async fn remove(&self, entry: &Entry, mount: Mount) -> anyhow::Result<()> {
        let path = mount.path.display();
        self.cx.ui.for_target(entry.build.as_str()).say(format!("Unmounting {path}"));
        let output = Command::new("umount").arg(&mount.path).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{path} cannot be unmounted: {}", said.trim());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_earlier_version_is_understood_and_written_as_it_was() {
        let line = json!({"mount": {"path": "/mnt/x", "boot": "c1"}});
        let read = Mount::of(&Thing::new("mount", "/mnt/x").with_details(line.clone())).unwrap();
        assert_eq!(read, Mount { path: "/mnt/x".into(), boot: "c1".to_owned() });
        assert_eq!(read.thing().details(), Some(&line));
    }

    #[test]
    fn the_kernels_list_says_where_something_is_mounted() {
        let line = "36 35 98:0 / /mnt/with\\040space rw,noatime shared:1 - ext4 /dev/root rw";
        assert_eq!(place(line), Some(PathBuf::from("/mnt/with space")));
        assert_eq!(place(""), None);
        assert!(mounted().unwrap().contains(Path::new("/")));
    }

    #[test]
    fn a_mount_of_another_start_of_the_host_is_not_there() {
        let here = Mount::at(Path::new("/")).unwrap();
        assert!(here.is_there().unwrap());
        assert!(!Mount { boot: "another".to_owned(), ..here.clone() }.is_there().unwrap());
        assert_eq!(Mount::of(&here.thing()), Some(here));
    }
}
