//! Images of Dockerfiles: by BuildKit, where the engine would take it itself, else by the builder that
//! every engine has.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context as _, bail};
use bollard::models::{BuildInfoAux, SystemVersion};
use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::build_log::BuildLog;
use super::credentials::Credentials;
use super::directory::{Directory, LARGEST_TEXT};
use super::engine::Engine;
use super::image::{full_id, next_told};
use super::name::ImageName;
use crate::env::Environment;
use crate::event::Ui;
use crate::peer;

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
    let image = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("from"))?;
        let name = words.find(|word| !word.starts_with("--"))?;
        Some(ImageName::parse(name).ok()?.registry().to_owned())
    };
    Ok(text.lines().filter_map(image).collect())
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
        let credentials = credentials.map(|(host, who)| (host.clone(), who.for_engine())).collect();
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

/// The name of the connection by which BuildKit asks for what it needs.
fn new_session() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Engines of this version of the interface and later take BuildKit by themselves; those of the other one
/// and later have it.
const TAKES_BUILDKIT: (u32, u32) = (1, 42);
const HAS_BUILDKIT: (u32, u32) = (1, 39);

/// Who builds images in an engine that says `version` of itself: as Docker's own program decides it.
///
/// # Errors
/// If `DOCKER_BUILDKIT` says neither yes nor no.
pub(super) fn builder(
    version: &SystemVersion,
    environment: &Environment,
) -> anyhow::Result<BuilderVersion> {
    let is_podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
    let knows = |least: (u32, u32)| {
        let said = version.api_version.as_deref().unwrap_or_default().split_once('.');
        let said = said.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        said.is_some_and(|said: (u32, u32)| said >= least)
    };
    let can = !is_podman && version.os.as_deref() == Some("linux") && knows(HAS_BUILDKIT);
    let wants = match environment.get("DOCKER_BUILDKIT") {
        None | Some("") => knows(TAKES_BUILDKIT),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => true,
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => false,
        Some(other) => bail!("DOCKER_BUILDKIT is `{other}`: it is 1 or 0"),
    };
    match can && wants {
        true => Ok(BuilderVersion::BuilderBuildKit),
        false => Ok(BuilderVersion::BuilderV1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard::models::SystemVersionComponents;
    use jiff::Timestamp;

    use super::*;

    fn environment(wanted: Option<&str>) -> Environment {
        let vars = wanted.map(|value| ("DOCKER_BUILDKIT".to_owned(), value.to_owned()));
        let vars: BTreeMap<_, _> = vars.into_iter().collect();
        Environment::new(vars, "/".into(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn buildkit_is_taken_where_docker_takes_it() {
        let linux = |version: &str| SystemVersion {
            api_version: Some(version.to_owned()),
            os: Some("linux".to_owned()),
            ..SystemVersion::default()
        };
        let windows = SystemVersion { os: Some("windows".to_owned()), ..linux("1.50") };
        let name = "Podman Engine".to_owned();
        let podman = SystemVersionComponents { name, ..SystemVersionComponents::default() };
        let podman = SystemVersion { components: Some(vec![podman]), ..linux("1.41") };
        for (version, given, takes_it) in [
            (linux("1.41"), None, false),
            (linux("1.42"), None, true),
            (linux("1.41"), Some("1"), true),
            (linux("1.50"), Some("0"), false),
            (linux("1.38"), Some("true"), false),
            (windows, Some("1"), false),
            (podman, Some("1"), false),
        ] {
            let environment = environment(given);
            let taken = builder(&version, &environment).unwrap();
            assert_eq!(taken == BuilderVersion::BuilderBuildKit, takes_it, "{version:?} {given:?}");
        }
        assert!(builder(&linux("1.50"), &environment(Some("maybe"))).is_err());
    }
}
