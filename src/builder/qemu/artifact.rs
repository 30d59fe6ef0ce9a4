//! What the `qemu` builder leaves: a directory with disk images.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::builder::directories::remove_directory;
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
