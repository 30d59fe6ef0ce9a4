//! Archives that machines send. A machine may be hostile: nothing is written but directories and
//! plain files below one directory, and a few bytes do not become many here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context as _;
use tar::{Entry, EntryType};

use crate::peer;

/// How many bytes may stand between the contents of two files: headers, with long names in them.
const HEADERS: u64 = 1024 * 1024;
/// How many files and directories one archive may have.
const ENTRIES: usize = 4_000_000;

/// Unpacks an archive into `to`, which exists.
pub fn unpack(from: impl Read, to: &Path) -> anyhow::Result<()> {
    let left = Rc::new(Cell::new(HEADERS));
    let mut archive = tar::Archive::new(Metered { from, left: left.clone() });
    let mut directories = BTreeMap::new();
    for (number, entry) in archive.entries()?.enumerate() {
        anyhow::ensure!(number < ENTRIES, "the archive has more than {ENTRIES} entries");
        left.set(u64::MAX);
        let mut entry = entry?;
        let path = to.join(peer::relative_path(&entry.path()?)?);
        let mode = entry.header().mode()? & 0o777;
        if entry.header().entry_type().is_dir() {
            std::fs::create_dir_all(&path)?;
            directories.insert(path, mode | 0o700);
        } else if unpack_file(&mut entry, to, &path)? {
            set_mode(&path, mode)?;
        }
        io::copy(&mut entry, &mut io::sink())?;
        left.set(HEADERS);
    }
    // Only now, or a directory that is not writable could not be filled.
    directories.iter().rev().try_for_each(|(path, mode)| set_mode(path, *mode))?;
    // What fills the last block must be read, or the machine's tar would fail.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// The same for a ZIP archive whose files were not compressed: none is larger than its archive.
pub fn unpack_zip(from: &std::fs::File, to: &Path) -> anyhow::Result<()> {
    let mut left = from.metadata()?.len();
    let mut archive = zip::ZipArchive::new(from)?;
    anyhow::ensure!(archive.len() < ENTRIES, "the archive has more than {ENTRIES} entries");
    std::fs::create_dir_all(to)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let path = to.join(peer::relative_path(Path::new(entry.name()))?);
        if entry.is_dir() {
            std::fs::create_dir_all(&path)?;
            continue;
        }
        let is_plain = entry.compression() == zip::CompressionMethod::Stored && !entry.encrypted();
        let rest = left.checked_sub(entry.size()).filter(|_| is_plain && !entry.is_symlink());
        left = rest.with_context(|| format!("{} is more than it was to be", path.display()))?;
        let write = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(write)?;
        }
        let mut file = std::fs::File::create(&path).with_context(write)?;
        io::copy(&mut entry, &mut file).with_context(write)?;
    }
    Ok(())
}

/// Writes what `entry` holds to `path`, and says whether it was a file.
fn unpack_file(entry: &mut Entry<'_, impl Read>, to: &Path, path: &Path) -> anyhow::Result<bool> {
    let write = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(write)?;
    }
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            let mut file = std::fs::File::create(path).with_context(write)?;
            io::copy(entry, &mut file).with_context(write)?;
        }
        // A copy for each of many links would fill the disk.
        EntryType::Link => {
            let first = entry.link_name()?.context("a hard link to nothing")?;
            let first = to.join(peer::relative_path(&first)?);
            if first != path {
                let _ = std::fs::remove_file(path);
                std::fs::hard_link(first, path).with_context(write)?;
            }
        }
        EntryType::GNUSparse => {
            anyhow::bail!("{} is sparse, which was not asked for: refused", path.display())
        }
        _ => {
            tracing::warn!("{} is neither file nor directory: left out", path.display());
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode)
        .with_context(|| format!("cannot set the permissions of {}", path.display()))
}

