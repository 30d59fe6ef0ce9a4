//! Files that appear when they are whole: nobody sees a part of one, and a process that is killed
//! leaves nothing of it behind, but where the file system knows no files without a name, or in the moment
//! in which one takes another's place.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::TempPath;

/// A file in the making.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    to: PathBuf,
    /// Its name until then, where the file system knows no files without one.
    named: Option<TempPath>,
}

impl WholeFile {
    /// One that will be at `to`, whose directory is there, with `mode` as far as the umask allows it.
    ///
    /// # Errors
    /// When nothing can be made there.
    pub fn create(to: &Path, mode: u32) -> io::Result<Self> {
        let directory = directory_of(to);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let to = to.to_owned();
        if let Ok(file) = rustix::fs::open(directory, flags, Mode::from_raw_mode(mode)) {
            return Ok(Self { file: File::from(file), to, named: None });
        }
        let permissions = Permissions::from_mode(mode);
        let mut named = tempfile::Builder::new();
        let named = named.prefix(PREFIX).permissions(permissions).tempfile_in(directory)?;
        let (file, named) = named.into_parts();
        Ok(Self { file, to, named: Some(named) })
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts it where it shall be, in place of what may be there.
    ///
    /// # Errors
    /// When that is not possible: then nothing is left of it.
    pub fn appear(self) -> io::Result<()> {
        if let Some(named) = self.named {
            return Ok(named.persist(&self.to)?);
        }
        let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let link = |to: &Path| rustix::fs::linkat(CWD, &*open, CWD, to, AtFlags::SYMLINK_FOLLOW);
        match link(&self.to) {
            Err(rustix::io::Errno::EXIST) => {}
            done => return Ok(done?),
        }
        // What is there can only be replaced by something that has a name.
        let mut beside = tempfile::Builder::new();
        let beside =
            beside.prefix(PREFIX).make_in(directory_of(&self.to), |name| Ok(link(name)?))?;
        Ok(beside.into_temp_path().persist(&self.to)?)
    }
}

/// What the name of an unfinished file begins with, where it needs one.
const PREFIX: &str = ".imgbake-";

/// What stands beside `path` and is called like it, with `suffix`: `out.kept` for `out`, and for `out/`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes `content` into the file `to`: it is on its disk before it appears.
///
/// # Errors
/// When that is not possible: then nothing is left of it.
pub fn write(to: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let new = WholeFile::create(to, mode)?;
    new.file().write_all(content)?;
    new.file().sync_all()?;
    new.appear()
}

/// The directory of `path`; `.` if it names none.
pub fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn write(to: &Path, text: &str) {
        let whole = WholeFile::create(to, 0o640).unwrap();
        whole.file().write_all(text.as_bytes()).unwrap();
        whole.appear().unwrap();
    }

    #[test]
    fn a_file_appears_as_a_whole_and_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("file");
        for text in ["one", "two"] {
            write(&to, text);
            assert_eq!(fs::read_to_string(&to).unwrap(), text);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        }
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777 & !0o640, 0);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("file");
        fs::write(&to, "before").unwrap();
        let unfinished = WholeFile::create(&to, 0o644).unwrap();
        unfinished.file().write_all(b"part").unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "it has no name that stays");
        drop(unfinished);
        assert_eq!(fs::read_to_string(&to).unwrap(), "before");
    }
}
