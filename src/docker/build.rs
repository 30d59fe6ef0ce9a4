//! Images of Dockerfiles: by BuildKit, where the engine would take it itself, else by the builder that
//! every engine has.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::Context as _;
use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::build_log::BuildLog;
use super::credentials::{Credentials, HUB_KEY};
use super::directory::{Directory, LARGEST_TEXT};
use super::engine::Engine;
use super::image::{full_id, next_told};
use super::name::{HUB, ImageName};
use crate::event::Ui;
use crate::peer;

/// The server of Docker Hub.
const HUB_HOST: &str = "registry-1.docker.io";

/// How much may wait between the packing and the sending.
const WAITING: usize = 256 * 1024;

/// What an image is to be built of.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The Dockerfile.
    pub dockerfile: &'a Path,
    /// The directory that its instructions copy from.
    pub directory: &'a Path,
    /// The name by which the image is found again.
    pub name: &'a ImageName,
    /// `ARG`s.
    pub arguments: HashMap<String, String>,
    /// Whether the images that it begins with are fetched anew.
    pub pull: bool,
    /// Whether the directory is sent compressed.
    pub compress: bool,
    /// `os/architecture`; the engine's own if empty.
    pub platform: &'a str,
    /// Who logs in to which registry.
    pub credentials: Vec<(String, Credentials)>,
}

/// The registries that `dockerfile` names images of, as far as they can be known.
///
/// # Errors
/// When it cannot be read.
pub fn registries_of(dockerfile: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = peer::read_regular_text(dockerfile, LARGEST_TEXT);
    let text = text.with_context(|| format!("cannot read {}", dockerfile.display()))?;
    Ok(registries_in(&text))
}

fn registries_in(dockerfile: &str) -> BTreeSet<String> {
    let base = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("from"))?;
        words.find(|word| !word.starts_with("--")).map(str::to_owned)
    };
    // What is copied from another image; stages and their numbers name no registry.
    let copied = dockerfile.split(|c: char| c.is_whitespace() || c == ',').filter_map(|word| {
        let name = word.strip_prefix("--from=").or_else(|| word.strip_prefix("from="))?;
        name.contains('/').then(|| name.to_owned())
    });
    let registry = |name: String| Some(ImageName::parse(&name).ok()?.registry().to_owned());
    dockerfile.lines().filter_map(base).chain(copied).filter_map(registry).collect()
}

impl Engine {
    /// Builds an image; its id.
    pub async fn build(&self, recipe: Recipe<'_>, ui: &Ui) -> anyhow::Result<String> {
        let directory = Directory::of(recipe.dockerfile, recipe.directory)?;
        let version = self.builder;
        let session = (version == BuilderVersion::BuilderBuildKit).then(new_session);
        let options = BuildImageOptions {
            version,
            session,
            dockerfile: directory.dockerfile().to_owned(),
            t: Some(recipe.name.to_string()),
            pull: recipe.pull.then(|| "true".to_owned()),
            rm: true,
            forcerm: true,
            buildargs: Some(recipe.arguments).filter(|arguments| !arguments.is_empty()),
            platform: recipe.platform.to_owned(),
            ..BuildImageOptions::default()
        };
        let credentials = recipe.credentials.iter();
        let credentials =
            credentials.map(|(host, who)| (asked_as(host, version), who.for_engine())).collect();
        let (to, from) = tokio::io::duplex(WAITING);
        let compress = recipe.compress;
        let packing = tokio::task::spawn_blocking(move || {
            directory
                .write(std::io::BufWriter::with_capacity(WAITING, SyncIoBridge::new(to)), compress)
        });
        let body = bollard::body_try_stream(ReaderStream::with_capacity(from, WAITING));
        let client = self.patient();
        let told = client.build_image(options, Some(credentials), Some(body));
        let (mut id, mut log) = (None, BuildLog::new(ui));
        let mut told = std::pin::pin!(told);
        let built = async {
            while let Some(told) = next_told(&mut told).await? {
                match told.aux {
                    Some(BuildInfoAux::Default(image)) => id = image.id.or(id.take()),
                    Some(BuildInfoAux::BuildKit(news)) => log.news(news).await,
                    None => {}
                }
                if let Some(text) = told.stream.or(told.status.map(|line| line + "\n")) {
                    log.text(&text).await;
                }
            }
            anyhow::Ok(())
        };
        let built = built.await;
        log.finish().await;
        built?;
        packing.await??;
        id.map(full_id).context("the engine does not say what the image is called")
    }
}

/// What who builds calls the registry `host` when it asks for credentials.
fn asked_as(host: &str, builder: BuilderVersion) -> String {
    match builder {
        _ if host != HUB => host,
        BuilderVersion::BuilderBuildKit => HUB_HOST,
        BuilderVersion::BuilderV1 => HUB_KEY,
    }
    .to_owned()
}

/// The name of the connection by which BuildKit asks for what it needs.
fn new_session() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_those_of_bases_and_of_what_is_copied_from() {
        let found = registries_in(
            "FROM --platform=linux/amd64 ghcr.io/acme/base:1 AS build\nFROM debian\n\
             COPY --from=build /a /a\nCOPY --from=quay.io/acme/tools /b /b\n\
             RUN --mount=type=bind,from=registry.example.com:5000/x,target=/x true\n",
        );
        let all = ["docker.io", "ghcr.io", "quay.io", "registry.example.com:5000"];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), all);
        assert_eq!(asked_as("docker.io", BuilderVersion::BuilderV1), HUB_KEY);
        assert_eq!(asked_as("docker.io", BuilderVersion::BuilderBuildKit), HUB_HOST);
        assert_eq!(asked_as("ghcr.io", BuilderVersion::BuilderBuildKit), "ghcr.io");
    }
}
