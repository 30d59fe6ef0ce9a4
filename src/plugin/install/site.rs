//! Where releases are: HashiCorp's site, GitHub, or a mirror.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use octocrab::Octocrab;
use reqwest::StatusCode;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use super::parts;
use super::signature::{self, Publisher};
use crate::env::Environment;
use crate::event::{Message, Progress, Ui};
use crate::peer::{Allowance, open_regular, read_regular};
use crate::plugin::installed::platform;
use crate::plugin::version::Version;
use crate::secret::Secret;
use crate::web;

/// A directory or a URL that stands for all sites.
const MIRROR: &str = "IMGBAKE_PLUGIN_MIRROR";

const SMALL: Allowance = Allowance::new("the answer", 16 << 20, Duration::from_secs(60));
const ARCHIVE: Allowance = Allowance::new("the archive", 2 << 30, Duration::from_secs(30 * 60));

/// Packer, as HashiCorp's site calls it.
const TOOL: &str = "packer";

/// How often the progress of a download is told.
const STEP: u64 = 1 << 20;

/// One place that has releases of one plugin, or of Packer itself.
pub(super) struct Site {
    kind: Kind,
    name: String,
    /// What its files are called: `packer-plugin-NAME`, or [`TOOL`].
    product: String,
    publisher: Publisher,
    client: reqwest::Client,
}

enum Kind {
    /// releases.hashicorp.com
    HashiCorp { base: String },
    /// GitHub: its interface for the list, its pages for the files.
    GitHub { api: String, pages: String, owner: String, token: Option<Secret> },
    /// A server with one directory for each plugin, named as its source.
    MirrorUrl { base: String },
    /// The same as files.
    MirrorDir { dir: PathBuf },
}

/// HashiCorp's site, unless `IMGBAKE_RELEASES_URL` names another server.
const HASHICORP: &str = "https://releases.hashicorp.com";

impl Kind {
    fn hashicorp(environment: &Environment) -> Self {
        Self::HashiCorp { base: base(environment, "IMGBAKE_RELEASES_URL", HASHICORP) }
    }

    /// Who has published what is there, if it is HashiCorp's as `is_hashicorp` says.
    fn publisher(&self, is_hashicorp: bool) -> Publisher {
        match self {
            _ if !is_hashicorp => Publisher::Other,
            Self::HashiCorp { base } if base == HASHICORP => Publisher::HashiCorp,
            Self::HashiCorp { .. } => Publisher::HashiCorpMirrored,
            // A mirror may have what was at either of them.
            Self::GitHub { .. } | Self::MirrorUrl { .. } | Self::MirrorDir { .. } => {
                Publisher::HashiCorpsTeams
            }
        }
    }
}

/// The URL that the variable `name` gives, or else the usual one.
fn base(environment: &Environment, name: &str, usual: &str) -> String {
    environment.get(name).unwrap_or(usual).trim_end_matches('/').to_owned()
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::HashiCorp { base } | Kind::MirrorUrl { base } => f.write_str(base),
            Kind::GitHub { pages, owner, .. } => write!(f, "{pages}/{owner}"),
            Kind::MirrorDir { dir } => write!(f, "{}", dir.display()),
        }
    }
}

/// One version of a plugin.
pub(super) struct Release {
    pub version: Version,
    /// The archive for the platform.
    entry: String,
    /// Its SHA-256.
    pub sum: String,
    /// Those of the archives for all platforms.
    pub sums: BTreeMap<String, String>,
    sums_name: String,
    sums_text: Vec<u8>,
}