/// Reads no more than is left, which somebody else sets.
struct Metered<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or_else(|| {
            io::Error::other(format!("a header of the archive is larger than {HEADERS} bytes"))
        })?);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    /// The header of an entry, with a right checksum whatever it says.
    fn header(kind: EntryType, name: &str, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        header
    }

    /// What unpacking `archive` says, and the names of what is there then.
    fn unpacked(archive: impl Read) -> (String, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a/to");
        std::fs::create_dir_all(&to).unwrap();
        let said = unpack(archive, &to).map_or_else(|e| format!("{e:#}"), |()| "ok".into());
        let all = walkdir::WalkDir::new(dir.path()).min_depth(3).sort_by_file_name();
        let names =
            all.into_iter().map(|entry| entry.unwrap().path().strip_prefix(&to).unwrap().into());
        let names = names.collect();
        let around = walkdir::WalkDir::new(dir.path()).max_depth(2).into_iter().count();
        assert_eq!(around, 3, "something was written around the directory");
        (said, names)
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        for name in ["../evil", "/etc/evil", "a/../../evil", ".."] {
            for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink] {
                let (said, names) = unpacked(&header(kind, name, 0).as_bytes()[..]);
                assert!(said.contains("leads out of its directory"), "{name} {kind:?}: {said}");
                assert!(names.is_empty());
            }
        }
        let mut link = header(EntryType::Link, "x", 0);
        link.set_link_name("../../etc/passwd").unwrap();
        link.set_cksum();
        assert!(unpacked(&link.as_bytes()[..]).0.contains("leads out of its directory"));
    }

    #[test]
    fn a_name_of_gigabytes_is_not_kept() {
        let size = 2_500_000_000;
        let long = header(EntryType::GNULongName, "././@LongLink", size);
        let started = Instant::now();
        let (said, _) = unpacked(long.as_bytes().chain(io::repeat(b'x').take(size)));
        assert!(said.contains("larger than 1048576 bytes"), "{said}");
        assert!(started.elapsed().as_secs() < 5);
        let pax = header(EntryType::XHeader, "x", size);
        let (said, _) = unpacked(pax.as_bytes().chain(io::repeat(b'x')));
        assert!(said.contains("larger than 1048576 bytes"), "{said}");
        // And what follows the end does not go on for ever.
        let (said, _) = unpacked(io::repeat(0));
        assert!(said.contains("larger than 1048576 bytes"), "{said}");
    }

    #[test]
    fn a_sparse_file_is_refused() {
        let mut sparse = header(EntryType::GNUSparse, "zeros", 0);
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.set_real_size(13_000_000_000);
        gnu.sparse[0].set_offset(13_000_000_000);
        gnu.sparse[0].set_length(0);
        sparse.set_cksum();
        let (said, names) = unpacked(&sparse.as_bytes()[..]);
        assert!(said.contains("sparse, which was not asked for"), "{said}");
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn files_directories_and_links_arrive() {
        let mut archive = Vec::new();
        archive.extend_from_slice(header(EntryType::Directory, "./", 0).as_bytes());
        archive.extend_from_slice(header(EntryType::Regular, "./d/file", 3).as_bytes());
        archive.extend_from_slice(&[b"abc".as_slice(), &[0; 509]].concat());
        let mut link = header(EntryType::Link, "./link", 0);
        link.set_link_name("./d/file").unwrap();
        link.set_cksum();
        archive.extend_from_slice(link.as_bytes());
        archive.extend_from_slice(header(EntryType::Fifo, "./fifo", 0).as_bytes());
        archive.extend_from_slice(&[0; 10_240]);
        let (said, names) = unpacked(&*archive);
        assert_eq!(said, "ok");
        assert_eq!(names, ["d", "d/file", "link"].map(PathBuf::from));
    }

    #[test]
    fn a_zip_is_unpacked_below_its_place_and_is_not_larger_than_itself() {
        use std::io::Write as _;
        use zip::CompressionMethod::{Deflated, Stored};
        let unpacked = |name: &str, method| {
            let mut archive = zip::ZipWriter::new(tempfile::tempfile().unwrap());
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            archive.start_file(name, options).unwrap();
            archive.write_all(&[0; 1000]).unwrap();
            archive.add_directory("empty", options).unwrap();
            let file = archive.finish().unwrap();
            let to = tempfile::tempdir().unwrap();
            let said = unpack_zip(&file, &to.path().join("to"));
            let said = said.map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned());
            (said, to.path().join("to").join(name).is_file())
        };
        assert_eq!(unpacked("a/b", Stored), ("ok".to_owned(), true));
        assert!(unpacked("a", Deflated).0.contains("more than it was to be"));
        assert_ne!(unpacked("../a", Stored).0, "ok");
    }
}
