//! What machines answer about their files. Names that they list become names here, so each is checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::peer;

/// Something that matches a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where it is on the machine.
    pub path: String,
    /// What it is called here.
    pub name: PathBuf,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// Reads `d` or `f` and a path, each followed by NUL.
pub fn matches(listed: &[u8]) -> anyhow::Result<Vec<Match>> {
    let read = |entry: &[u8]| {
        let entry =
            std::str::from_utf8(entry).context("a name that the machine lists is no UTF-8")?;
        let is_directory = entry.starts_with('d');
        let path = entry
            .strip_prefix(['d', 'f'])
            .context("the machine lists what it was not asked for")?;
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Ok(Match { name: peer::file_name(last)?, path: path.to_owned(), is_directory })
    };
    entries(listed).map(read).collect()
}

/// What is below a directory: names of directories and of files, relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryListing {
    /// Parents before what is in them.
    pub directories: Vec<PathBuf>,
    /// All of them.
    pub files: Vec<PathBuf>,
}

/// Reads the names of directories, then `/`, then the names of files, each followed by NUL.
pub fn below(listed: &[u8]) -> anyhow::Result<DirectoryListing> {
    let mut names = entries(listed);
    let checked = |name| Ok(peer::relative_path(Path::new(OsStr::from_bytes(name)))?);
    let directories: anyhow::Result<_> =
        names.by_ref().take_while(|name| *name != b"/").map(checked).collect();
    Ok(DirectoryListing {
        directories: directories?,
        files: names.map(checked).collect::<anyhow::Result<_>>()?,
    })
}

/// The size of a file, as `imgbake-size=NUMBER` somewhere in what a machine `said`.
pub fn size(said: &str) -> Option<u64> {
    let (_, size) = said.split_once("imgbake-size=")?;
    size.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn entries(listed: &[u8]) -> impl Iterator<Item = &[u8]> {
    listed.split(|&byte| byte == 0).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_called_by_its_last_name_and_stays_in_its_directory() {
        let listed = matches(b"f/var/log/a b.log\0d/etc/by\\x2dlabel/\0").unwrap();
        let expected =
            [("/var/log/a b.log", "a b.log", false), ("/etc/by\\x2dlabel/", "by\\x2dlabel", true)];
        let expected = expected.map(|(path, name, is_directory)| Match {
            path: path.into(),
            name: name.into(),
            is_directory,
        });
        assert_eq!(listed, expected);
        for bad in ["d/var/log/..", "f..", "f/", "d.", "f", "x/a", "d/var/log/../"] {
            assert!(matches(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_below_a_directory_stay_below_it() {
        let listed = below(b".\0./d\0/\0./d/new\nline\0./\xff\0").unwrap();
        assert_eq!(listed.directories, ["", "d"].map(PathBuf::from));
        assert_eq!(listed.files[0], Path::new("d/new\nline"));
        assert_eq!(listed.files[1].as_os_str().as_bytes(), b"\xff");
        for bad in ["./d/../..\0/\0", "/\0../x\0", "/\0/etc/passwd\0"] {
            assert!(below(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
