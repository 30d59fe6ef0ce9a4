//! Disk images, through `qemu-img`. It is told the format of each: it would guess, and a guest that
//! writes the header of another format to its raw disk could have it open any file of this machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::vm::{escaped, tool};

/// `qemu-img`, until the run is interrupted.
#[derive(Clone, Debug)]
pub struct QemuImg {
    cancel: CancellationToken,
}

impl QemuImg {
    /// Stops when `cancel` fires.
    pub fn new(cancel: &CancellationToken) -> Self {
        Self { cancel: cancel.clone() }
    }

    async fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut command = Command::new("qemu-img");
        command.args(args);
        Ok(tool::run(&self.cancel, command).await?.stdout)
    }

    /// Makes an empty disk of `size`, e.g. `40960M`.
    pub async fn create(
        &self,
        path: &Path,
        format: &str,
        size: &str,
        extra: &[String],
    ) -> anyhow::Result<()> {
        let mut args = words(&["create", "-q", "-f", format]);
        args.extend_from_slice(extra);
        args.extend([text(path), size.to_owned()]);
        let made = self.run(args).await;
        made.map(drop).with_context(|| format!("cannot create the disk {}", path.display()))
    }

    /// Makes a disk that shows `base` and keeps only what is written to it.
    pub async fn overlay(
        &self,
        path: &Path,
        (base, base_format): (&Path, &str),
        extra: &[String],
    ) -> anyhow::Result<()> {
        let base = std::path::absolute(base)?;
        let mut args = words(&["create", "-q", "-f", "qcow2", "-F", base_format, "-b"]);
        args.push(text(&base));
        args.extend_from_slice(extra);
        args.push(text(path));
        let made = self.run(args).await;
        made.map(drop).with_context(|| format!("cannot create the disk {}", path.display()))
    }

    /// Writes all that `from` shows to a new image at `to`, without what it does not use.
    pub async fn convert(
        &self,
        (from, from_format): (&Path, &str),
        (to, format): (&Path, &str),
        extra: &[String],
    ) -> anyhow::Result<()> {
        let mut args = words(&["convert", "-f", from_format, "-O", format]);
        args.extend_from_slice(extra);
        args.extend([text(from), text(to)]);
        let done = self.run(args).await;
        done.map(drop).with_context(|| {
            format!("cannot convert the disk {} to {}", from.display(), to.display())
        })
    }

    /// Has the qcow2 disk `path` show `base` where nothing is written to it, whatever it says itself.
    pub async fn set_base(
        &self,
        path: &Path,
        (base, base_format): (&Path, &str),
    ) -> anyhow::Result<()> {
        let base = std::path::absolute(base)?;
        let mut args = words(&["rebase", "-q", "-u", "-f", "qcow2", "-F", base_format, "-b"]);
        args.extend([text(&base), text(path)]);
        let done = self.run(args).await;
        done.map(drop).with_context(|| format!("cannot change the disk {}", path.display()))
    }

    /// The names of the machine's states that the qcow2 disk `path` holds.
    pub async fn states(&self, path: &Path) -> anyhow::Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            snapshots: Vec<State>,
        }
        #[derive(Deserialize)]
        struct State {
            name: String,
        }
        let mut args = words(&["info", "--output=json", "-f", "qcow2"]);
        args.push(text(path));
        let read = self.run(args).await;
        let read = read.and_then(|printed| Ok(serde_json::from_slice::<Info>(&printed)?));
        let read = read.with_context(|| format!("cannot read the disk {}", path.display()))?;
        Ok(read.snapshots.into_iter().map(|state| state.name).collect())
    }

    /// Takes the state `name` out of the qcow2 disk `path`.
    pub async fn forget_state(&self, path: &Path, name: &str) -> anyhow::Result<()> {
        let disk = format!(
            "driver=qcow2,file.driver=file,file.filename={}",
            escaped(&path.to_string_lossy())
        );
        let done = self.run(["snapshot", "-q", "-d", name, "--image-opts", &disk]).await;
        done.map(drop).with_context(|| format!("cannot change the disk {}", path.display()))
    }

    /// Gives the guest a disk of `size`.
    pub async fn resize(
        &self,
        path: &Path,
        format: &str,
        size: &str,
        extra: &[String],
    ) -> anyhow::Result<()> {
        let mut args = words(&["resize", "-q", "-f", format]);
        args.extend_from_slice(extra);
        args.extend([text(path), size.to_owned()]);
        let done = self.run(args).await;
        done.map(drop)
            .with_context(|| format!("cannot resize the disk {} to {size}", path.display()))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// `path` so that QEMU takes it for one: `nbd:x` and `json:…` alone mean something else to it.
pub fn text(path: &Path) -> String {
    let text = path.to_string_lossy();
    if path.is_absolute() { text.into_owned() } else { format!("./{text}") }
}

/// Copies the image `from` as it is, sharing its blocks where the file system can.
pub async fn copy(from: PathBuf, to: PathBuf) -> anyhow::Result<()> {
    let context = format!("cannot copy {} to {}", from.display(), to.display());
    // Lets the kernel copy: without a detour through here, and not at all on btrfs and XFS.
    tokio::fs::copy(from, to).await.map(drop).context(context)
}

/// A disk size as templates write it: bytes with `b`, else `k`, `m`, `g`, `t`; bare numbers are MiB.
pub fn parse_size(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let _: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "" => Some(format!("{digits}M")),
        unit if unit.len() == 1 && "bBkKmMgGtT".contains(unit) => {
            Some(text.trim_end_matches(['b', 'B']).to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_templates_write_them() {
        for (written, meant) in [
            ("40960", Some("40960M")),
            ("8g", Some("8g")),
            ("512b", Some("512")),
            ("5T", Some("5T")),
            ("huge", None),
            ("10GB", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse_size(written).as_deref(), meant, "{written}");
        }
    }
}
