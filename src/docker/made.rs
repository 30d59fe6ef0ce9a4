//! What builds make in an engine, as the journal says it: containers and images. Each has a name of
//! its own before it is made, so that it can be found again.
//!
//! Labels would be less: an image takes over those of its container, and a container those of its
//! image, so that what somebody starts from our image would look as if it were ours. A container that
//! the template names otherwise bears its name of ours as an annotation, which no image takes over.

use anyhow::{Context as _, ensure};
use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
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

/// The repository of images that have failed their tests, and stay to be looked at; with the same tag.
const FAILED: &str = "imgbake-failed";

/// The annotation of a container with the name by which we know it.
const NAME: &str = "imgbake.container";

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

/// Whether `name` is one that images have until they are finished, or after they have failed.
pub(super) fn is_unfinished(name: &str) -> bool {
    let name = plain(name);
    let failed = || name.strip_prefix(FAILED)?.strip_prefix(':');
    image_token(name).or_else(failed).is_some_and(is_token)
}

/// What an image with this `name` of ours is called that has failed its tests, and stays.
pub fn failed(name: &ImageName) -> ImageName {
    ImageName { repository: FAILED.to_owned(), ..name.clone() }
}

/// The `name` of an image without what Podman puts before it.
fn plain(name: &str) -> &str {
    name.trim_start_matches("localhost/")
}

/// Has the container `body` say by which `name` we know it.
pub fn annotate(body: &mut ContainerCreateBody, name: &str) {
    let host = body.host_config.get_or_insert_default();
    host.annotations.get_or_insert_default().insert(NAME.to_owned(), name.to_owned());
}

/// The token in the `name` of an image of ours.
fn image_token(name: &str) -> Option<&str> {
    name.strip_prefix(IMAGES)?.strip_prefix(':')
}

/// Whether `text` is a token of ours.
fn is_token(text: &str) -> bool {
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
        let is_old = |one: &ContainerSummary| one.created.is_some_and(|at| at < before.as_second());
        let mut found = Vec::new();
        for one in all.into_iter().filter(is_old) {
            let Some(id) = one.id.clone() else { continue };
            let Some(name) = self.our_name(one, &id).await? else { continue };
            let thing = self.thing("container", &name, MadeKind::Container(name.clone()));
            found.push(thing.known_as(id));
        }
        Ok(found)
    }

    /// The name by which we know the container `id`, if it is ours.
    async fn our_name(
        &self,
        container: ContainerSummary,
        id: &str,
    ) -> Result<Option<String>, EngineError> {
        let is_ours = |name: &String| name.strip_prefix(CONTAINER).is_some_and(is_token);
        let names = container.names.unwrap_or_default();
        let mut names = names.iter().map(|name| name.trim_start_matches('/').to_owned());
        if let Some(name) = names.find(is_ours) {
            return Ok(Some(name));
        }
        // The list does not tell of annotations in every engine.
        let host = self.find_container(id).await?.and_then(|found| found.host_config);
        let said = host.and_then(|host| host.annotations?.remove(NAME));
        Ok(said.filter(is_ours))
    }

    /// Names of ours of images that were made before this moment, and are not finished. Only the name is
    /// known to be ours: for a moment, one of others bears it.
    pub(super) async fn old_images(&self, before: Timestamp) -> Result<Vec<Thing>, EngineError> {
        let all = self.client.list_images(None::<ListImagesOptions>).await?;
        let old = all.into_iter().filter(|one| one.created < before.as_second());
        let names = old.flat_map(|one| one.repo_tags).map(|name| plain(&name).to_owned());
        let ours = names.filter(|name| image_token(name).is_some_and(is_token));
        Ok(ours.map(|name| self.thing("image", &name, MadeKind::Image(name.clone()))).collect())
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
    fn the_line_of_an_earlier_version_is_understood_and_written_as_it_was() {
        let token = "0123456789abcdef0123456789abcdef";
        for (kind, name) in [("container", "imgbake-"), ("image", "imgbake-build:")] {
            let line = json!({"engine": "unix:///x", kind: format!("{name}{token}")});
            let details = json!({ "docker": line });
            let read = Made::of(&Thing::new("x", "x").with_details(details)).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), line);
        }
    }

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