impl Site {
    /// The sites that have the plugin `source`, the first to be asked first.
    pub fn of(source: &str, environment: &Arc<Environment>) -> anyhow::Result<Vec<Self>> {
        let parts = parts(source)?;
        let name = parts.last().copied().unwrap_or_default();
        let client = web::client().read_timeout(Duration::from_secs(60)).build()?;
        let product = format!("packer-plugin-{name}");
        let is_hashicorp = parts.starts_with(&["github.com", "hashicorp"]);
        let site = |kind: Kind| Self {
            publisher: kind.publisher(is_hashicorp),
            kind,
            name: name.to_owned(),
            product: product.clone(),
            client: client.clone(),
        };
        if let Some(mirror) = environment.get(MIRROR) {
            let kind = match mirror.contains("://") {
                true => {
                    Kind::MirrorUrl { base: format!("{}/{source}", mirror.trim_end_matches('/')) }
                }
                false => Kind::MirrorDir { dir: environment.cwd.join(mirror).join(source) },
            };
            return Ok(vec![site(kind)]);
        }
        let &["github.com", owner, _] = parts.as_slice() else {
            bail!(
                "plugins are fetched from github.com only; `imgbake plugins install -path FILE {source}` installs a file"
            );
        };
        let base = |name: &str, usual: &str| base(environment, name, usual);
        let token = ["PACKER_GITHUB_API_TOKEN", "GITHUB_TOKEN"];
        let github = Kind::GitHub {
            api: base("IMGBAKE_GITHUB_API_URL", "https://api.github.com"),
            pages: base("IMGBAKE_GITHUB_URL", "https://github.com"),
            owner: owner.to_owned(),
            token: token.iter().find_map(|name| environment.get(name)).map(Secret::new),
        };
        // The other site knows no owners: only HashiCorp's own plugins are there.
        let hashicorp = is_hashicorp.then(|| Kind::hashicorp(environment));
        Ok(hashicorp.into_iter().chain([github]).map(site).collect())
    }

    /// The site that has Packer.
    pub fn of_tool(environment: &Environment) -> anyhow::Result<Self> {
        let client = web::client().read_timeout(Duration::from_secs(60)).build()?;
        let (name, product) = (TOOL.to_owned(), TOOL.to_owned());
        let kind = Kind::hashicorp(environment);
        Ok(Self { publisher: kind.publisher(true), kind, name, product, client })
    }

    /// All versions that it has.
    pub async fn versions(&self) -> anyhow::Result<Vec<Version>> {
        let names: Vec<String> = match &self.kind {
            Kind::GitHub { api, owner, token, .. } => self.tags(api, owner, token.as_ref()).await?,
            Kind::MirrorDir { dir } => self.listed(dir)?,
            Kind::HashiCorp { .. } | Kind::MirrorUrl { .. } => {
                let index: Json = serde_json::from_slice(&self.get("index.json").await?)?;
                let versions = index.get("versions").and_then(Json::as_object);
                versions.context("it lists no versions")?.keys().cloned().collect()
            }
        };
        Ok(names.iter().filter_map(|name| Version::parse(name).ok()).collect())
    }

    /// The versions whose sums are in the directory of a mirror.
    fn listed(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let prefix = format!("{}_v", self.product);
        let version = |name: String| {
            Some(name.strip_prefix(&prefix)?.strip_suffix("_SHA256SUMS")?.to_owned())
        };
        Ok(names.filter_map(version).collect())
    }

    async fn tags(
        &self,
        api: &str,
        owner: &str,
        token: Option<&Secret>,
    ) -> anyhow::Result<Vec<String>> {
        let client = github(api, token)?;
        let route = format!("/repos/{owner}/{}/git/matching-refs/tags", self.product);
        let tags = SMALL.in_time(client.get::<Vec<Json>, _, _>(route, None::<&()>)).await?;
        let tags = tags.map_err(|error| refusal(error, token.is_some()))?;
        let tags =
            tags.iter().filter_map(|tag| tag.get("ref")?.as_str()?.strip_prefix("refs/tags/"));
        Ok(tags.map(str::to_owned).collect())
    }

    /// What belongs to `version` of a plugin; `None` if nothing of it is for this machine, or for our
    /// version of the protocol.
    pub async fn release(&self, version: &Version) -> anyhow::Result<Option<Release>> {
        let Some(release) = self.release_for(version, &platform()).await? else { return Ok(None) };
        let tells_protocol = matches!(self.kind, Kind::HashiCorp { .. });
        let fits_protocol = !tells_protocol || self.has_our_protocol(version.text()).await?;
        Ok(fits_protocol.then_some(release))
    }

