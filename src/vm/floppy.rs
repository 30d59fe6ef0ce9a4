//! Floppies made for a guest: answer files and drivers for installers.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use walkdir::WalkDir;

use crate::component::Check;
use crate::peer;
use crate::scratch::Scratch;
use crate::vm::{MachineText, medium};

/// What a floppy of 1.44 MB holds, file system included.
const SIZE: u32 = 1_474_560;
const SECTOR: u16 = 512;
/// The longest volume label of a FAT file system.
const LABEL: usize = 11;
/// Where the boot sector says who formatted the disk, and how long that is.
const OEM_NAME: std::ops::Range<usize> = 3..11;

/// A floppy for the guest.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Files to put on a floppy for the guest; wildcards are allowed. All arrive at the top of the
    /// floppy: those in directories that are named, too.
    pub floppy_files: Vec<String>,
    /// Directories to put on a floppy for the guest, each under its own name and with all that is in
    /// it; wildcards are allowed.
    pub floppy_dirs: Vec<String>,
    /// Texts to put on a floppy for the guest, by path. `{{ .SSHPublicKey }}` stands for the key that
    /// is made for the build, `{{ .Name }}`, `{{ .HTTPIP }}` and `{{ .HTTPPort }}` for what they say.
    pub floppy_content: IndexMap<String, MachineText>,
    /// The floppy's volume label: at most 11 characters of ASCII.
    #[default("packer".into())]
    pub floppy_label: String,
}

impl Options {
    /// Whether there is anything to put on a floppy.
    pub fn wants_floppy(&self) -> bool {
        !self.floppy_files.is_empty()
            || !self.floppy_dirs.is_empty()
            || !self.floppy_content.is_empty()
    }

    /// The files of this host that it gets.
    pub fn reads(&self) -> Vec<PathBuf> {
        let mut files = medium::reads("floppy_files", &self.floppy_files);
        files.extend(medium::reads("floppy_dirs", &self.floppy_dirs));
        files
    }

    /// Reports files that are not there, and what no floppy can have.
    pub fn check(&self, check: &mut Check<'_>) {
        medium::check("floppy_files", &self.floppy_files, check);
        medium::check("floppy_dirs", &self.floppy_dirs, check);
        let label = &self.floppy_label;
        if label.len() > LABEL || !label.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        {
            let cause =
                format!("`{label}` is no label: it has at most {LABEL} characters of ASCII");
            check.error("floppy_label", cause);
        }
    }
}

/// What goes on a floppy.
#[derive(Clone, Debug)]
pub struct Contents {
    /// See [`Options::floppy_files`].
    pub files: Vec<String>,
    /// See [`Options::floppy_dirs`].
    pub dirs: Vec<String>,
    /// Path on the floppy → text.
    pub texts: Vec<(String, String)>,
    /// See [`Options::floppy_label`].
    pub label: String,
}

/// The image of a floppy in a temporary directory; dropping it removes it.
#[derive(Debug)]
pub struct Floppy {
    _dir: Scratch,
    /// The image.
    pub path: PathBuf,
}

/// Writes the image of a floppy.
pub async fn make(contents: Contents) -> anyhow::Result<Floppy> {
    let make = move || {
        let image = image(&contents)?;
        let dir = Scratch::temporary("floppy")?;
        let path = dir.path().join("floppy.img");
        std::fs::write(&path, image)?;
        anyhow::Ok(Floppy { _dir: dir, path })
    };
    tokio::task::spawn_blocking(make).await?.context("cannot make the floppy")
}

/// A medium that can be written to while it is in memory.
type Volume<'a> = FileSystem<Cursor<&'a mut [u8]>>;
type Dir<'a, 'b> = fatfs::Dir<'b, Cursor<&'a mut [u8]>>;

fn image(contents: &Contents) -> anyhow::Result<Vec<u8>> {
    let mut image = vec![0; SIZE as usize];
    let label = padded(&contents.label);
    let geometry = FormatVolumeOptions::new()
        .fat_type(FatType::Fat12)
        .bytes_per_sector(SECTOR)
        .bytes_per_cluster(SECTOR.into())
        .total_sectors(SIZE / u32::from(SECTOR))
        .sectors_per_track(18)
        .heads(2)
        .media(0xf0)
        .drive_num(0)
        .max_root_dir_entries(224)
        .volume_label(label);
    fatfs::format_volume(Cursor::new(&mut image[..]), geometry)?;
    image[OEM_NAME].copy_from_slice(&label[..OEM_NAME.len()]);
    let volume = Volume::new(Cursor::new(&mut image), FsOptions::new())?;
    fill(&volume.root_dir(), contents)?;
    volume.unmount()?;
    Ok(image)
}

/// `text` with blanks after it, as the fixed fields of a boot sector are.
fn padded(text: &str) -> [u8; LABEL] {
    let mut field = [b' '; LABEL];
    field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    field
}

fn fill(root: &Dir<'_, '_>, contents: &Contents) -> anyhow::Result<()> {
    for pattern in &contents.files {
        for path in medium::expand("floppy_files", pattern)? {
            add_files(root, &path)?;
        }
    }
    for pattern in &contents.dirs {
        for path in medium::expand("floppy_dirs", pattern)? {
            add_tree(root, &path)?;
        }
    }
    for (name, text) in &contents.texts {
        let path = medium::inside("floppy_content", name)?;
        add(root, &path, text.as_bytes()).with_context(|| does_not_go(name))?;
    }
    Ok(())
}

/// Why something is not on the floppy, in front of the cause.
fn does_not_go(what: impl std::fmt::Display) -> String {
    format!("cannot put {what} on the floppy, which holds 1.44 MB")
}

