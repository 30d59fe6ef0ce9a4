//! Plugins are fetched and installed: from the sites that publish them, from a mirror, or from a file.
//!
//! | file | what is there |
//! |---|---|
//! | `site` | where releases are: their versions, sums and archives |
//! | `signature` | whether the sums were signed by who they should be |
//! | `archive` | the one program in an archive |
//! | `place` | a program becomes an installed plugin; and is removed |

mod archive;
mod place;
mod signature;
mod site;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use tempfile::{NamedTempFile, TempPath};

pub use self::place::{from_file, remove};
use self::site::{Release, Site};
use super::installed::{self, Installed, platform};
use super::lock::Pinned;
use super::runtime;
use super::version::{Constraints, Version};
use crate::env::Environment;
use crate::event::Ui;

/// What is to be installed.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The plugin: `github.com/hashicorp/docker`.
    pub source: String,
    /// Which versions would do.
    pub constraints: Constraints,
    /// What the lock file says of it.
    pub pinned: Option<Pinned>,
}

/// What was installed.
#[derive(Clone, Debug)]
pub struct Done {
    /// The file.
    pub found: Installed,
    /// What a lock file says of it.
    pub pinned: Pinned,
    /// What was made of the signature of its sums.
    pub signature: String,
}

/// Takes a source apart: where it is, whose it is, and at the end what it is called. Other hosts than
/// GitHub may have more parts between.
fn parts(source: &str) -> anyhow::Result<Vec<&str>> {
    let is_word = |part: &&str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = source.split('/').collect();
    let is_named = parts.last().is_some_and(|name| !name.starts_with("packer-"));
    ensure!(
        (3..=16).contains(&parts.len()) && parts.iter().all(is_word) && is_named,
        "`{source}` is no source of a plugin; they are written like `github.com/hashicorp/docker`, \
         without `packer-plugin-`"
    );
    Ok(parts)
}

/// What the plugin of `source` is called.
fn name(source: &str) -> anyhow::Result<&str> {
    Ok(parts(source)?.last().copied().unwrap_or_default())
}

/// The program of Packer for machines of `platform` (`linux_arm64`) in a file of its own, and its
/// version: the newest release that HashiCorp's site has.
pub async fn newest_tool(
    platform: &str,
    environment: &Environment,
    ui: &Ui,
) -> anyhow::Result<(Version, TempPath)> {
    let site = Site::of_tool(environment)?;
    let versions = site.versions().await.with_context(|| format!("{site} lists no versions"))?;
    let newest = versions.into_iter().filter(|version| !version.is_prerelease()).max();
    let newest = newest.with_context(|| format!("{site} has no release"))?;
    let release = site.release_for(&newest, platform).await?;
    let release = release.with_context(|| format!("{} is not for {platform}", newest.text()))?;
    let signature = site.signature(&release, environment).await?;
    ui.say(format!("Packer {}: {signature}", newest.text()));
    let archive = site.download(&release, ui).await?;
    let program = NamedTempFile::new()?.into_temp_path();
    let name = if platform.starts_with("windows_") { "packer.exe" } else { "packer" };
    archive::take_named(archive.path(), name, &program)?;
    Ok((newest, program))
}

/// Installs all that is wished for, side by side; what became of each.
pub fn all(
    wishes: Vec<Wish>,
    environment: &Arc<Environment>,
    ui: &Ui,
) -> Vec<anyhow::Result<Done>> {
    let count = wishes.len();
    let (environment, ui) = (environment.clone(), ui.clone());
    let work = async move {
        let one = |wish| one(wish, &environment, &ui);
        futures::future::join_all(wishes.iter().map(one)).await
    };
    runtime::finish(work)
        .unwrap_or_else(|error| (0..count).map(|_| Err(anyhow!("{error:#}"))).collect())
}

/// The sums of the archives that the release `version` of each plugin has, for all platforms: a lock file
/// wants them, and a program that is installed does not tell them.
pub fn sums(
    plugins: Vec<(String, String)>,
    environment: &Arc<Environment>,
) -> Vec<anyhow::Result<BTreeMap<String, String>>> {
    let (count, environment) = (plugins.len(), environment.clone());
    let work = async move {
        let one = |(source, version): &(String, String)| {
            sums_of(source.clone(), version.clone(), environment.clone())
        };
        futures::future::join_all(plugins.iter().map(one)).await
    };
    runtime::finish(work)
        .unwrap_or_else(|error| (0..count).map(|_| Err(anyhow!("{error:#}"))).collect())
}

