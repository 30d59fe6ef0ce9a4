//! Many files in one: tar and zip.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;

use crate::peer;
use crate::post_processor::Stoppable;

/// One file of an archive.
pub(crate) struct Entry {
    /// Its name there.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) source: Source,
}

/// Where the content of an entry comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, with its permissions and times.
    File(PathBuf),
    /// A text made here.
    Text(String),
    /// Some of a file: what an archive that is not compressed has of one of its files.
    Part(Part),
}

/// Some of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where the part begins.
    pub(crate) start: u64,
    /// How long it is.
    pub(crate) length: u64,
    /// When it was modified, in seconds since 1970.
    pub(crate) modified: u64,
}

impl Part {
    /// The part, to be read.
    pub(crate) fn open(&self) -> anyhow::Result<impl Read + use<>> {
        let (mut file, _) = open(&self.path)?;
        file.seek(SeekFrom::Start(self.start))
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(file.take(self.length))
    }
}

/// Writes `entries` to `out` as a GNU tar archive.
pub(crate) fn tar<W: Write>(
    entries: &[Entry],
    out: W,
    cancel: &CancellationToken,
) -> anyhow::Result<W> {
    let mut archive = tar::Builder::new(out);
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        match &entry.source {
            Source::Text(text) => {
                header.set_size(text.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
                archive.append_data(&mut header, &entry.name, text.as_bytes())?;
            }
            Source::File(path) => {
                let (file, found) = open(path)?;
                header.set_metadata(&found);
                let mut content = Stoppable::new(file.take(found.len()), cancel);
                archive
                    .append_data(&mut header, &entry.name, &mut content)
                    .with_context(|| format!("cannot pack {}", path.display()))?;
                ensure!(content.count == found.len(), "{} shrank meanwhile", path.display());
            }
            Source::Part(part) => {
                header.set_size(part.length);
                header.set_mode(0o644);
                header.set_mtime(part.modified);
                let mut content = Stoppable::new(part.open()?, cancel);
                archive
                    .append_data(&mut header, &entry.name, &mut content)
                    .with_context(|| format!("cannot pack {}", entry.name))?;
                ensure!(content.count == part.length, "{} is cut short", part.path.display());
            }
        }
    }
    archive.into_inner().context("cannot end the archive")
}

/// Writes `entries` to `out` as a zip archive.
pub(crate) fn zip<W: Write + Seek>(
    entries: &[Entry],
    out: W,
    level: Option<u32>,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let mut archive = zip::ZipWriter::new(out);
    for entry in entries {
        let options = SimpleFileOptions::default().compression_level(level.map(i64::from));
        match &entry.source {
            Source::Text(text) => {
                archive.start_file(&entry.name, options)?;
                archive.write_all(text.as_bytes())?;
            }
            Source::File(path) => {
                let (file, found) = open(path)?;
                archive.start_file(&entry.name, file_options(options, &found))?;
                io::copy(&mut Stoppable::new(file, cancel), &mut archive)
                    .with_context(|| format!("cannot pack {}", path.display()))?;
            }
            Source::Part(part) => {
                archive.start_file(&entry.name, options)?;
                io::copy(&mut Stoppable::new(part.open()?, cancel), &mut archive)
                    .with_context(|| format!("cannot pack {}", entry.name))?;
            }
        }
    }
    archive.finish().context("cannot end the archive")?;
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<(File, fs::Metadata)> {
    let context = || format!("cannot read {}", path.display());
    let file = peer::open_regular(path).with_context(context)?;
    let found = file.metadata().with_context(context)?;
    Ok((file, found))
}

/// The permissions and the time of a file, as zip writes them.
fn file_options(options: SimpleFileOptions, found: &fs::Metadata) -> SimpleFileOptions {
    use std::os::unix::fs::MetadataExt as _;
    let options = options
        .unix_permissions(found.mode() & 0o777)
        .large_file(found.len() >= u64::from(u32::MAX));
    let modified = Timestamp::from_second(found.mtime()).unwrap_or_default();
    let modified = modified.to_zoned(jiff::tz::TimeZone::UTC);
    let small = |value: i8| u8::try_from(value).unwrap_or(0);
    let time = zip::DateTime::from_date_and_time(
        u16::try_from(modified.year()).unwrap_or(0),
        small(modified.month()),
        small(modified.day()),
        small(modified.hour()),
        small(modified.minute()),
        small(modified.second()),
    );
    // Zip knows no times before 1980; such a file gets the default.
    time.map_or(options, |time| options.last_modified_time(time))
}
