//! The format of a disk image, read from its first bytes; and what the image says that it is made
//! of.
//!
//! QEMU guesses formats, and opens the files that an image names: as its backing file, as where its
//! data is, as its parent. Somebody else made the image, perhaps a guest that wrote to its raw disk.
//! So we look ourselves, without following anything, refuse what names other files, and tell QEMU
//! the format.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::peer;

/// How much of an image is looked at: all headers below are shorter.
const HEADER: usize = 512;
/// The longest VMDK descriptor that QEMU reads.
const DESCRIPTOR: usize = 20 * 512;

/// The name that QEMU has for the format of the image `path`.
///
/// # Errors
/// If it is no regular file, or names files that its content comes from.
pub fn of(path: &Path) -> anyhow::Result<&'static str> {
    let context = || format!("cannot read the disk {}", path.display());
    let file = peer::open_regular(path).with_context(context)?;
    let header = Bytes::at(&file, 0, HEADER).with_context(context)?;
    let format = header.format();
    if let Some(reference) = header.reference(format, &file).with_context(context)? {
        bail!(
            "the image {} ({format}) {reference}, so this machine's files could get into it; make \
             it whole where they are trusted: `qemu-img convert -O qcow2 IMAGE WHOLE_IMAGE`",
            path.display()
        );
    }
    Ok(format)
}

/// Checks that the image `path` is a qcow2 with its data in itself. It may have a backing file: who
/// opens it has said which.
///
/// # Errors
/// If it is none.
pub fn check_overlay(path: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot read the disk {}", path.display());
    let file = peer::open_regular(path).with_context(context)?;
    let header = Bytes::at(&file, 0, HEADER).with_context(context)?;
    let is_plain = header.format() == "qcow2" && !header.has_data_file();
    ensure!(is_plain, "{} is no qcow2 image that holds its own data", path.display());
    Ok(())
}

/// Some bytes of an image. What lies beyond its end is zero.
struct Bytes(Vec<u8>);

