//! The record of an image that is files: it stands in a file beside them, and tells of them by which
//! it is held against them. So it says nothing of other files, or of a part of them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::made_from::MadeFrom;
use super::record::Record;
use crate::peer;
use crate::whole_file::{self, directory_of};

/// How large such a file may be: each of ten thousand parts has 13 characters.
const LARGEST: u64 = 4 << 20;
const MOST_PARTS: usize = 2 << 20;

/// What stands beside an image of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFile {
    /// Which build made the image, and from what.
    #[serde(flatten)]
    pub made_from: MadeFrom,
    /// When, in seconds since 1970.
    made_at: i64,
    /// What the builder knows of it besides.
    #[serde(default)]
    pub note: String,
    files: Vec<ListedFile>,
}

/// What it tells of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedFile {
    /// Seen from the record.
    name: PathBuf,
    size: u64,
    sha256: String,
    /// The file as this machine knew it then: while that is the same, nobody has written to it, and
    /// it need not be read.
    seen: Seen,
}

/// What a file system says of a file that changes with it, and that nobody can set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Seen {
    fn of(facts: &fs::Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

impl ListedFile {
    /// Reads `path`, which is `name` seen from the record, once all of it is on its disk.
    fn of(path: &Path, name: PathBuf) -> io::Result<Self> {
        let mut file = peer::open_regular(path)?;
        file.sync_all()?;
        let before = Seen::of(&file.metadata()?);
        let (size, sha256) = digest(&mut file)?;
        let seen = Seen::of(&file.metadata()?);
        match before == seen {
            true => Ok(Self { name, size, sha256, seen }),
            false => Err(io::Error::other("somebody writes to it")),
        }
    }

    /// Whether `path` is that file.
    fn is(&self, path: &Path) -> io::Result<bool> {
        let mut file = peer::open_regular(path)?;
        let facts = file.metadata()?;
        if facts.len() != self.size {
            return Ok(false);
        }
        Ok(Seen::of(&facts) == self.seen || digest(&mut file)?.1 == self.sha256)
    }
}

fn digest(file: &mut File) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let size = io::copy(file, &mut digest)?;
    Ok((size, hex::encode(digest.finalize())))
}

impl RecordFile {
    /// Writes, into the file `path`, that `files` are an image of `build` that is made from `record`
    /// now. They are below the directory of `path`. It appears as a whole, and after the image.
    ///
    /// # Errors
    /// When a file cannot be read, or the record not be written.
    pub fn write(
        path: &Path,
        (build, record): (&str, &Record),
        files: &[PathBuf],
        note: &str,
    ) -> anyhow::Result<Self> {
        let directory = directory_of(path);
        let told = files.iter().map(|file| {
            let name = file.strip_prefix(directory).unwrap_or(file).to_owned();
            ListedFile::of(file, name).with_context(|| format!("cannot read {}", file.display()))
        });
        let beside = Self {
            made_from: MadeFrom::new(build, record, MOST_PARTS),
            made_at: Timestamp::now().as_second(),
            note: note.to_owned(),
            files: told.collect::<Result<_, _>>()?,
        };
        let write = || format!("cannot write {}", path.display());
        let text = serde_json::to_vec_pretty(&beside)?;
        whole_file::write(path, 0o644, &text).with_context(write)?;
        Ok(beside)
    }

    /// The record in the file `path`; `None` if it is not there.
    ///
    /// # Errors
    /// When it is no record of ours.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match peer::read_regular_text(path, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let read: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no record of an image", path.display()))?;
        ensure!(!read.files.is_empty(), "{} tells of no file", path.display());
        for file in &read.files {
            let named = peer::relative_path(&file.name);
            named.with_context(|| format!("{} is no record of an image", path.display()))?;
        }
        Ok(Some(read))
    }

    /// The files of the image, if this record at `path` tells of them: each is there and unchanged.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn files(&self, path: &Path) -> Result<Vec<PathBuf>, String> {
        let files = self.files.iter().map(|told| {
            let file = directory_of(path).join(&told.name);
            match told.is(&file) {
                Ok(true) => Ok(file),
                Ok(false) => Err(format!("{} is not as it was made", file.display())),
                Err(error) => Err(format!("{}: {error}", file.display())),
            }
        });
        files.collect()
    }

    /// The names of its files, seen from the record, and their sizes.
    pub fn told(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.files.iter().map(|told| (told.name.as_path(), told.size))
    }

    /// When the image was made.
    pub fn made_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.made_at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Kind;

    fn record() -> Record {
        Record::new([(Kind::Option, "a".to_owned(), "0123456789".to_owned())])
    }

    fn written() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (image, path) = (dir.path().join("disk"), dir.path().join("record.json"));
        fs::write(&image, "image").unwrap();
        RecordFile::write(&path, ("web", &record()), std::slice::from_ref(&image), "n").unwrap();
        (dir, image, path)
    }

    fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
        RecordFile::read(path).unwrap().unwrap().files(path)
    }

    #[test]
    fn a_record_tells_of_its_image_wherever_that_is() {
        let (dir, image, path) = written();
        let read = RecordFile::read(&path).unwrap().unwrap();
        assert_eq!((read.made_from.build.as_str(), read.note.as_str()), ("web", "n"));
        assert_eq!(read.made_from.changes(&record()), None);
        assert_eq!(files(&path), Ok(vec![image.clone()]));
        // A copy is another file to this machine, and the same image.
        let copy = tempfile::tempdir().unwrap();
        for name in ["disk", "record.json"] {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        assert_eq!(files(&copy.path().join("record.json")), Ok(vec![copy.path().join("disk")]));
        assert_eq!(RecordFile::read(&dir.path().join("none")).unwrap(), None);
    }

    #[test]
    fn another_image_is_not_taken_for_it() {
        let (_dir, image, path) = written();
        // Of the same size, and as old as before.
        let modified = fs::metadata(&image).unwrap().modified().unwrap();
        fs::write(&image, "omage").unwrap();
        File::options().write(true).open(&image).unwrap().set_modified(modified).unwrap();
        assert!(files(&path).unwrap_err().contains("is not as it was made"));
        fs::write(&image, "image and more").unwrap();
        assert!(files(&path).unwrap_err().contains("is not as it was made"));
        fs::remove_file(&image).unwrap();
        assert!(files(&path).is_err());
        std::os::unix::fs::symlink("/dev/zero", &image).unwrap();
        assert!(files(&path).is_err());
    }

    #[test]
    fn what_leads_elsewhere_or_is_no_record_is_refused() {
        let (_dir, _, path) = written();
        let text = fs::read_to_string(&path).unwrap();
        for name in ["/etc/passwd", "../disk", "a/../../disk"] {
            fs::write(&path, text.replace("\"disk\"", &format!("{name:?}"))).unwrap();
            assert!(RecordFile::read(&path).is_err(), "{name}");
        }
        let mut of_none: serde_json::Value = serde_json::from_str(&text).unwrap();
        of_none["files"] = serde_json::json!([]);
        for text in [of_none.to_string(), "{}".to_owned(), text[..text.len() / 2].to_owned()] {
            fs::write(&path, text).unwrap();
            assert!(RecordFile::read(&path).is_err());
        }
    }
}
