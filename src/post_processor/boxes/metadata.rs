//! What a Vagrant box says of itself.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::peer::open_regular;
use crate::post_processor::Stoppable;

/// The file in a box.
const NAME: &str = "metadata.json";

/// It is a few lines.
const LARGEST: u64 = 1 << 20;

/// How many entries of a box are looked at.
const ENTRIES: usize = 100_000;

/// What is read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// The provider that the box is for.
    pub(super) provider: Option<String>,
    /// The architecture of its machine.
    pub(super) architecture: Option<String>,
}

impl Metadata {
    /// That of the box `file`: a tar archive, packed with gzip or not at all.
    pub(super) fn of(file: &Path, cancel: &CancellationToken) -> anyhow::Result<Self> {
        let read = Self::read(file, cancel);
        read.with_context(|| format!("the box {} cannot be read", file.display()))
    }

    fn read(file: &Path, cancel: &CancellationToken) -> anyhow::Result<Self> {
        let mut magic = Vec::new();
        open_regular(file)?.take(2).read_to_end(&mut magic)?;
        let file = Stoppable::new(open_regular(file)?, cancel);
        let file: Box<dyn std::io::Read + '_> = match magic.as_slice() {
            [0x1f, 0x8b] => Box::new(MultiGzDecoder::new(file)),
            _ => Box::new(file),
        };
        for entry in tar::Archive::new(file).entries()?.take(ENTRIES) {
            let entry = entry?;
            if entry.path()?.strip_prefix("./").unwrap_or(&entry.path()?) != Path::new(NAME) {
                continue;
            }
            let mut text = Vec::new();
            entry.take(LARGEST).read_to_end(&mut text)?;
            return serde_json::from_slice(&text).with_context(|| format!("its {NAME}"));
        }
        bail!("it has no {NAME}")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn boxed(name: &str, content: &str) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in [("disk.vmdk", "x"), (name, content)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn read(content: &[u8]) -> anyhow::Result<Metadata> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        Metadata::of(file.path(), &CancellationToken::new())
    }

    #[test]
    fn a_box_says_what_it_is_for() {
        let plain = boxed(NAME, r#"{"provider": "virtualbox", "architecture": "arm64", "x": 1}"#);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&plain).unwrap();
        let wanted = Metadata {
            provider: Some("virtualbox".to_owned()),
            architecture: Some("arm64".to_owned()),
        };
        assert_eq!(read(&packed.finish().unwrap()).unwrap(), wanted);
        assert_eq!(read(&plain).unwrap(), wanted);
        let refused = read(&boxed("other.json", "{}")).unwrap_err();
        assert!(format!("{refused:#}").contains("it has no metadata.json"), "{refused:#}");
        assert!(read(&boxed(NAME, "no JSON")).is_err());
        assert!(read(b"no archive").is_err());
    }
}
