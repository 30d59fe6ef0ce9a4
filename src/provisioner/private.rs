//! The private directory of one run of a tool of this machine: keys, known hosts, secrets, and the sockets of `ssh`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use crate::env::Environment;
use crate::scratch::{self, Scratch};

/// Only we may look into it, and it goes with this value.
pub(super) struct Private(Scratch);

/// The name of its directory for the sockets of `ssh`.
const SOCKETS: &str = "s";
/// Where its directory is made if the usual places have paths that do not do.
const ELSE: &str = "/tmp";
/// How long a path a socket's directory may have: the system allows 108 bytes, and `ssh` needs 27.
const LONGEST: usize = 70;
/// How long an `ssh` in the background may take to end.
const GOODBYE: Duration = Duration::from_secs(3);

impl Private {
    /// A new one for `tool`. What killed runs have left of theirs is removed.
    pub(super) fn new(environment: &Environment, tool: &str) -> anyhow::Result<Self> {
        let parent = scratch::parent(environment).filter(|parent| is_plain(parent));
        if let Some(parent) = &parent {
            scratch::remove_dead(parent);
        }
        let context =
            |parent: &Path| format!("cannot make a private directory in {}", parent.display());
        if let Some(parent) = parent {
            let dir = Scratch::new(&parent, tool);
            return Ok(Self(dir.with_context(|| context(&parent))?));
        }
        let temporary = PathBuf::from(environment.get("TMPDIR").unwrap_or(ELSE));
        let temporary = if is_plain(&temporary) { temporary } else { ELSE.into() };
        let dir = Scratch::among_others(&temporary, tool);
        Ok(Self(dir.with_context(|| context(&temporary))?))
    }

    /// Writes a new file that only we may read.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.path().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where `ssh` keeps its sockets.
    pub(super) fn sockets(&self) -> PathBuf {
        self.0.path().join(SOCKETS)
    }

    /// Ends every `ssh` that stays in the background for the next task.
    pub(super) async fn hang_up(&self) {
        let Ok(sockets) = std::fs::read_dir(self.sockets()) else { return };
        let goodbyes = sockets.flatten().map(|socket| {
            let path = format!("ControlPath={}", socket.path().display());
            let mut ssh = Command::new("ssh");
            ssh.args(["-F", "none", "-O", "exit", "-o", &path, "imgbake"]).kill_on_drop(true);
            async move { ssh.stdin(Stdio::null()).output().await }
        });
        // One that has ended by itself needs no good-bye.
        let _ = tokio::time::timeout(GOODBYE, futures::future::join_all(goodbyes)).await;
    }
}

/// Whether a path below `parent` needs no quotes for `ssh`, and is short enough for a socket.
fn is_plain(parent: &Path) -> bool {
    parent.to_str().is_some_and(|text| {
        text.len() <= LONGEST - "/ansible-123456/s".len()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_ssh_could_not_use_is_not_used() {
        assert!(is_plain("/var/tmp".as_ref()));
        for unusable in ["/tmp/my files".to_owned(), format!("/tmp/{}", "x".repeat(60))] {
            assert!(!is_plain(unusable.as_ref()), "{unusable}");
        }
    }
}
