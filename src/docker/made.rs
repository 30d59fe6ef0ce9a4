//! What builds make in an engine, as the journal says it: containers and images. Each has a name of
//! its own before it is made, so that it can be found again.
//!
//! Labels would be less: an image takes over those of its container, and a container those of its
//! image, so that what somebody starts from our image would look as if it were ours.

use anyhow::{Context as _, ensure};
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::endpoint::Endpoint;
use super::engine::{Engine, EngineError};
use super::name::ImageName;
use crate::env::Environment;
use crate::journal::Thing;

/// What names of containers begin with; a token follows.
pub(super) const CONTAINER: &str = "imgbake-";

/// The repository of images that nothing else names yet; the tag is a token.
const IMAGES: &str = "imgbake-build";

/// What the journal says of a thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Made {
    pub engine: Endpoint,
    #[serde(flatten)]
    pub kind: MadeKind,
}

/// What it is, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MadeKind {
    Container(String),
    Image(String),
}

#[derive(Deserialize)]
struct Details {
    docker: Made,
}

impl Made {
    /// Whether `thing` is in an engine.
    pub fn is_one(thing: &Thing) -> bool {
        thing.details().is_some_and(|details| details.get("docker").is_some())
    }

    /// What the journal says of `thing`.
    ///
    /// # Errors
    /// When no build would have made it: whoever forges a journal could have us remove anything.
    pub fn of(thing: &Thing) -> anyhow::Result<Self> {
        let details = thing.details().cloned().unwrap_or_default();
        let Details { docker } = Details::deserialize(details)
            .with_context(|| format!("{thing} is nothing that this version knows"))?;
        let token = match &docker.kind {
            MadeKind::Container(name) => name.strip_prefix(CONTAINER),
            MadeKind::Image(name) => image_token(name),
        };
        ensure!(token.is_some_and(is_token), "{thing} is called as no build calls anything");
        Ok(docker)
    }
}

/// Whether `name` is one that images have until they are finished.
pub(super) fn is_image(name: &str) -> bool {
    image_token(name.trim_start_matches("localhost/")).is_some_and(is_token)
}

/// The token in the `name` of an image of ours.
fn image_token(name: &str) -> Option<&str> {
    name.strip_prefix(IMAGES)?.strip_prefix(':')
}

/// Whether `text` is a token of ours.
pub(super) fn is_token(text: &str) -> bool {
    text.len() == 32 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// What one build calls what it makes.
#[derive(Clone, Debug)]
pub struct Names {
    token: String,
}

impl Names {
    /// Names that nobody else has.
    pub fn new(environment: &Environment) -> Self {
        Self { token: environment.new_uuid().simple().to_string() }
    }

    /// That of the container.
    pub fn container(&self) -> String {
        format!("{CONTAINER}{}", self.token)
    }

    /// That of the image, until it is there.
    pub fn image(&self) -> ImageName {
        ImageName { repository: IMAGES.to_owned(), tag: self.token.clone(), digest: None }
    }
}

impl Engine {
    /// The journal's line about a container.
    pub fn container_thing(&self, names: &Names) -> Thing {
        self.thing("container", &names.container(), MadeKind::Container(names.container()))
    }

    /// Containers of ours that were made before this moment.
    pub(super) async fn old_containers(
        &self,
        before: Timestamp,
    ) -> Result<Vec<Thing>, EngineError> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let all = self.client.list_containers(Some(options)).await?;
        let thing = |one: ContainerSummary| {
            let name = one.names?.into_iter().next()?.trim_start_matches('/').to_owned();
            let is_ours = name.strip_prefix(CONTAINER).is_some_and(is_token);
            let is_old = one.created.is_some_and(|created| created < before.as_second());
            let thing = self.thing("container", &name, MadeKind::Container(name.clone()));
            (is_ours && is_old).then(|| thing.known_as(one.id.unwrap_or(name)))
        };
        Ok(all.into_iter().filter_map(thing).collect())
    }

    /// The journal's line about an image.
    pub fn image_thing(&self, name: &ImageName) -> Thing {
        self.thing("image", &name.to_string(), MadeKind::Image(name.to_string()))
    }

    fn thing(&self, kind: &str, name: &str, made: MadeKind) -> Thing {
        let made = Made { engine: self.endpoint.clone(), kind: made };
        Thing::new(kind, name).at(self.host()).with_details(json!({ "docker": made }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_that_no_build_makes() {
        let token = "0123456789abcdef0123456789abcdef";
        let of = |made: serde_json::Value| {
            let mut details = made;
            details["engine"] = json!("unix:///x");
            Made::of(&Thing::new("x", "x").with_details(json!({ "docker": details })))
        };
        assert!(of(json!({"container": format!("imgbake-{token}")})).is_ok());
        assert!(of(json!({"image": format!("imgbake-build:{token}")})).is_ok());
        for forged in [
            json!({"container": "database"}),
            json!({"container": "imgbake-../../images"}),
            json!({"image": "debian:12"}),
            json!({"image": format!("imgbake-build{token}")}),
            json!({"volume": token}),
        ] {
            assert!(of(forged.clone()).is_err(), "{forged}");
        }
    }
}
