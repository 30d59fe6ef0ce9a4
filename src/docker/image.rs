//! Images: pulled, made, named, kept in files, pushed, removed.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bollard::models::{ContainerConfig, ImageInspect};
use bollard::query_parameters::{
    CommitContainerOptions, CreateImageOptions, PushImageOptions, RemoveImageOptions,
    TagImageOptions,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio_util::bytes::Bytes;

use super::credentials::Credentials;
use super::engine::{Engine, EngineError, if_there};
use super::name::ImageName;
use crate::event::{Message, Progress, Ui};
use crate::guest::harmless;

/// How long an engine may say nothing of what it does with an image.
const SILENT: Duration = Duration::from_secs(30 * 60);

/// What an image is to be made of a container with.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// The container.
    pub container: &'a str,
    /// What the image is called.
    pub name: &'a ImageName,
    /// Who has made it.
    pub author: &'a str,
    /// What was changed.
    pub message: &'a str,
    /// Lines of a Dockerfile.
    pub changes: &'a [String],
}

/// What an image is to be made of a file with.
#[derive(Clone, Debug, Default)]
pub struct Import<'a> {
    /// What the image is called.
    pub name: Option<&'a ImageName>,
    /// `os/architecture`; the engine's own if empty.
    pub platform: &'a str,
    /// Lines of a Dockerfile.
    pub changes: &'a [String],
}

impl Engine {
    /// Fetches the image `name` from its registry.
    pub async fn pull(
        &self,
        name: &ImageName,
        platform: &str,
        credentials: Option<&Credentials>,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let options = CreateImageOptions {
            from_image: Some(name.repository.clone()),
            tag: Some(name.version().to_owned()),
            platform: platform.to_owned(),
            ..CreateImageOptions::default()
        };
        let credentials = credentials.map(Credentials::for_engine);
        let told = self.patient().create_image(Some(options), None, credentials);
        let mut layers = Layers::new(ui, format!("pull {name}"));
        let mut told = std::pin::pin!(told);
        while let Some(told) = next_told(&mut told).await? {
            layers.take(told.id, told.status, told.progress_detail);
        }
        Ok(())
    }

    /// What is known of the image `name`, if it is there.
    pub async fn find_image(&self, name: &str) -> Result<Option<ImageInspect>, EngineError> {
        if_there(self.client.inspect_image(name).await)
    }

    /// Makes an image of a container; its id.
    pub async fn commit(&self, commit: Commit<'_>) -> Result<String, EngineError> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let options = CommitContainerOptions {
            container: Some(commit.container.to_owned()),
            repo: Some(commit.name.repository.clone()),
            tag: Some(commit.name.tag.clone()),
            comment: given(commit.message),
            author: given(commit.author),
            pause: true,
            changes: given(&commit.changes.join("\n")),
        };
        let made = self.patient().commit_container(options, ContainerConfig::default()).await?;
        Ok(full_id(made.id))
    }

    /// Calls `image` `name`, too. Another image that was called so loses the name.
    pub async fn tag(&self, image: &str, name: &ImageName) -> Result<(), EngineError> {
        let (repo, tag) = (Some(name.repository.clone()), Some(name.tag.clone()));
        Ok(self.client.tag_image(image, Some(TagImageOptions { repo, tag })).await?)
    }

    /// Takes the name `image` away, and the image with it if it has no other name and nothing needs
    /// it; an id stands for all of its names. One that is not there is no error.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptions::default();
        let removed = self.patient().remove_image(image, Some(options), None).await;
        if_there(removed).map(|_| ())
    }

    /// The files of a container, as an archive.
    pub fn export(
        &self,
        container: &str,
    ) -> impl Stream<Item = Result<Bytes, EngineError>> + use<> {
        self.patient().export_container(container).map_err(EngineError::from)
    }

    /// An image with its layers and its names, as an archive.
    pub fn save(&self, image: &str) -> impl Stream<Item = Result<Bytes, EngineError>> + use<> {
        self.patient().export_image(image).map_err(EngineError::from)
    }

    /// Makes an image of an archive; its id.
    pub async fn import(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        import: Import<'_>,
    ) -> anyhow::Result<String> {
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: import.name.map(|name| name.repository.clone()),
            tag: import.name.map(|name| name.tag.clone()),
            platform: import.platform.to_owned(),
            changes: import.changes.to_vec(),
            ..CreateImageOptions::default()
        };
        let body = Some(bollard::body_try_stream(archive));
        let mut id = None;
        let told = self.patient().create_image(Some(options), body, None);
        let mut told = std::pin::pin!(told);
        while let Some(told) = next_told(&mut told).await? {
            id = told.status.or(id);
        }
        let id = id.map(full_id).filter(|id| id.starts_with(SHA256));
        id.context("the engine does not say what the image is called")
    }

    /// Sends the image `name` to its registry; its digest there.
    pub async fn push(
        &self,
        name: &ImageName,
        platform: &str,
        credentials: Option<&Credentials>,
        ui: &Ui,
    ) -> anyhow::Result<Option<String>> {
        let given = Some(platform.to_owned()).filter(|platform| !platform.is_empty());
        let options = PushImageOptions { tag: Some(name.tag.clone()), platform: given };
        let credentials = credentials.map(Credentials::for_engine);
        let told = self.patient().push_image(&name.repository, Some(options), credentials);
        let mut layers = Layers::new(ui, format!("push {name}"));
        let mut digest = None;
        let mut told = std::pin::pin!(told);
        while let Some(told) = next_told(&mut told).await? {
            digest = told.status.as_deref().and_then(digest_in).or(digest);
            layers.take(None, told.status, told.progress_detail);
        }
        Ok(digest)
    }
}

