//! A machine that an earlier run has kept: a directory beside the output, which only we may look into,
//! with its disks, and a record of what was done on it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::builder::directories::remove_directory;
use crate::builder::keep;
use crate::component::BuildContext;
use crate::fingerprint::MadeFrom;
use crate::peer;
use crate::step::Step;
use crate::whole_file::beside;

/// The directory, within the output, that becomes the kept machine, or was one.
pub(super) const INSIDE: &str = "imgbake-kept";
/// The files in there beside disks and UEFI variables.
pub(super) const RECORD: &str = "record.json";
pub(super) const KEY: &str = "ssh-key";
pub(super) const CD: &str = "cd.iso";
pub(super) const FLOPPY: &str = "floppy.img";

/// How this version writes the record.
const VERSION: u32 = 1;
/// How large a record may be.
const LARGEST: u64 = 16 << 20;

/// Where the machine of a build is kept whose image goes into `output`.
pub(super) fn path(output: &Path) -> PathBuf {
    beside(output, ".kept")
}

/// What is known of a machine that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// How long it stays, in seconds since 1970.
    until: i64,
    /// What its memory is of use to.
    pub runs_on: String,
    /// The address of its network card, where it is found by that.
    pub mac: Option<String>,
    /// The states in which it can go on, the first one first.
    pub points: Vec<Point>,
}

/// A state in which a machine can go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// How many provisioners have done their work.
    pub done: usize,
    /// Which build it is of, and all that it is made from.
    pub made_from: MadeFrom,
}

impl Record {
    pub fn new(until: Timestamp, runs_on: String, mac: Option<String>, points: Vec<Point>) -> Self {
        Self { version: VERSION, until: until.as_second(), runs_on, mac, points }
    }

    /// The record of the machine that is kept at `path` for `build`; `None` if nothing is there.
    ///
    /// # Errors
    /// If what is there is none.
    pub fn read(path: &Path, build: &str) -> anyhow::Result<Option<Self>> {
        let facts = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            facts => facts?,
        };
        ensure!(facts.is_dir(), "it is no directory");
        let is_private = facts.mode() & 0o077 == 0;
        let is_own = facts.uid() == rustix::process::geteuid().as_raw();
        ensure!(is_own && is_private, "others may have changed it");
        let text = peer::read_regular_text(&path.join(RECORD), LARGEST);
        let text = text.context("it has no record of a machine")?;
        let read: Self = serde_json::from_str(&text).context("its record cannot be read")?;
        ensure!(read.version == VERSION, "another version of imgbake has kept it");
        let of_build = read.points.iter().all(|point| point.made_from.build == build);
        ensure!(of_build && !read.points.is_empty(), "it is of another build");
        Ok(Some(read))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now.as_second()
    }
}

/// A machine to go on with.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Where it is.
    pub path: PathBuf,
    pub record: Record,
    /// How many provisioners have done their work in the state to go on from.
    pub done: usize,
}

/// Looks for a machine on which all is done as this run would do it.
pub(super) struct FindKept {
    pub path: PathBuf,
    /// What this run starts from.
    pub source: String,
    /// Where its machine runs.
    pub runs_on: String,
}

impl FindKept {
    /// The machine, or why there is none to go on with.
    async fn look(&self, cx: &BuildContext) -> Result<Option<Kept>, String> {
        let shown = self.path.display();
        let read = Record::read(&self.path, &cx.facts.unique_name);
        let Some(record) = read.map_err(|why| format!("{shown} is left alone: {why:#}"))? else {
            return Ok(None);
        };
        if record.is_over(Timestamp::now() + keep::LEAST) {
            let removed = remove_directory(&self.path).await;
            removed.map_err(|error| format!("{error:#}"))?;
            return Err(format!("the time of {shown} was over, and it is gone"));
        }
        if record.runs_on != self.runs_on {
            let (then, now) = (&record.runs_on, &self.runs_on);
            return Err(format!("{shown} ran under {then}, and this is {now}"));
        }
        self.best(cx, record).await.map(Some)
    }

    /// The last state before anything that has changed.
    async fn best(&self, cx: &BuildContext, record: Record) -> Result<Kept, String> {
        let mut changed = None;
        for point in record.points.iter().rev() {
            let now = cx.fingerprint.record_before(point.done).await;
            let why = match now {
                Ok(now) => match point.made_from.changes(&now.with_source(&self.source)) {
                    Some(changes) => format!("{changes} changed since then"),
                    None => {
                        let done = point.done;
                        if let Some(why) = changed {
                            cx.ui.say(format!("Going back to checkpoint {done}: {why}"));
                        }
                        return Ok(Kept { path: self.path.clone(), record, done });
                    }
                },
                Err(error) => format!("{error:#}"),
            };
            changed.get_or_insert(why);
        }
        let why = changed.unwrap_or_default();
        Err(format!("{} was kept, but {why}", self.path.display()))
    }
}

#[async_trait]
impl Step for FindKept {
    type Output = Option<Kept>;

    fn name(&self) -> &'static str {
        "look for a machine to go on with"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Kept>> {
        let found = self.look(cx).await;
        Ok(found.unwrap_or_else(|why| {
            cx.ui.say(format!("A clean start: {why}"));
            None
        }))
    }
}

/// Where a machine runs, as far as its memory is of use only there.
pub(super) fn runs_on(accelerator: &str) -> String {
    let cpu = || {
        let text = peer::read_regular_text(Path::new("/proc/cpuinfo"), LARGEST).ok()?;
        let model = text.lines().find(|line| line.starts_with("model name"))?;
        Some(model.split_once(':')?.1.trim().to_owned())
    };
    match Some(accelerator).filter(|name| *name != "tcg").and_then(|_| cpu()) {
        Some(cpu) => format!("{accelerator} on {cpu}"),
        None => accelerator.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_this_build_has_kept_is_taken_for_its_machine() {
        let dir = tempfile::tempdir().unwrap();
        let kept = path(&dir.path().join("out"));
        assert_eq!(Record::read(&kept, "web").unwrap(), None);
        std::fs::create_dir(&kept).unwrap();
        let chmod = |mode| {
            std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let why = |build: &str| Record::read(&kept, build).unwrap_err().to_string();
        chmod(0o755);
        assert_eq!(why("web"), "others may have changed it");
        chmod(0o700);
        assert_eq!(why("web"), "it has no record of a machine");
        std::fs::write(kept.join(RECORD), "{}").unwrap();
        assert_eq!(why("web"), "its record cannot be read");
        let made_from = MadeFrom { build: "web".to_owned(), ..MadeFrom::default() };
        let until = Timestamp::from_second(1000).unwrap();
        let points = vec![Point { done: 2, made_from }];
        let record = Record::new(until, "tcg".to_owned(), None, points);
        std::fs::write(kept.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(Record::read(&kept, "web").unwrap(), Some(record.clone()));
        assert_eq!(why("db"), "it is of another build");
        assert!(record.is_over(until) && !record.is_over(until - keep::LEAST));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        assert!(Record::read(&link, "web").is_err());
    }
}
