//! The post-processors of container images: `docker-import`, `docker-tag`, `docker-push`,
//! `docker-save`.

pub mod import;
pub mod push;
pub mod save;
pub mod tag;

use anyhow::anyhow;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Artifact, Check, PostProcessContext};
use crate::docker::artifact::{IMPORTED, TAGGED, TAGS};
use crate::docker::name::ImageName;
use crate::docker::{Engine, Program};

/// The option of all of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EngineOptions {
    /// `podman` for Podman's engine; otherwise it is Docker's.
    docker_path: String,
}

impl EngineOptions {
    fn program(&self, check: &mut Check<'_>) -> Option<Program> {
        Program::check(&self.docker_path, check)
    }
}

/// The name that `option` gives to an image.
fn name(option: &str, given: &str, check: &mut Check<'_>) -> Option<ImageName> {
    let name = ImageName::parse(given);
    name.map_err(|cause| check.error(option, cause).severity).ok()
}

/// Connects to the engine that has the image.
async fn engine(program: &Program, cx: &PostProcessContext) -> anyhow::Result<Engine> {
    Engine::open(&cx.facts.scope.environment, program).await
}

/// Why `component` can make nothing of an artifact of this builder id, if that is so.
fn not_an_image(builder_id: &str, component: &str) -> Option<String> {
    let is_image = [IMPORTED, TAGGED].contains(&builder_id);
    (!is_image).then(|| {
        format!(
            "Unknown artifact type: {builder_id}\n{component} takes images of the builder `docker` \
             with `commit = true`, of `docker-import` and of `docker-tag`"
        )
    })
}

/// An image that a builder or a post-processor left.
struct Input {
    /// What it is known by: `sha256:…`, or a name.
    id: String,
    /// The names that it was given.
    tags: Vec<String>,
}

impl Input {
    /// The image that `artifact` is.
    fn of(artifact: &dyn Artifact) -> anyhow::Result<Self> {
        let tags = artifact.state(TAGS);
        let tags = tags.map(serde_json::from_value).transpose();
        let tags = tags.map_err(|error| anyhow!("the names of the image are odd: {error}"))?;
        Ok(Self { id: artifact.id(), tags: tags.unwrap_or_default() })
    }

    /// All names of the image, each once. An id is none.
    fn names(&self) -> anyhow::Result<Vec<ImageName>> {
        let is_name = |name: &&String| !name.starts_with("sha256:");
        let all = std::iter::once(&self.id).chain(&self.tags).filter(is_name);
        let mut names = Vec::new();
        for name in all {
            let name = ImageName::parse(name).map_err(|cause| anyhow!(cause))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }
}
