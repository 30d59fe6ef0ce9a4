//! An image in an engine, as builds and post-processors leave it.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::engine::Engine;
use crate::component::Artifact;
use crate::interpolate::BuildData;

/// The builder id of images that were committed or imported.
pub const IMPORTED: &str = "packer.post-processor.docker-import";

/// The builder id of images that were given a name.
pub const TAGGED: &str = "packer.post-processor.docker-tag";

/// What files of containers are known by.
pub const EXPORTED: &str = "packer.docker";

/// The state that lists the names of an image.
pub const TAGS: &str = "docker_tags";

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it is.
    pub engine: Engine,
    /// [`IMPORTED`] or [`TAGGED`].
    pub builder_id: &'static str,
    /// `sha256:…`, or a name.
    pub id: String,
    /// The names that it was given.
    pub tags: Vec<String>,
    /// What is known of how it was made.
    pub build_data: BuildData,
}

#[async_trait]
impl Artifact for Image {
    fn builder_id(&self) -> &str {
        self.builder_id
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn describe(&self) -> String {
        match self.tags.as_slice() {
            [] => format!("Imported Docker image: {}", self.id),
            tags => format!("Imported Docker image: {} with tags {}", self.id, tags.join(" ")),
        }
    }

    fn state(&self, name: &str) -> Option<Json> {
        (name == TAGS && !self.tags.is_empty()).then(|| json!(self.tags))
    }

    fn build_data(&self) -> BuildData {
        self.build_data.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(self.engine.remove_image(&self.id).await?)
    }
}
