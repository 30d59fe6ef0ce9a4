//! The directory that a Dockerfile copies from, as it is sent to an engine.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::peer;

/// How much a Dockerfile and a `.dockerignore` may say.
pub(super) const LARGEST_TEXT: u64 = 1024 * 1024;

/// Where a Dockerfile goes that is not in the directory.
const OUTSIDE: &str = ".dockerfile.imgbake";

/// A directory that is sent to an engine.
pub(super) struct Directory {
    directory: PathBuf,
    /// Where the Dockerfile is in what is sent.
    dockerfile: String,
    /// Its text, if it is not in the directory.
    outside: Option<Vec<u8>>,
    ignored: Ignored,
}

impl Directory {
    /// What `dockerfile` copies from.
    pub fn of(dockerfile: &Path, directory: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| format!("cannot read {}", path.display());
        let root = directory.canonicalize().with_context(|| read(directory))?;
        ensure!(root.is_dir(), "{} is no directory", directory.display());
        let file = dockerfile.canonicalize().with_context(|| read(dockerfile))?;
        let inside = file.strip_prefix(&root).ok().map(|path| path.to_string_lossy().into_owned());
        let outside = match inside {
            Some(_) => None,
            None => {
                let text = peer::read_regular(&file, LARGEST_TEXT);
                Some(text.with_context(|| read(dockerfile))?)
            }
        };
        let ignored = Ignored::read(&root, &file)?;
        let dockerfile = inside.unwrap_or_else(|| OUTSIDE.to_owned());
        Ok(Self { directory: root, dockerfile, outside, ignored })
    }

    /// Where the Dockerfile is in what is sent.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// Sends it all.
    pub fn write(&self, to: impl Write, compress: bool) -> anyhow::Result<()> {
        match compress {
            false => self.pack(to)?.flush()?,
            true => {
                let packed = flate2::write::GzEncoder::new(to, flate2::Compression::default());
                self.pack(packed)?.finish()?.flush()?;
            }
        }
        Ok(())
    }

    /// Packs what is not ignored. Links stay links, as a Dockerfile's author expects.
    fn pack<W: Write>(&self, to: W) -> anyhow::Result<W> {
        let mut archive = tar::Builder::new(to);
        archive.follow_symlinks(false);
        let walk = walkdir::WalkDir::new(&self.directory).min_depth(1).sort_by_file_name();
        for entry in walk {
            let entry = entry?;
            let name = entry.path().strip_prefix(&self.directory)?;
            let is_needed = name == Path::new(&self.dockerfile);
            if !is_needed && self.ignored.has(name) {
                continue;
            }
            let kind = entry.file_type();
            if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
                tracing::warn!("{} is no file: left out", entry.path().display());
                continue;
            }
            let packed = archive.append_path_with_name(entry.path(), name);
            packed.with_context(|| format!("cannot read {}", entry.path().display()))?;
        }
        if let Some(text) = &self.outside {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, OUTSIDE, text.as_slice())?;
        }
        archive.into_inner().map_err(Into::into)
    }
}

/// What a `.dockerignore` leaves out: the last pattern that fits decides.
#[derive(Debug, Default)]
struct Ignored(Vec<(bool, glob::Pattern)>);

/// A star does not match a slash.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Ignored {
    /// The file beside the Dockerfile that is called like it wins over that of the directory.
    fn read(root: &Path, dockerfile: &Path) -> anyhow::Result<Self> {
        let own = PathBuf::from(format!("{}.dockerignore", dockerfile.display()));
        for path in [own, root.join(".dockerignore")] {
            match peer::read_regular_text(&path, LARGEST_TEXT) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => {
                    let parsed = text.map_err(Into::into).and_then(|text| Self::parse(&text));
                    return parsed.with_context(|| format!("cannot use {}", path.display()));
                }
            }
        }
        Ok(Self::default())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim) {
            let (leaves_out, pattern) = match line.strip_prefix('!') {
                Some(kept) => (false, kept.trim()),
                None => (true, line),
            };
            let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            if !pattern.is_empty() && !line.starts_with('#') {
                let parsed = glob::Pattern::new(pattern);
                patterns.push((leaves_out, parsed.with_context(|| format!("the line `{line}`"))?));
            }
        }
        Ok(Self(patterns))
    }

    /// Whether `name`, or a directory that it is in, is left out.
    fn has(&self, name: &Path) -> bool {
        let fits = |pattern: &glob::Pattern| {
            let above = name.ancestors().filter(|path| !path.as_os_str().is_empty());
            above.into_iter().any(|path| pattern.matches_path_with(path, MATCHING))
        };
        let last = self.0.iter().rev().find(|(_, pattern)| fits(pattern));
        last.is_some_and(|(leaves_out, _)| *leaves_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_says_what_is_left_out() {
        let ignored = Ignored::parse("# no\n*.log\n!keep.log\n/target/\n**/*.tmp\n").unwrap();
        for (name, is_ignored) in [
            ("a.log", true),
            ("keep.log", false),
            ("dir/a.log", false),
            ("target/debug/x", true),
            ("a/b/c.tmp", true),
            ("src/main.rs", false),
        ] {
            assert_eq!(ignored.has(Path::new(name)), is_ignored, "{name}");
        }
    }

    #[test]
    fn a_dockerfile_beside_its_directory_is_sent_too() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("context");
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("a"), "a").unwrap();
        std::fs::write(context.join("b"), "b").unwrap();
        std::fs::write(context.join(".dockerignore"), "b\n").unwrap();
        std::fs::write(dir.path().join("Dockerfile"), "FROM scratch").unwrap();
        let sent = Directory::of(&dir.path().join("Dockerfile"), &context).unwrap();
        assert_eq!(sent.dockerfile, OUTSIDE);
        let packed = sent.pack(Vec::new()).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let names = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), [".dockerignore", "a", OUTSIDE]);
    }
}
