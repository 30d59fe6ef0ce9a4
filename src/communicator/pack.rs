//! Files of this host as an archive for a machine.

use std::io::{BufWriter, Read as _, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::local::Entry;
use crate::peer;

/// How much is written at a time.
const CHUNK: usize = 256 * 1024;

/// Whom the files of an archive belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u64,
    pub(super) group: u64,
}

impl Owner {
    /// Who rules a machine.
    pub(super) const ROOT: Self = Self { user: 0, group: 0 };
}

/// An archive that is being written. Everything in it is new.
pub(super) struct Packer<W: Write> {
    archive: tar::Builder<BufWriter<W>>,
    owner: Owner,
    now: u64,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(to: W, owner: Owner) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let archive = tar::Builder::new(BufWriter::with_capacity(CHUNK, to));
        Self { archive, owner, now }
    }

    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.now);
        header.set_uid(self.owner.user);
        header.set_gid(self.owner.group);
        header
    }

    /// Adds the directory `name`.
    pub(super) fn directory(&mut self, name: &Path, mode: u32) -> anyhow::Result<()> {
        let mut header = self.header(tar::EntryType::Directory, mode, 0);
        Ok(self.archive.append_data(&mut header, name, std::io::empty())?)
    }

    /// Adds the file `name` with what `entry` holds.
    pub(super) fn file(&mut self, name: &Path, entry: &Entry) -> anyhow::Result<()> {
        let read = || format!("cannot read {}", entry.path.display());
        let file = peer::open_regular(&entry.path).with_context(read)?;
        let mut header = self.header(tar::EntryType::Regular, entry.mode, entry.size);
        // A file that shrinks or grows meanwhile must not break the archive.
        let content = file.chain(std::io::repeat(0)).take(entry.size);
        self.archive.append_data(&mut header, name, content).with_context(read)
    }

    /// Adds the file `name` with a text.
    #[cfg(feature = "docker")]
    pub(super) fn text(&mut self, name: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
        let mut header = self.header(tar::EntryType::Regular, mode, content.len() as u64);
        Ok(self.archive.append_data(&mut header, name, content)?)
    }

    /// Ends the archive; what it was written to.
    pub(super) fn finish(self) -> anyhow::Result<W> {
        let to = self.archive.into_inner()?;
        to.into_inner().map_err(|error| error.into_error().into())
    }
}
