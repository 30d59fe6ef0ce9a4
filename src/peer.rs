//! What comes from a peer has a checked name, a size and a time.
//!
//! A peer is whoever is not this program: a machine, a server, an archive, an interface, another
//! user's file. It decides what it sends, so we decide how it is called here ([`PeerName`],
//! [`relative_path`]), how much of it we take ([`Allowance`]), and that a path names a plain file
//! before anything is read from it ([`open_regular`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rustix::fs::OFlags;

/// The longest name that common file systems take.
const LONGEST_NAME: usize = 255;

/// The name of one file or directory that a peer chose: never empty, never `.` or `..`, without a
/// slash, a backslash, a NUL or a control character. So joining it to a directory stays inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(String);

/// Why a name or a path of a peer is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} {why}")]
pub struct BadName {
    /// The name, cut where it is long.
    name: String,
    why: &'static str,
}

impl BadName {
    fn new(name: &str, why: &'static str) -> Self {
        Self { name: name[..name.floor_char_boundary(LONGEST_NAME)].to_owned(), why }
    }
}

impl PeerName {
    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(name, why));
        match name {
            "" => bad("is empty"),
            "." | ".." => bad("names a directory above or around it"),
            _ if name.contains(['/', '\\']) => bad("has a slash"),
            _ if name.contains(char::is_control) => bad("has a control character"),
            _ if name.len() > LONGEST_NAME => bad("is too long"),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// The last part of `path`, as a peer writes paths: with slashes, perhaps one at its end.
    pub fn last_of(path: &str) -> Result<Self, BadName> {
        Self::new(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
    }

    /// The name as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for PeerName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// The name of a file in a directory of a Unix machine: never empty, `.` or `..`, without a slash or
/// a NUL. Unlike a [`PeerName`] it may hold all that such machines allow: `by\x2dlabel`.
pub fn file_name(name: &str) -> Result<PathBuf, BadName> {
    match relative_path(Path::new(name))? {
        path if path.as_os_str().is_empty() || name.contains('/') => {
            Err(BadName::new(name, "names no file in its directory"))
        }
        path => Ok(path),
    }
}

/// A path below a directory, as an archive or a listing names it: `a/b`, `./a/b`, `a/`. Nothing
/// absolute, and no `..` anywhere.
pub fn relative_path(path: &Path) -> Result<PathBuf, BadName> {
    let text = path.to_string_lossy();
    let mut checked = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if !name.as_encoded_bytes().contains(&0) => checked.push(name),
            Component::Normal(_) => return Err(BadName::new(&text, "has a NUL")),
            _ => return Err(BadName::new(&text, "leads out of its directory")),
        }
    }
    Ok(checked)
}

/// How much is taken from a peer, and how long it may take to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// What is read, for messages: `the answer`.
    pub what: &'static str,
    /// At most so many bytes.
    pub bytes: u64,
    /// All of it must have come by then.
    pub time: Duration,
}

/// A peer sent more, or took longer, than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Too large.
    #[error("{} is larger than {} bytes", .0.what, .0.bytes)]
    Bytes(Allowance),
    /// Too late.
    #[error("{} did not come within {:?}", .0.what, .0.time)]
    Time(Allowance),
}

impl Allowance {
    /// Allows `bytes` of `what` within `time`.
    pub const fn new(what: &'static str, bytes: u64, time: Duration) -> Self {
        Self { what, bytes, time }
    }

    /// Refuses `bytes` if they are too many.
    pub fn check(self, bytes: u64) -> Result<(), TooMuch> {
        if bytes > self.bytes { Err(TooMuch::Bytes(self)) } else { Ok(()) }
    }

    /// `work`'s output, or that it took too long.
    pub async fn in_time<F: Future>(self, work: F) -> Result<F::Output, TooMuch> {
        tokio::time::timeout(self.time, work).await.map_err(|_| TooMuch::Time(self))
    }

    /// All of `chunks`, if they are few enough and in time.
    pub async fn collect<C, E>(
        self,
        chunks: impl Stream<Item = Result<C, E>>,
    ) -> Result<Vec<u8>, anyhow::Error>
    where
        C: AsRef<[u8]>,
        E: Into<anyhow::Error>,
    {
        self.in_time(async {
            let mut all = Vec::new();
            let mut chunks = std::pin::pin!(chunks);
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(Into::into)?;
                self.check((all.len() + chunk.as_ref().len()) as u64)?;
                all.extend_from_slice(chunk.as_ref());
            }
            Ok(all)
        })
        .await?
    }
}

