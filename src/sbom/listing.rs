//! What a machine says of its packages → [`Inventory`].
//!
//! The machine may say anything. Each text is made harmless and has a length; what has no name or no
//! version is no package.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value as Json;

use super::inventory::{Ecosystem, Inventory, Package, System};
use crate::guest::harmless;

/// No name, version or licence is longer.
const LONGEST: usize = 300;

/// What `ask.sh` prints.
pub(super) fn of_posix(said: &[u8]) -> anyhow::Result<Inventory> {
    let text = String::from_utf8_lossy(said);
    // What stands before the first section, a start-up file of the shell has printed.
    let sections = text.split('\0').skip(1).filter_map(|section| section.split_once('\n'));
    let mut listing = Listing::default();
    for (kind, text) in sections {
        listing.take(kind, text);
    }
    ensure!(listing.is_whole, "the machine's list of packages has no end");
    Ok(listing.inventory)
}

/// What `ask.ps1` prints.
pub(super) fn of_windows(said: &[u8]) -> anyhow::Result<Inventory> {
    #[derive(Deserialize)]
    struct Said {
        name: Option<String>,
        version: Option<String>,
        programs: Vec<Program>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Program {
        display_name: Json,
        display_version: Json,
        publisher: Json,
    }
    let text = String::from_utf8_lossy(said);
    let start = text.find('{').context("the machine does not say what is installed")?;
    let said: Said = serde_json::from_str(text[start..].trim())
        .context("the machine's list of programs cannot be read")?;
    let program = |program: &Program| {
        let name = program.display_name.as_str().and_then(clean)?;
        let version = program.display_version.as_str().and_then(clean).unwrap_or_default();
        let publisher = program.publisher.as_str().and_then(clean);
        Some(Package { publisher, ..Package::new(Ecosystem::Windows, name, version) })
    };
    let text = |text: Option<String>| text.as_deref().and_then(clean).unwrap_or_default();
    let system =
        System { id: "windows".to_owned(), version: text(said.version), name: text(said.name) };
    let packages = said.programs.iter().filter_map(program).collect();
    Ok(Inventory { system: Some(system), packages, ..Inventory::default() })
}

/// `text` as one harmless line; `None` if nothing is left of it, or too much.
fn clean(text: &str) -> Option<String> {
    let text = harmless(text.trim().as_bytes()).replace(['\n', '\t'], " ");
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

impl Package {
    pub(super) fn new(ecosystem: Ecosystem, name: String, version: String) -> Self {
        let (arch, source, publisher, licences) = Default::default();
        Self { ecosystem, name, version, arch, source, publisher, licences }
    }

    /// A package of a list that has a version for each.
    fn listed(ecosystem: Ecosystem, name: &str, version: &str) -> Option<Self> {
        Some(Self::new(ecosystem, clean(name)?, clean(version)?))
    }

    fn of(mut self, arch: &str, source: &str) -> Self {
        self.arch = clean(arch);
        self.source = clean(source).filter(|source| *source != self.name);
        self
    }

    fn under(mut self, licences: impl IntoIterator<Item = String>) -> Self {
        let sorted: BTreeSet<String> = licences.into_iter().collect();
        self.licences = sorted.into_iter().collect();
        self
    }
}

#[derive(Default)]
struct Listing {
    inventory: Inventory,
    is_whole: bool,
}

impl Listing {
    fn take(&mut self, kind: &str, text: &str) {
        let (kind, file) = kind.split_once(' ').unwrap_or((kind, ""));
        match kind {
            "system" => self.inventory.system = Some(system(text)),
            "dpkg" => self.add(text.lines().filter_map(of_dpkg)),
            "dpkg-licences" => self.licences_of_dpkg(text),
            "rpm" => self.add(text.lines().filter_map(of_rpm)),
            "apk" => self.add(text.split("\n\n").filter_map(of_apk)),
            "pacman" => self.add(text.split("%NAME%\n").filter_map(of_pacman)),
            "pip" => self.add_files(of_pip(text)),
            "npm" => self.add_files(of_npm(text).map(|package| (file, package))),
            "end" => self.is_whole = true,
            // Of a machine that says more than it was asked for.
            _ => {}
        }
    }

    fn add(&mut self, packages: impl IntoIterator<Item = Package>) {
        self.inventory.packages.extend(packages);
    }

    /// Packages, and the file or the directory of each.
    fn add_files<'a>(&mut self, packages: impl IntoIterator<Item = (&'a str, Package)>) {
        for (file, package) in packages {
            let files = self.inventory.files.entry(package.clone()).or_default();
            files.insert(file.to_owned());
            self.inventory.packages.insert(package);
        }
    }

    /// `/usr/share/doc/NAME/copyright:License: NAME`, a line for each licence.
    fn licences_of_dpkg(&mut self, text: &str) {
        let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let Some((path, licence)) = line.split_once(":License:") else { continue };
            let name = path.rsplit('/').nth(1).unwrap_or_default();
            by_name.entry(name).or_default().extend(clean(licence));
        }
        let packages = std::mem::take(&mut self.inventory.packages);
        let licensed = packages.into_iter().map(|package| {
            match by_name.get(package.name.as_str()).filter(|_| package.ecosystem == Ecosystem::Deb)
            {
                Some(licences) => package.under(licences.iter().cloned()),
                None => package,
            }
        });
        self.inventory.packages = licensed.collect();
    }
}

