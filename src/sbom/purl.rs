//! Package URLs: `pkg:deb/debian/openssl@3.0.13-1?arch=amd64&distro=debian-12`.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::inventory::{Ecosystem, Inventory, Package, System};

impl Ecosystem {
    /// The type of its package URLs.
    pub(super) fn purl_type(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
            Self::Alpm => "alpm",
            Self::PyPi => "pypi",
            Self::Npm => "npm",
            Self::Windows => "generic",
        }
    }

    /// The ecosystem whose package URLs begin like `purl`.
    pub(super) fn of_purl(purl: &str) -> Option<Self> {
        let all =
            [Self::Deb, Self::Rpm, Self::Apk, Self::Alpm, Self::PyPi, Self::Npm, Self::Windows];
        let kind = purl.strip_prefix("pkg:")?.split('/').next()?;
        all.into_iter().find(|one| one.purl_type() == kind)
    }
}

/// All packages, each with its URL; where several have the same, the first.
pub(super) fn all(inventory: &Inventory) -> Vec<(String, &Package)> {
    let mut seen = HashSet::new();
    let system = inventory.system.as_ref();
    let named = inventory.packages.iter().map(|package| (purl(package, system), package));
    named.filter(|(purl, _)| seen.insert(purl.clone())).collect()
}

/// How `package` of a machine that runs `system` is called everywhere.
pub(super) fn purl(package: &Package, system: Option<&System>) -> String {
    let Package { ecosystem, name, version, .. } = package;
    let kind = ecosystem.purl_type();
    let (namespace, name) = match ecosystem {
        Ecosystem::Deb | Ecosystem::Rpm | Ecosystem::Apk | Ecosystem::Alpm => {
            (system.map(|system| vendor(&system.id)), name.clone())
        }
        Ecosystem::PyPi => (None, name.to_lowercase().replace('_', "-")),
        Ecosystem::Npm => match name.split_once('/') {
            Some((scope, name)) => (Some(scope), name.to_owned()),
            None => (None, name.clone()),
        },
        Ecosystem::Windows => (None, name.clone()),
    };
    let mut purl = format!("pkg:{kind}/");
    if let Some(namespace) = namespace {
        purl.extend([encoded(namespace).as_str(), "/"]);
    }
    purl.push_str(&encoded(&name));
    let (epoch, version) = epoch(*ecosystem, version);
    if !version.is_empty() {
        purl.extend(["@", &encoded(version)]);
    }
    purl.push_str(&qualifiers(package, epoch, system));
    purl
}

/// How package URLs call the maker of a system.
fn vendor(id: &str) -> &str {
    match id {
        "rhel" => "redhat",
        "opensuse-leap" | "opensuse-tumbleweed" => "opensuse",
        id => id,
    }
}

/// The epoch of an rpm is no part of its version there.
fn epoch(ecosystem: Ecosystem, version: &str) -> (Option<&str>, &str) {
    match version.split_once(':') {
        Some((epoch, version)) if ecosystem == Ecosystem::Rpm => (Some(epoch), version),
        _ => (None, version),
    }
}

/// In the order of the alphabet.
fn qualifiers(package: &Package, epoch: Option<&str>, system: Option<&System>) -> String {
    // What has no architecture is the same on every system.
    let distro = system.filter(|_| package.arch.is_some()).map(|system| {
        let version = (!system.version.is_empty()).then(|| format!("-{}", system.version));
        format!("{}{}", system.id, version.unwrap_or_default())
    });
    let all = [
        ("arch", package.arch.as_deref()),
        ("distro", distro.as_deref()),
        ("epoch", epoch),
        ("upstream", package.source.as_deref()),
    ];
    let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let texts: Vec<_> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if texts.is_empty() { String::new() } else { format!("?{}", texts.join("&")) }
}

/// `text` as a part of a package URL; a colon stays.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b':' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a text cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}