    /// What belongs to `version`, for machines of `platform`, whatever protocol it speaks.
    pub async fn release_for(
        &self,
        version: &Version,
        platform: &str,
    ) -> anyhow::Result<Option<Release>> {
        let (plugin, v) = (&self.product, version.text());
        let sums_name = match self.kind {
            Kind::HashiCorp { .. } => format!("{v}/{plugin}_{v}_SHA256SUMS"),
            Kind::GitHub { .. } => format!("v{v}/{plugin}_v{v}_SHA256SUMS"),
            _ => format!("{plugin}_v{v}_SHA256SUMS"),
        };
        let sums_text = self.get(&sums_name).await?;
        let is_hashicorp = matches!(self.kind, Kind::HashiCorp { .. });
        let prefix = match is_hashicorp {
            true => format!("{plugin}_{v}_"),
            false => format!("{plugin}_v{v}_x5.0_"),
        };
        let sums = sums(&String::from_utf8_lossy(&sums_text), &prefix);
        let Some(sum) = sums.get(platform).cloned() else { return Ok(None) };
        let entry = format!("{prefix}{platform}.zip");
        let entry = match self.kind {
            Kind::HashiCorp { .. } => format!("{v}/{entry}"),
            Kind::GitHub { .. } => format!("v{v}/{entry}"),
            _ => entry,
        };
        Ok(Some(Release { version: version.clone(), entry, sum, sums, sums_name, sums_text }))
    }

    /// Whether the version `v` speaks our version of the protocol: HashiCorp's site says that in a file.
    async fn has_our_protocol(&self, v: &str) -> anyhow::Result<bool> {
        let plugin = &self.product;
        let manifest = self.get(&format!("{v}/{plugin}_{v}_manifest.json")).await?;
        let manifest: Json = serde_json::from_slice(&manifest)?;
        let protocol = manifest.pointer("/metadata/protocol_version").and_then(Json::as_str);
        Ok(protocol == Some("5.0"))
    }

    /// What is to be said of the signature of `release`.
    pub async fn signature(
        &self,
        release: &Release,
        environment: &Environment,
    ) -> anyhow::Result<String> {
        let signature = match self.get(&format!("{}.sig", release.sums_name)).await {
            Ok(signature) => Ok(Some(signature)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        };
        signature::check(self.publisher, &release.sums_text, signature, environment).await
    }

    /// A small file.
    async fn get(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        match self.address(name) {
            Address::File(path) => {
                read_regular(&path, SMALL.bytes).with_context(|| path.display().to_string())
            }
            Address::Url(url) => {
                let response = self.client.get(&url).send().await.map_err(web::cause)?;
                if response.status() == StatusCode::NOT_FOUND {
                    return Err(anyhow::Error::from(Absent).context(url));
                }
                let response = web::success(response).with_context(|| url.clone())?;
                web::body(response, SMALL).await.with_context(|| url)
            }
        }
    }

    fn address(&self, name: &str) -> Address {
        let plugin = &self.product;
        match &self.kind {
            Kind::HashiCorp { base } => Address::Url(format!("{base}/{plugin}/{name}")),
            Kind::GitHub { pages, owner, .. } => {
                Address::Url(format!("{pages}/{owner}/{plugin}/releases/download/{name}"))
            }
            Kind::MirrorUrl { base } => Address::Url(format!("{base}/{name}")),
            Kind::MirrorDir { dir } => Address::File(dir.join(name)),
        }
    }

    /// The archive of `release`, with the sum that it should have.
    pub async fn download(&self, release: &Release, ui: &Ui) -> anyhow::Result<NamedTempFile> {
        let file = NamedTempFile::new()?;
        let sum = match self.address(&release.entry) {
            Address::File(path) => {
                let mut from = open_regular(&path).with_context(|| path.display().to_string())?;
                ARCHIVE.check(from.metadata()?.len())?;
                std::io::copy(&mut from, &mut file.as_file())?;
                crate::plugin::installed::sum_of(file.path())?
            }
            Address::Url(url) => {
                let what = format!("{} {}", self.name, release.version.text());
                ARCHIVE.in_time(self.fetch(&url, &file, ui, &what)).await??
            }
        };
        if sum != release.sum {
            bail!(
                "the archive's SHA-256 is {sum}, but the release's SHA256SUMS says {}: it was damaged or swapped",
                release.sum
            );
        }
        Ok(file)
    }

    async fn fetch(
        &self,
        url: &str,
        file: &NamedTempFile,
        ui: &Ui,
        what: &str,
    ) -> anyhow::Result<String> {
        let response = self.client.get(url).send().await.map_err(web::cause)?;
        let mut response = web::success(response).with_context(|| url.to_owned())?;
        let total = response.content_length();
        ARCHIVE.check(total.unwrap_or_default())?;
        let mut to = tokio::fs::File::from_std(file.as_file().try_clone()?);
        let (mut hash, mut done, mut told) = (Sha256::new(), 0, 0);
        let tell = |done, finished| {
            let what = what.to_owned();
            ui.send(Message::Progress(Progress { what, done, total, finished }));
        };
        tell(0, false);
        while let Some(chunk) = response.chunk().await.map_err(web::cause)? {
            done += chunk.len() as u64;
            ARCHIVE.check(done)?;
            hash.update(&chunk);
            to.write_all(&chunk).await?;
            if done - told >= STEP {
                told = done;
                tell(done, false);
            }
        }
        to.flush().await?;
        tell(done, true);
        Ok(hex::encode(hash.finalize()))
    }
}

/// What a site says that has no such file.
#[derive(Debug, thiserror::Error)]
#[error("the server answers 404 Not Found")]
struct Absent;

/// Whether a site says that it has no such file.
pub fn is_absent(error: &anyhow::Error) -> bool {
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    error.is::<Absent>() || error.downcast_ref().is_some_and(is_missing)
}

enum Address {
    File(PathBuf),
    Url(String),
}

/// The sums of archives whose names begin with `prefix`, by platform. Other lines are about something
/// else.
fn sums(text: &str, prefix: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (sum, name) = (words.next()?, words.next()?);
        let platform = name.strip_prefix(prefix)?.strip_suffix(".zip")?;
        let is_sum = sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
        let is_right = is_sum && is_platform(platform) && words.next().is_none();
        is_right.then(|| (platform.to_owned(), sum.to_lowercase()))
    };
    text.lines().filter_map(line).collect()
}

