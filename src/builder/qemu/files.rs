//! Steps that make and finish files: the output directory, the CD, the floppy, the disks.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;

use crate::builder::qemu::options::{Disks, Format};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::step::{Ending, Slot, Step};
use crate::vm::cd::{self, Cd};
use crate::vm::disk::{self, QemuImg};
use crate::vm::download::{Download, Source};
use crate::vm::floppy::{self, Floppy};
use crate::vm::format;
use crate::whole_file::beside;

/// Gets the image to start from.
pub(super) struct Fetch {
    pub download: Download,
}

#[async_trait]
impl Step for Fetch {
    type Output = Source;

    fn name(&self) -> &'static str {
        "fetch the image"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Source> {
        self.download.fetch(cx).await
    }
}

/// Makes the CD for the guest, which is there until the build ends.
pub(super) struct MakeCd {
    pub contents: cd::Contents,
    pub cd: Slot<Cd>,
}

#[async_trait]
impl Step for MakeCd {
    type Output = PathBuf;

    fn name(&self) -> &'static str {
        "make the CD"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<PathBuf> {
        cx.ui.say("Creating CD disk...");
        let cd = cd::make(&cx.cancel, self.contents.clone()).await?;
        let path = cd.path.clone();
        self.cd.keep(cd);
        Ok(path)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        drop(self.cd.take());
        Ok(())
    }
}

/// Makes the floppy for the guest, which is there until the build ends.
pub(super) struct MakeFloppy {
    pub contents: floppy::Contents,
    pub floppy: Slot<Floppy>,
}

#[async_trait]
impl Step for MakeFloppy {
    type Output = PathBuf;

    fn name(&self) -> &'static str {
        "make the floppy"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<PathBuf> {
        cx.ui.say("Creating floppy disk...");
        let floppy = floppy::make(self.contents.clone()).await?;
        let path = floppy.path.clone();
        self.floppy.keep(floppy);
        Ok(path)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        drop(self.floppy.take());
        Ok(())
    }
}

/// How the main disk comes to be, from an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The guest writes to an overlay: nothing is copied, and [`Compact`] writes all that it shows to
    /// a new image, or it is the result that the template wants.
    Overlay,
    /// The guest writes to a copy.
    Copy,
}

impl Origin {
    /// What `disks` ask for.
    pub fn of(disks: &Disks) -> Self {
        match disks.use_backing_file || Compact::is_wanted(disks) {
            true => Self::Overlay,
            false => Self::Copy,
        }
    }
}

/// Makes the disks in the output directory.
pub(super) struct MakeDisks {
    pub disks: Disks,
    /// What the main disk starts from; `None`: it is empty.
    pub image: Option<PathBuf>,
    /// Where the main disk and the additional ones go.
    pub paths: Vec<PathBuf>,
}

#[async_trait]
impl Step for MakeDisks {
    type Output = ();

    fn name(&self) -> &'static str {
        "make the disks"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let qemu_img = QemuImg::new(&cx.cancel);
        let (main, additional) = self.paths.split_first().context("there is no disk")?;
        match &self.image {
            Some(image) => self.fill(&qemu_img, image, main, cx).await?,
            None => self.create(&qemu_img, main, &self.disks.disk_size).await?,
        }
        for (path, size) in additional.iter().zip(&self.disks.disk_additional_size) {
            self.create(&qemu_img, path, size).await?;
        }
        Ok(())
    }
}

impl MakeDisks {
    /// Makes an empty disk.
    async fn create(&self, qemu_img: &QemuImg, path: &Path, written: &str) -> anyhow::Result<()> {
        let (format, extra) = (self.disks.format.name(), &self.disks.qemu_img_args.create);
        qemu_img.create(path, format, &size(written)?, extra).await
    }

    /// Makes a disk that shows `image`.
    async fn fill(
        &self,
        qemu_img: &QemuImg,
        image: &Path,
        path: &Path,
        cx: &BuildContext,
    ) -> anyhow::Result<()> {
        let image = (image, format::of(image)?);
        let extra = &self.disks.qemu_img_args;
        match Origin::of(&self.disks) {
            Origin::Overlay => qemu_img.overlay(path, image, &extra.create).await?,
            Origin::Copy => self.copy(qemu_img, image, path, cx).await?,
        }
        if self.disks.skip_resize_disk {
            return Ok(());
        }
        let size = size(&self.disks.disk_size)?;
        qemu_img.resize(path, self.disks.format.name(), &size, &extra.resize).await
    }

    async fn copy(
        &self,
        qemu_img: &QemuImg,
        image: (&Path, &str),
        to: &Path,
        cx: &BuildContext,
    ) -> anyhow::Result<()> {
        cx.ui.say("Copying hard drive...");
        let (format, extra) = (self.disks.format, &self.disks.qemu_img_args.convert);
        if format == Format::Qcow2 && extra.is_empty() && image.1 == format.name() {
            return disk::copy(image.0.to_owned(), to.to_owned()).await;
        }
        // A raw image is copied in this way too: `qemu-img` skips its holes.
        qemu_img.convert(image, (to, format.name()), extra).await
    }
}

fn size(written: &str) -> anyhow::Result<String> {
    disk::parse_size(written).with_context(|| format!("`{written}` is no disk size"))
}

/// Writes a finished disk without what it does not need.
pub(super) struct Compact {
    pub disks: Disks,
    pub path: PathBuf,
    /// In which form.
    pub to: Format,
}

impl Compact {
    /// Whether `disks` ask for that; it is about the main disk.
    pub fn is_wanted(disks: &Disks) -> bool {
        let keeps_all = disks.skip_compaction && !disks.disk_compression;
        disks.format == Format::Qcow2 && !disks.use_backing_file && !keeps_all
    }
}

#[async_trait]
impl Step for Compact {
    type Output = ();

    fn name(&self) -> &'static str {
        "compact the disk"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Converting hard drive...");
        let converted = beside(&self.path, ".convert");
        let mut extra = self.disks.qemu_img_args.convert.clone();
        if self.disks.disk_compression && self.to == Format::Qcow2 {
            extra.insert(0, "-c".to_owned());
        }
        let (from, to) = (self.disks.format.name(), self.to.name());
        let qemu_img = QemuImg::new(&cx.cancel);
        qemu_img.convert((&self.path, from), (&converted, to), &extra).await?;
        let renamed = tokio::fs::rename(&converted, &self.path).await;
        renamed.with_context(|| format!("cannot replace {}", self.path.display()))
    }
}