/// What ids of images begin with.
const SHA256: &str = "sha256:";

/// An id as Docker writes it; Podman leaves out what it begins with.
pub(super) fn full_id(id: String) -> String {
    let is_bare = id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit());
    if is_bare { format!("{SHA256}{id}") } else { id }
}

/// The digest in `latest: digest: sha256:… size: 528`.
fn digest_in(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    Some(rest.split_whitespace().next()?.to_owned())
}

/// What an engine tells next of a call, as long as it goes on telling; `None` at its end.
pub(super) async fn next_told<T>(
    told: &mut (impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin),
) -> anyhow::Result<Option<T>> {
    match tokio::time::timeout(SILENT, told.next()).await {
        Err(_) => bail!("the engine has said nothing for {SILENT:?}"),
        Ok(told) => Ok(told.transpose().map_err(EngineError::from)?),
    }
}

/// How far the layers of an image are on their way.
pub(super) struct Layers<'a> {
    ui: &'a Ui,
    what: String,
    known: std::collections::BTreeMap<String, (u64, u64)>,
}

impl<'a> Layers<'a> {
    fn new(ui: &'a Ui, what: String) -> Self {
        Self { ui, what, known: Default::default() }
    }

    /// Shows what is about the whole image; of a layer only how far it is.
    fn take(
        &mut self,
        layer: Option<String>,
        status: Option<String>,
        detail: Option<bollard::models::ProgressDetail>,
    ) {
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let detail = detail.map(|detail| (number(detail.current), number(detail.total)));
        match (status, detail) {
            (_, Some((Some(current), Some(total)))) => {
                self.known.insert(layer.unwrap_or_default(), (current, total));
                self.report(false);
            }
            (Some(status), _) if is_of_all(&status) => {
                self.ui.say(harmless(status.as_bytes()));
            }
            _ => {}
        }
    }

    fn report(&self, finished: bool) {
        let (what, total) = (self.what.clone(), self.known.values().map(|(_, total)| total).sum());
        let done = self.known.values().map(|(done, _)| done).sum();
        self.ui.send(Message::Progress(Progress { what, done, total: Some(total), finished }));
    }
}

impl Drop for Layers<'_> {
    fn drop(&mut self) {
        if !self.known.is_empty() {
            self.report(true);
        }
    }
}

/// Whether `status` is about a whole image, and news.
fn is_of_all(status: &str) -> bool {
    let begins = ["Pulling from ", "Digest: ", "Status: ", "The push refers to "];
    begins.iter().any(|begin| status.starts_with(begin)) || status.contains(": digest: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_stands_in_the_last_line_of_a_push() {
        let line = "1.0: digest: sha256:abc size: 528";
        assert_eq!(digest_in(line).as_deref(), Some("sha256:abc"));
        assert_eq!(digest_in("Pushed"), None);
    }
}