/// Whether a system and a kind of processor may be called so: `linux_arm64`.
fn is_platform(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    name.split_once('_').is_some_and(|(system, processor)| is_word(system) && is_word(processor))
}

/// A client of GitHub's interface at `api`.
fn github(api: &str, token: Option<&Secret>) -> anyhow::Result<Octocrab> {
    if token.is_some() {
        web::safe(api).with_context(|| api.to_owned())?;
    }
    let builder = Octocrab::builder()
        .base_uri(api)?
        .set_connect_timeout(Some(Duration::from_secs(10)))
        .set_read_timeout(Some(Duration::from_secs(30)));
    Ok(match token {
        Some(token) => builder.personal_token(token.expose()).build()?,
        None => builder.build()?,
    })
}

/// Why GitHub does not list tags, and what helps.
fn refusal(error: octocrab::Error, has_token: bool) -> anyhow::Error {
    let octocrab::Error::GitHub { source, .. } = &error else {
        // What is behind it says what is wrong; the layers between repeat themselves.
        let chain =
            std::iter::successors(Some(&error as &dyn std::error::Error), |one| one.source());
        let root = chain.last().map(ToString::to_string).unwrap_or_default();
        return anyhow::anyhow!("GitHub cannot be asked: {root}");
    };
    let message = crate::guest::harmless(source.message.as_bytes());
    let is_limit = message.contains("rate limit") || source.status_code.as_u16() == 429;
    match (is_limit, has_token) {
        (true, false) => anyhow::anyhow!(
            "GitHub answers no more questions for now ({message}); with a token in \
             PACKER_GITHUB_API_TOKEN it answers more"
        ),
        (true, true) => anyhow::anyhow!(
            "GitHub answers no more questions of this token for now ({message}); it will within an hour"
        ),
        (false, _) => anyhow::anyhow!("GitHub answers {}: {message}", source.status_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_archives_of_the_release_are_taken() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let text = format!(
            "{a}  packer-plugin-x_v1.0.0_x5.0_linux_amd64.zip\n\
             {b} packer-plugin-x_v1.0.0_x5.0_darwin_arm64.zip\n\
             {a} packer-plugin-x_v1.0.0_x6.0_linux_amd64.zip\n\
             {a} packer-plugin-x_v1.0.0_manifest.json\n\
             short packer-plugin-x_v1.0.0_x5.0_linux_arm64.zip\n\
             {a} packer-plugin-x_v1.0.0_x5.0_linux_386.zip third\n\
             {a} packer-plugin-x_v1.0.0_x5.0_a\"{{.zip\n\
             {a} packer-plugin-x_v1.0.0_x5.0_linux_amd64_v2.zip\n\
             {a} packer-plugin-x_v1.0.0_x5.0_../linux_amd64.zip\n"
        );
        let found = sums(&text, "packer-plugin-x_v1.0.0_x5.0_");
        let wanted = [("linux_amd64", a), ("darwin_arm64", b.to_lowercase())];
        assert_eq!(found, wanted.map(|(name, sum)| (name.to_owned(), sum)).into());
    }
}
