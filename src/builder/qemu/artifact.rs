//! What the `qemu` builder leaves: a directory with disk images.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Qemu, firmware};
use crate::builder::output::remove_directory;
use crate::component::Artifact;
use crate::interpolate::BuildData;

/// What artifacts of this builder are known by.
pub const BUILDER_ID: &str = "transcend.qemu";

/// The finished image.
#[derive(Debug)]
pub(super) struct Image {
    pub directory: PathBuf,
    /// All files in the directory that belong to it.
    pub files: Vec<PathBuf>,
    /// The main disk first.
    pub disks: Vec<PathBuf>,
    pub disk_name: String,
    pub format: &'static str,
    pub size: String,
    pub accelerator: String,
    pub build_data: BuildData,
}

#[async_trait]
impl Artifact for Image {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        "VM".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn describe(&self) -> String {
        format!("VM files in directory: {}", self.directory.display())
    }

    fn state(&self, name: &str) -> Option<Value> {
        Some(match name {
            "diskName" => json!(self.disk_name),
            "diskPaths" => json!(self.disks),
            "diskType" => json!(self.format),
            "diskSize" => json!(self.size),
            "domainType" => json!(self.accelerator),
            _ => return None,
        })
    }

    fn build_data(&self) -> BuildData {
        self.build_data.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        remove_directory(&self.directory).await
    }
}

impl Qemu {
    /// The image in the output directory, as it is now.
    pub(super) fn artifact(
        &self,
        accelerator: &str,
        build_data: BuildData,
    ) -> anyhow::Result<Image> {
        let mut files = files_below(&self.directory)
            .with_context(|| format!("cannot read {}", self.directory.display()))?;
        if self.firmware.efi_drop_efivars {
            files.retain(|path| !path.ends_with(firmware::VARIABLES));
        }
        Ok(Image { files, ..self.image(accelerator, build_data) })
    }

    /// The image without its files.
    pub(super) fn image(&self, accelerator: &str, build_data: BuildData) -> Image {
        Image {
            directory: self.directory.clone(),
            files: Vec::new(),
            disks: self.disk_paths(),
            disk_name: self.name.clone(),
            format: self.disks.format.name(),
            size: self.disks.disk_size.clone(),
            accelerator: accelerator.to_owned(),
            build_data,
        }
    }
}

/// All files below `directory`, in the order of their names.
fn files_below(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = walkdir::WalkDir::new(directory).min_depth(1).sort_by_file_name().into_iter();
    // QEMU may leave a socket.
    let is_file =
        |entry: &walkdir::DirEntry| entry.file_type().is_file() || entry.path_is_symlink();
    let files = entries.filter(|entry| entry.as_ref().map_or(true, is_file));
    files.map(|entry| Ok(entry?.into_path())).collect()
}
