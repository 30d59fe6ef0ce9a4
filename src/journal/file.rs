//! A journal on disk: JSON lines that are only ever appended, the first of which says the version.
//!
//! The run that writes a file holds its lock; the kernel lets go of it however the run ends. A last
//! line that was torn by the end counts as not written: it belongs to a call that was never made.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Thing;

/// What the lines mean. A later version may add to it; another number is not ours to read.
const VERSION: u32 = 1;

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
    /// The build that made these ended well.
    Done { entries: Vec<u64> },
    /// These were left on purpose: `-on-error=abort`.
    Kept { entries: Vec<u64> },
}

/// A file that this process holds.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    file: Arc<File>,
    path: Arc<PathBuf>,
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
        File::open(&place.dir)?.sync_all()?;
        let writer = Self { file: Arc::new(file), path: Arc::new(path) };
        writer.append(&[Record::Imgbake { journal: VERSION }])?;
        Ok(writer)
    }

    /// The file of a dead run and what it says; `None` while somebody holds it.
    pub fn take_over(path: &Path) -> io::Result<Option<(Self, Vec<Record>)>> {
        let mut file = File::options().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (records, whole) = read(&text)?;
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Some((Self { file: Arc::new(file), path: Arc::new(path.to_owned()) }, records)))
    }

    /// Appends `records` in one write.
    pub fn append(&self, records: &[Record]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
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
    Ok(read(&std::fs::read(path)?)?.0)
}

/// The whole lines of `text`, and how many bytes they are.
fn read(text: &[u8]) -> io::Result<(Vec<Record>, usize)> {
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut records = Vec::new();
    for (at, line) in text[..whole].split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let wrong = |cause: String| {
            let text = format!("line {} cannot be understood: {cause}", at + 1);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        match serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))? {
            Record::Imgbake { journal } if journal == VERSION => {}
            Record::Imgbake { journal } => {
                return Err(wrong(format!("it is of version {journal}; use a newer imgbake")));
            }
            record => records.push(record),
        }
    }
    Ok((records, whole))
}
