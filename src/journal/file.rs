//! A journal on disk: JSON lines that are only ever appended, the first of which says the version.
//!
//! The run that writes a file holds its lock; the kernel lets go of it however the run ends. A last
//! line that was torn by the end counts as not written: it belongs to a call that was never made.

use std::fs::{DirBuilder, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::thing::Thing;
use crate::peer;

/// What the lines mean. A later version may add to it; another number is not ours to read.
const VERSION: u32 = 1;

/// How much a journal may say: a build writes some kilobytes.
const LARGEST: u64 = 64 << 20;

/// The longest id that anything has.
const LONGEST_ID: usize = 1024;

/// How journals are called: `RUN.jsonl`.
pub(super) const EXTENSION: &str = "jsonl";

/// Where a journal goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub dir: PathBuf,
    pub run: String,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The first line.
    Imgbake { journal: u32 },
    /// A thing is about to be made.
    Intent { entry: u64, build: String, thing: Arc<Thing> },
    /// It was made, and this is its id.
    Made { entry: u64, id: String },
    /// It is not there any more, or never came to be.
    Gone { entry: u64 },
    /// These are finished products: from now on nobody removes them without being told to.
    Finished { entries: Vec<u64> },
    /// The build that made these ended well.
    Done { entries: Vec<u64> },
    /// These were left on purpose: `-on-error=abort`.
    Kept { entries: Vec<u64> },
    /// It stays until this second since 1970, for a later run to go on with: `-keep-failed`.
    KeptUntil { entry: u64, until: i64 },
}

/// A file that this process holds.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    file: Arc<File>,
    path: Arc<PathBuf>,
    /// Where the whole lines end, if a torn one follows that nobody has cut off yet.
    torn_at: Arc<Mutex<Option<u64>>>,
}

impl Writer {
    /// A new file. It gets its name only when it is locked: a file with a name and without a lock
    /// is of a dead run.
    pub fn create(place: &Place) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&place.dir)?;
        let file = tempfile::Builder::new().prefix(".new-").tempfile_in(&place.dir)?;
        file.as_file().lock()?;
        let path = place.dir.join(format!("{}.{EXTENSION}", place.run));
        let file = file.persist_noclobber(&path).map_err(|error| error.error)?;
        // The name, too, is on the disk before anything is made.
        rustix::fs::open(&place.dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .and_then(rustix::fs::fsync)?;
        let writer = Self { file: Arc::new(file), path: Arc::new(path), torn_at: Arc::default() };
        writer.append(&[Record::Imgbake { journal: VERSION }])?;
        Ok(writer)
    }

    /// The file of a dead run and what it says; `None` while somebody holds it. Nothing is written
    /// to it before there is something to append.
    pub fn take_over(path: &Path) -> io::Result<Option<(Self, Vec<Record>)>> {
        let file = peer::open_own(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let text = peer::read_at_most(&file, LARGEST)?;
        let (records, whole) = read(&text)?;
        let torn_at = (whole < text.len() || whole == 0).then_some(whole as u64);
        let (file, path) = (Arc::new(file), Arc::new(path.to_owned()));
        Ok(Some((Self { file, path, torn_at: Arc::new(Mutex::new(torn_at)) }, records)))
    }

    /// When something was written last.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Cuts off the line that was torn by the end of its run, be it the first.
    fn mend(&self) -> io::Result<()> {
        let torn_at = self.torn_at.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(whole) = torn_at {
            self.file.set_len(whole)?;
            (&*self.file).seek(SeekFrom::End(0))?;
        }
        match torn_at {
            Some(0) => (&*self.file).write_all(HEADER),
            _ => Ok(()),
        }
    }

    /// Appends `records` in one write.
    pub fn append(&self, records: &[Record]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        self.mend()?;
        (&*self.file).write_all(&text)
    }

    /// Waits until all that was appended is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Nothing needs the file any more.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&*self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a journal stays");
        }
    }
}

/// What the file at `path` says so far, whoever holds it.
pub(super) fn read_all(path: &Path) -> io::Result<Vec<Record>> {
    Ok(read(&peer::read_at_most(&peer::open_own(path)?, LARGEST)?)?.0)
}

/// The whole lines of `text`, and how many bytes they are.
pub(super) fn read(text: &[u8]) -> io::Result<(Vec<Record>, usize)> {
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = text[..whole].split_inclusive(|&byte| byte == b'\n').enumerate();
    match lines.next() {
        Some((_, first)) => check_header(first)?,
        None if HEADER.starts_with(text) => {}
        None => return Err(wrong(0, "this is no journal")),
    }
    let records = lines.map(|(at, line)| record(line).map_err(|error| wrong(at, error)));
    Ok((records.collect::<io::Result<_>>()?, whole))
}

/// How the first line is written.
const HEADER: &[u8] = b"{\"imgbake\":{\"journal\":1}}\n";

fn check_header(line: &[u8]) -> io::Result<()> {
    match serde_json::from_slice(line) {
        Ok(Record::Imgbake { journal: VERSION }) => Ok(()),
        Ok(Record::Imgbake { journal }) => {
            Err(wrong(0, format!("it is of version {journal}; use a newer imgbake")))
        }
        _ => Err(wrong(0, "this is no journal")),
    }
}

/// A line after the first.
fn record(line: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match &record {
        Record::Imgbake { .. } => Err("it begins anew".to_owned()),
        Record::Made { id, .. } if !is_id(id) => Err("this is no id".to_owned()),
        _ => Ok(record),
    }
}

/// Whether anything could be called so.
fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && !text.contains(char::is_control)
}

fn wrong(at: usize, cause: impl std::fmt::Display) -> io::Error {
    let text = format!("line {} cannot be understood: {cause}", at + 1);
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_as_it_is_looked_for() {
        let mut line = serde_json::to_vec(&Record::Imgbake { journal: VERSION }).unwrap();
        line.push(b'\n');
        assert_eq!(line, HEADER);
    }
}