impl Bytes {
    fn at(file: &File, offset: u64, count: usize) -> std::io::Result<Self> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64))? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(Self(bytes))
    }

    fn has(&self, offset: usize, magic: &[u8]) -> bool {
        self.0[offset..].starts_with(magic)
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0[offset..].first_chunk().copied().unwrap_or([0; N])
    }

    fn big_u32(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.array(offset))
    }

    fn big_u64(&self, offset: usize) -> u64 {
        u64::from_be_bytes(self.array(offset))
    }

    fn little_u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.array(offset))
    }

    /// What QEMU would guess, with a name of its own for a VMDK that is a text.
    fn format(&self) -> &'static str {
        match () {
            () if self.has(0, b"QFI\xfb") => match self.big_u32(4) {
                0 | 1 => "qcow",
                _ => "qcow2",
            },
            () if self.has(0, b"QED\0") => "qed",
            () if self.has(0, b"KDMV") || self.is_descriptor() => "vmdk",
            () if self.has(0, b"conectix") => "vpc",
            () if self.has(0, b"vhdxfile") => "vhdx",
            () if self.has(64, &0xbeda_107f_u32.to_le_bytes()) => "vdi",
            () if self.has(0, b"WithoutFreeSpace") || self.has(0, b"WithouFreSpacExt") => {
                "parallels"
            }
            () => "raw",
        }
    }

    /// Whether it is the text of a VMDK: after comments and blank lines comes a version.
    fn is_descriptor(&self) -> bool {
        let text = String::from_utf8_lossy(&self.0);
        let mut lines = text.lines().map(str::trim);
        self.has(0, b"#")
            && lines
                .find(|line| !line.is_empty() && !line.starts_with('#'))
                .is_some_and(|line| line.starts_with("version="))
            || text.starts_with("# Disk DescriptorFile")
    }

    /// Whether it is a qcow2 whose data is in another file.
    fn has_data_file(&self) -> bool {
        /// The incompatible feature "external data file".
        const DATA_FILE: u64 = 1 << 2;
        self.big_u32(4) >= 3 && self.big_u64(72) & DATA_FILE != 0
    }

    /// What the header refers to, for people.
    fn reference(&self, format: &str, file: &File) -> std::io::Result<Option<&'static str>> {
        const BACKING: &str = "has a backing file";
        const DATA: &str = "keeps its data in another file";
        /// The feature of QED "backing file".
        const QED_BACKING: u64 = 1;
        Ok(match format {
            "qcow" | "qcow2" if self.big_u64(8) != 0 => Some(BACKING),
            "qcow2" if self.has_data_file() => Some(DATA),
            "qed" if self.little_u64(16) & QED_BACKING != 0 => Some(BACKING),
            "vmdk" => self.vmdk_reference(file)?,
            _ => None,
        })
    }

    /// The same for a VMDK: only one whose single extent is this file stands for itself.
    fn vmdk_reference(&self, file: &File) -> std::io::Result<Option<&'static str>> {
        const SECTOR: u64 = 512;
        let (capacity, descriptor) = (self.little_u64(12), self.little_u64(28));
        if self.is_descriptor() || capacity == 0 {
            return Ok(Some("keeps its data in other files"));
        }
        let descriptor = Self::at(file, descriptor.saturating_mul(SECTOR), DESCRIPTOR)?;
        let has_parent = String::from_utf8_lossy(&descriptor.0).contains("parentFileNameHint");
        Ok(has_parent.then_some("has a parent"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    /// A directory with the images that `qemu-img` is told to make there.
    struct Images(tempfile::TempDir);

    impl Images {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("host.raw"), vec![7; 1 << 16]).unwrap();
            Self(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn make(&self, name: &str, args: &str) -> PathBuf {
            let mut command = Command::new("qemu-img");
            command.current_dir(self.0.path()).args(args.split(' ')).arg(name);
            if !args.starts_with("convert") && !args.contains("-b") {
                command.arg("1M");
            }
            let output = command.output().expect("qemu-img");
            assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
            self.path(name)
        }
    }

    #[test]
    fn the_format_is_what_qemu_made() {
        let images = Images::new();
        for (format, args) in [
            ("qcow2", "create -q -f qcow2"),
            ("qcow2", "create -q -f qcow2 -o compat=0.10"),
            ("qcow", "create -q -f qcow"),
            ("qed", "create -q -f qed"),
            ("vmdk", "create -q -f vmdk"),
            ("vmdk", "create -q -f vmdk -o subformat=streamOptimized"),
            ("vpc", "create -q -f vpc"),
            ("vhdx", "create -q -f vhdx"),
            ("vdi", "create -q -f vdi"),
            ("parallels", "create -q -f parallels"),
            ("raw", "create -q -f raw"),
        ] {
            let image = images.make(&format!("image.{format}"), args);
            assert_eq!(of(&image).unwrap(), format, "{args}");
            std::fs::remove_file(image).unwrap();
        }
        std::fs::write(images.path("short"), "QF").unwrap();
        assert_eq!(of(&images.path("short")).unwrap(), "raw");
    }

    #[test]
    fn an_image_that_names_other_files_is_refused() {
        let images = Images::new();
        images.make("base.vmdk", "create -q -f vmdk");
        for (args, why) in [
            ("create -q -f qcow2 -F raw -b host.raw", "has a backing file"),
            ("create -q -f qcow2 -o compat=0.10 -F raw -b host.raw", "has a backing file"),
            ("create -q -f qcow -F raw -b host.raw", "has a backing file"),
            ("create -q -f qed -F raw -b host.raw", "has a backing file"),
            ("create -q -f qcow2 -o data_file=data.raw", "keeps its data in another file"),
            ("create -q -f vmdk -F vmdk -b base.vmdk", "has a parent"),
            ("create -q -f vmdk -o subformat=monolithicFlat", "keeps its data in other files"),
            (
                "create -q -f vmdk -o subformat=twoGbMaxExtentSparse",
                "keeps its data in other files",
            ),
        ] {
            let image = images.make("image", args);
            let error = of(&image).expect_err(args).to_string();
            assert!(error.contains(why), "{args}: {error}");
            std::fs::remove_file(image).unwrap();
        }
    }
}