/// Puts the file `from`, or all files below it, at the top of the floppy.
fn add_files(root: &Dir<'_, '_>, from: &Path) -> anyhow::Result<()> {
    for entry in WalkDir::new(from).follow_links(true).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            add_file(root, Path::new(entry.file_name()), entry.path())?;
        }
    }
    Ok(())
}

/// Puts `from`, with all that is in it, on the floppy under its own name.
fn add_tree(root: &Dir<'_, '_>, from: &Path) -> anyhow::Result<()> {
    // `.` and `dir/..` have a name too.
    let whole = from.canonicalize().with_context(|| format!("cannot read {}", from.display()))?;
    let name = whole.file_name().map(PathBuf::from).unwrap_or_default();
    for entry in WalkDir::new(from).follow_links(true).sort_by_file_name() {
        let entry = entry?;
        let to = name.join(entry.path().strip_prefix(from)?);
        match entry.file_type().is_dir() {
            true => drop(directory(root, &to).with_context(|| does_not_go(to.display()))?),
            false => add_file(root, &to, entry.path())?,
        }
    }
    Ok(())
}

fn add_file(root: &Dir<'_, '_>, to: &Path, from: &Path) -> anyhow::Result<()> {
    let file = peer::open_regular(from).with_context(|| format!("cannot read {}", from.display()));
    add(root, to, file?).with_context(|| does_not_go(from.display()))
}

/// Writes a new file at `to`.
fn add(root: &Dir<'_, '_>, to: &Path, mut content: impl io::Read) -> anyhow::Result<()> {
    let dir = directory(root, to.parent().unwrap_or(Path::new("")))?;
    let name = to.file_name().and_then(|name| name.to_str()).context("its name is no text")?;
    // What is there would be overwritten in part only.
    if dir.iter().any(|entry| entry.is_ok_and(|entry| entry.file_name().eq_ignore_ascii_case(name)))
    {
        bail!("there is another {} already", to.display());
    }
    let mut file = dir.create_file(name)?;
    io::copy(&mut content, &mut file)?;
    Ok(())
}

/// The directory at `path`, which is made if it is not there.
fn directory<'a, 'b>(root: &Dir<'a, 'b>, path: &Path) -> anyhow::Result<Dir<'a, 'b>> {
    let mut dir = root.clone();
    for part in path {
        dir = dir.create_dir(part.to_str().context("its name is no text")?)?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn contents(files: &[String], dirs: &[String], texts: &[(&str, &str)]) -> Contents {
        let text = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Contents {
            files: files.to_vec(),
            dirs: dirs.to_vec(),
            texts: texts.iter().map(text).collect(),
            label: "cidata".into(),
        }
    }

    fn read(image: &mut [u8], path: &str) -> String {
        let volume = Volume::new(Cursor::new(image), FsOptions::new()).unwrap();
        let mut text = String::new();
        volume.root_dir().open_file(path).expect(path).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_arrive_at_the_top_and_directories_under_their_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("drivers/net")).unwrap();
        std::fs::write(dir.path().join("drivers/net/e1000.inf"), "driver").unwrap();
        std::fs::write(dir.path().join("Autounattend.xml"), "<unattend/>").unwrap();
        let base = dir.path().display();
        let contents = contents(
            &[format!("{base}/*.xml"), format!("{base}/drivers")],
            &[format!("{base}/drivers/"), format!("{base}/driv*/net")],
            &[("/deep/er/answers.cfg", "yes")],
        );
        let mut image = image(&contents).unwrap();
        assert_eq!(image.len(), 1_474_560);
        for (path, text) in [
            ("Autounattend.xml", "<unattend/>"),
            ("e1000.inf", "driver"),
            ("drivers/net/e1000.inf", "driver"),
            ("net/e1000.inf", "driver"),
            ("deep/er/answers.cfg", "yes"),
        ] {
            assert_eq!(read(&mut image, path), text, "{path}");
        }
    }

    #[test]
    fn the_image_is_a_floppy_of_1440_kib_with_its_label() {
        let mut image = image(&contents(&[], &[], &[("a", "b")])).unwrap();
        assert_eq!(&image[OEM_NAME], b"cidata  ");
        assert_eq!(&image[54..62], b"FAT12   ");
        // Sectors in a track, heads, and what kind of medium it is.
        assert_eq!((image[24], image[26], image[21]), (18, 2, 0xf0));
        let volume = Volume::new(Cursor::new(&mut image), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), FatType::Fat12);
        assert_eq!(volume.volume_label(), "cidata");
        assert_eq!(volume.read_volume_label_from_root_dir().unwrap().as_deref(), Some("cidata"));
    }

    #[test]
    fn what_a_floppy_cannot_hold_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("big.iso"), vec![0; 1_474_560]).unwrap();
        std::fs::create_dir(path("sub")).unwrap();
        for name in ["twice.cfg", "sub/TWICE.cfg"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let said = |contents: &Contents| format!("{:#}", image(contents).unwrap_err());
        let big = said(&contents(&[path("big.iso")], &[], &[]));
        assert!(big.contains("big.iso on the floppy, which holds 1.44 MB: "), "{big}");
        let twice = said(&contents(&[path("twice.cfg"), path("sub")], &[], &[]));
        assert!(twice.ends_with("there is another TWICE.cfg already"), "{twice}");
        let endless = said(&contents(&["/dev/zero".to_owned()], &[], &[]));
        assert!(endless.ends_with("it is no regular file"), "{endless}");
        let outside = said(&contents(&[], &[], &[("../x", "")]));
        assert!(outside.contains("is no path on a medium"), "{outside}");
    }
}