async fn sums_of(
    source: String,
    version: String,
    environment: Arc<Environment>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let version = Version::parse(&version).map_err(anyhow::Error::msg)?;
    ensure!(!version.is_prerelease(), "it is no release");
    let mut refusals = Vec::new();
    for site in Site::of(&source, &environment)? {
        let found = async {
            let release = site.release_for(&version, &platform()).await?;
            let release = release.context("its release is not for this machine")?;
            site.signature(&release, &environment).await?;
            anyhow::Ok(release.sums)
        };
        match found.await {
            Ok(sums) => return Ok(sums),
            Err(error) => refusals.push(format!("{site}: {error:#}")),
        }
    }
    bail!("{}", refusals.join("; "))
}

/// Whether `found` is as new as the newest release that would do.
pub fn is_newest(
    wish: &Wish,
    found: &Installed,
    environment: &Arc<Environment>,
    ui: &Ui,
) -> anyhow::Result<bool> {
    let (wish, environment, ui) = (wish.clone(), environment.clone(), ui.clone());
    let looked = async move { release(&wish, &environment, &ui).await };
    let (_, release) = runtime::finish(looked)??;
    Ok(release.version <= found.version)
}

async fn one(wish: &Wish, environment: &Arc<Environment>, ui: &Ui) -> anyhow::Result<Done> {
    let (site, release) = release(wish, environment, ui).await?;
    install(wish, &site, release, environment, ui).await
}

/// The newest release that would do, at the first site that has one.
async fn release(
    wish: &Wish,
    environment: &Arc<Environment>,
    ui: &Ui,
) -> anyhow::Result<(Site, Release)> {
    let mut refusals = Vec::new();
    for site in Site::of(&wish.source, environment)? {
        match newest(wish, &site, ui).await {
            Ok(release) => return Ok((site, release)),
            Err(error) => refusals.push(format!("{site}: {error:#}")),
        }
    }
    bail!("{}", refusals.join("; "))
}

/// The newest release at `site` that would do.
async fn newest(wish: &Wish, site: &Site, ui: &Ui) -> anyhow::Result<Release> {
    let versions = site.versions().await.context("its versions cannot be listed")?;
    let mut fitting: Vec<Version> = versions
        .into_iter()
        .filter(|version| !version.is_prerelease() && wish.constraints.allow(version))
        .filter(|version| wish.pinned.as_ref().is_none_or(|pin| pin.version == version.text()))
        .collect();
    fitting.sort();
    let mut last = None;
    for version in fitting.iter().rev() {
        let v = version.text();
        match site.release(version).await {
            Ok(Some(release)) => return Ok(release),
            Ok(None) => {}
            // A release may be tagged before its files are there.
            Err(error) if site::is_absent(&error) => {
                let source = &wish.source;
                ui.say(format!("{source}: version {v} has no files at {site} (yet)."));
            }
            Err(error) => return Err(error.context(format!("version {v}"))),
        }
        last = Some(v);
    }
    match last {
        Some(version) => bail!(
            "no version is for {} and speaks the protocol 5.0; the last that was looked at is {version}",
            platform()
        ),
        None => bail!(
            "it has no version that the template allows{}",
            match &wish.pinned {
                Some(pinned) => format!(" and the lock file names ({})", pinned.version),
                None => String::new(),
            }
        ),
    }
}

async fn install(
    wish: &Wish,
    site: &Site,
    release: Release,
    environment: &Arc<Environment>,
    ui: &Ui,
) -> anyhow::Result<Done> {
    if let Some(pinned) = &wish.pinned {
        pinned.check_archives(&release.sums)?;
    }
    let signature = site.signature(&release, environment).await?;
    let archive = site.download(&release, ui).await?;
    let root = installed::directory(environment)?;
    let target = place::path(&root, &wish.source, &release.version)?;
    let temporary = place::beside(&target)?;
    let found = Installed::of(&root, &target).context("the plugin's file cannot be named")?;
    archive::take(archive.path(), &found, temporary.path())?;
    let (found, sum) = place::put(temporary, found, environment).await?;
    if let Some(pinned) = &wish.pinned {
        pinned.check_sum(&wish.source, &sum)?;
    }
    let pinned = Pinned {
        version: release.version.text().to_owned(),
        archives: release.sums,
        programs: [(platform(), sum)].into(),
    };
    Ok(Done { found, pinned, signature })
}
