//! Checksums of images: written in the template, or listed in a sums file beside the image.

use std::io::Read;
use std::path::Path;
use std::{fmt, io};

use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};

use crate::peer;

/// The digest functions that checksums are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 hex digits.
    Md5,
    /// 40 hex digits.
    Sha1,
    /// 64 hex digits.
    Sha256,
    /// 128 hex digits.
    Sha512,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Takes bytes and gives the checksum of all of them.
    pub fn hasher(self) -> Hasher {
        let state: Box<dyn DynDigest + Send> = match self {
            Self::Md5 => Box::new(Md5::default()),
            Self::Sha1 => Box::new(Sha1::default()),
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        };
        Hasher { kind: self, state }
    }
}

/// A checksum in the making.
pub struct Hasher {
    kind: Kind,
    state: Box<dyn DynDigest + Send>,
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The checksum of all bytes.
    pub fn finish(self) -> Digest {
        Digest { kind: self.kind, hex: hex::encode(self.state.finalize()) }
    }
}

/// The checksum of some bytes; its text form is `sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The function that made it.
    pub kind: Kind,
    /// In lower case.
    hex: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.hex)
    }
}

impl Digest {
    /// From hex digits whose number says the kind.
    fn from_hex(hex: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.digits() == hex.len())?;
        let hex = hex.to_ascii_lowercase();
        hex.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(Self { kind, hex })
    }

    /// The checksum of the file at `path`.
    pub fn of_file(kind: Kind, path: &Path) -> io::Result<Self> {
        let mut file = peer::open_regular(path)?;
        let mut hasher = kind.hasher();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }
}

/// What a template says of an image's checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Anything goes.
    None,
    /// The image must have this one.
    Digest(Digest),
    /// A file (path or URL) lists it.
    SumsFile(String),
}

impl Checksum {
    /// Reads `none`, `<type>:<hex>`, bare hex digits, or `file:<path or URL>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(file) = text.strip_prefix("file:") {
            return Ok(Self::SumsFile(file.to_owned()));
        }
        let Some((name, hex)) = text.split_once(':') else {
            return Digest::from_hex(text).map(Self::Digest).ok_or_else(|| {
                "this is no checksum: write `<type>:<hex digits>`, `file:<sums file>` or `none`"
                    .to_owned()
            });
        };
        let kind = Kind::named(name).ok_or_else(|| {
            format!("`{name}` is no kind of checksum: use md5, sha1, sha256, sha512 or file")
        })?;
        let digits = kind.digits();
        match Digest::from_hex(hex) {
            Some(digest) if digest.kind == kind => Ok(Self::Digest(digest)),
            _ => Err(format!("a {} checksum has {digits} hex digits", kind.name())),
        }
    }
}

/// Finds the checksum of the file called `name` in the text of a sums file.
///
/// Lines may be GNU's (`<hex>  name`, `<hex> *name`) or BSD's (`SHA256 (name) = <hex>`). Names are
/// compared without their directories. A file that holds nothing but a checksum is about any name.
pub fn find_in_sums(text: &str, name: &str) -> Option<Digest> {
    let entries: Vec<_> = text.lines().filter_map(sums_line).collect();
    if let [(digest, None)] = &entries[..] {
        return Some(digest.clone());
    }
    let is_meant = |listed: &str| listed.rsplit('/').next() == Some(name);
    entries
        .into_iter()
        .find(|(_, listed)| listed.as_deref().is_some_and(is_meant))
        .map(|(digest, _)| digest)
}

/// The checksum in one line of a sums file, and the name that it is about.
fn sums_line(line: &str) -> Option<(Digest, Option<String>)> {
    let line = line.trim();
    if let Some((head, hex)) = line.rsplit_once(") = ") {
        let (kind, name) = head.split_once(" (")?;
        let digest = Digest::from_hex(hex.trim())?;
        return (Kind::named(kind)? == digest.kind).then(|| (digest, Some(name.to_owned())));
    }
    let (hex, name) = match line.split_once(char::is_whitespace) {
        Some((hex, name)) => (hex, Some(name.trim_start().trim_start_matches('*').to_owned())),
        None => (line, None),
    };
    Some((Digest::from_hex(hex)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn templates_write_checksums_in_four_ways() {
        let digest = Checksum::Digest(Kind::Sha256.hasher().finish());
        assert_eq!(Checksum::parse(EMPTY), Ok(digest.clone()));
        assert_eq!(Checksum::parse(&format!("SHA256:{}", EMPTY.to_uppercase())), Ok(digest));
        assert_eq!(Checksum::parse("none"), Ok(Checksum::None));
        assert_eq!(Checksum::parse("file:./SUMS"), Ok(Checksum::SumsFile("./SUMS".into())));
        for wrong in ["", "md5:abc", "crc:abc", &format!("md5:{EMPTY}"), "image.iso"] {
            assert!(Checksum::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sums_files_of_both_styles_are_read() {
        let other = "0".repeat(64);
        for text in [
            format!("{other}  a.img\n{EMPTY}  ./b.img\n"),
            format!("{other} *a.img\n{EMPTY} *b.img\n"),
            format!("# made today\nSHA256 (a.img) = {other}\nSHA256 (b.img) = {EMPTY}\n"),
            format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{EMPTY}  sub/b.img\n"),
            format!("{EMPTY}\n"),
        ] {
            let found = find_in_sums(&text, "b.img").map(|digest| digest.to_string());
            assert_eq!(found, Some(format!("sha256:{EMPTY}")), "{text}");
        }
        assert_eq!(find_in_sums(&format!("{EMPTY}  a.img\n{other}  c.img"), "b.img"), None);
    }
}