/// Opens the file `path` to read from it, if it is a regular one: a FIFO would block, a device
/// never ends. Links are followed.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_regular_as(File::options().read(true), path)
}

/// Opens the file `path` as `options` say, if it is a regular one, or will be.
pub fn open_regular_as(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a FIFO waits for its other end; it changes nothing for plain files.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    regular(options.custom_flags(flags.bits().cast_signed()).open(path)?)
}

/// Opens the file `path` to read and write it, if it is a regular one that belongs to this user;
/// neither it nor what it leads to is changed by that. Links are not followed.
pub fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = File::options();
    options.read(true).write(true).custom_flags(flags.bits().cast_signed());
    let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let file = match options.open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused("it is a link"));
        }
        opened => regular(opened?)?,
    };
    match file.metadata()?.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(file),
        false => Err(refused("it belongs to another user")),
    }
}

/// `file`, if it is a regular one.
pub fn regular(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let (kind, what) = match kind.is_dir() {
        true => (io::ErrorKind::IsADirectory, "it is a directory"),
        false => (io::ErrorKind::InvalidInput, "it is no regular file"),
    };
    Err(io::Error::new(kind, what))
}

/// All of the regular file `path`, if it has at most `most` bytes.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_at_most(&open_regular(path)?, most)
}

/// What is left to read of `file`, if it is at most `most` bytes.
pub fn read_at_most(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        false => Ok(bytes),
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {most} bytes"),
        )),
    }
}

/// The same for a text.
pub fn read_regular_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read_regular(path, most)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[test]
    fn a_name_of_a_peer_stays_in_its_directory() {
        for bad in ["", ".", "..", "a/b", "/", "a\\b", "a\0", "a\nb", &"x".repeat(256)] {
            assert!(PeerName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(PeerName::new("..a").unwrap().as_str(), "..a");
        assert_eq!(PeerName::last_of("/var/log/apt/").unwrap().as_str(), "apt");
        for bad in ["/var/log/..", "/var/log/../", "/", ""] {
            assert!(PeerName::last_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_name_of_a_unix_machine_may_hold_anything_but_a_way_out() {
        for good in ["a", "..a", "by\\x2dlabel", "new\nline"] {
            assert_eq!(file_name(good).unwrap(), Path::new(good));
        }
        for bad in ["", ".", "..", "a/b", "/", "./a", "a\0"] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_of_a_peer_is_relative_and_only_goes_down() {
        assert_eq!(relative_path(Path::new("./a/./b/")).unwrap(), Path::new("a/b"));
        for bad in ["/etc/passwd", "../x", "a/../../x", "a/.."] {
            assert!(relative_path(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_sends_neither_too_much_nor_too_late() {
        let allowance = Allowance::new("the answer", 4, Duration::from_millis(200));
        let chunks = |parts: &'static [&'static str]| stream::iter(parts).map(io::Result::Ok);
        assert_eq!(allowance.collect(chunks(&["ab", "cd"])).await.unwrap(), b"abcd");
        let more = allowance.collect(chunks(&["ab", "cde"])).await.unwrap_err();
        assert_eq!(more.to_string(), "the answer is larger than 4 bytes");
        let silent = stream::pending::<io::Result<Vec<u8>>>();
        let late = allowance.collect(silent).await.unwrap_err();
        assert_eq!(late.to_string(), "the answer did not come within 200ms");
    }

    #[test]
    fn only_plain_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for special in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/ptmx"), dir.path()]
        {
            assert!(open_regular(special).is_err(), "{}", special.display());
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "abc").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open_own(&file).is_ok());
        for other in [fifo.as_path(), &link, dir.path()] {
            assert!(open_own(other).is_err(), "{}", other.display());
        }
        assert_eq!(open_own(&link).unwrap_err().to_string(), "it is a link");
        assert_eq!(read_regular_text(&file, 3).unwrap(), "abc");
        assert!(read_regular(&file, 2).is_err());
    }
}