/// `NAME=value` or `NAME="value"`, one a line.
fn system(text: &str) -> System {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        clean(line?.trim().trim_matches(['"', '\'']))
    };
    System {
        id: value("ID").unwrap_or_else(|| "linux".to_owned()),
        version: value("VERSION_ID").unwrap_or_default(),
        name: value("PRETTY_NAME").unwrap_or_default(),
    }
}

/// Status, name, version, architecture, source. Of a package that is removed, configuration files are
/// left, and the list has it still.
fn of_dpkg(line: &str) -> Option<Package> {
    let [status, name, version, arch, source] = fields(line)?;
    let is_installed = status.as_bytes().get(1) == Some(&b'i');
    let package = Package::listed(Ecosystem::Deb, name, version)?.of(arch, source);
    is_installed.then_some(package)
}

/// Name, version, architecture, source, licence. The keys that packages are signed with are in the
/// list, too, as packages without an architecture.
fn of_rpm(line: &str) -> Option<Package> {
    let [name, version, arch, source, licence] = fields(line)?;
    let arch = if arch == "(none)" { "" } else { arch };
    // `openssl-3.1.1-4.fc40.src.rpm`: the version and the release are the last two parts.
    let source = source.rsplitn(3, '-').nth(2).unwrap_or_default();
    let package = Package::listed(Ecosystem::Rpm, name, version)?.of(arch, source);
    let licence = clean(licence).filter(|licence| licence != "(none)");
    (name != "gpg-pubkey").then(|| package.under(licence))
}

fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.split('\t').collect::<Vec<_>>().try_into().ok()
}

/// A line for each fact: a letter, a colon, the value.
fn of_apk(text: &str) -> Option<Package> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let package = Package::listed(Ecosystem::Apk, value("P:")?, value("V:")?)?;
    let package = package.of(value("A:").unwrap_or_default(), value("o:").unwrap_or_default());
    Some(package.under(value("L:").and_then(clean)))
}

/// The name, then paragraphs that begin with `%FACT%`.
fn of_pacman(text: &str) -> Option<Package> {
    let values = |fact: &str| {
        let (_, rest) = text.split_once(fact)?;
        Some(rest.trim_start_matches('\n').lines().take_while(|line| !line.is_empty()))
    };
    let value = |fact: &str| values(fact)?.next();
    let package = Package::listed(Ecosystem::Alpm, text.lines().next()?, value("%VERSION%")?)?;
    let (arch, base) = (value("%ARCH%").unwrap_or_default(), value("%BASE%").unwrap_or_default());
    let licences = values("%LICENSE%").into_iter().flatten().filter_map(clean);
    Some(package.of(arch, base).under(licences))
}

/// `DIRECTORY/METADATA:Name: value`. What follows the first line of a name is a description, which may
/// say anything.
fn of_pip(text: &str) -> Vec<(&str, Package)> {
    let mut files: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in text.lines() {
        let Some((file, fact)) = line.split_once("/METADATA:") else { continue };
        let Some((name, value)) = fact.split_once(": ") else { continue };
        files.entry(file).or_default().entry(name).or_insert(value);
    }
    let package = |facts: &BTreeMap<&str, &str>| {
        let licence = facts.get("License-Expression").or_else(|| facts.get("License"));
        let licence = licence.and_then(|licence| clean(licence));
        Some(
            Package::listed(Ecosystem::PyPi, facts.get("Name")?, facts.get("Version")?)?
                .under(licence),
        )
    };
    files.iter().filter_map(|(file, facts)| Some((*file, package(facts)?))).collect()
}

/// A `package.json`.
fn of_npm(text: &str) -> Option<Package> {
    let facts: Json = serde_json::from_str(text).ok()?;
    let text = |name: &str| facts.get(name).and_then(Json::as_str);
    let package = Package::listed(Ecosystem::Npm, text("name")?, text("version")?)?;
    Some(package.under(text("license").and_then(clean)))
}
