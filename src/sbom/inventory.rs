//! What a machine has: its system and its packages; and what a document of them is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use glob::{MatchOptions, Pattern};
use jiff::Timestamp;

/// Who keeps the list that a package is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// `dpkg`: Debian, Ubuntu.
    Deb,
    /// `rpm`: Fedora, Red Hat, Amazon Linux, SUSE.
    Rpm,
    /// `apk`: Alpine.
    Apk,
    /// `pacman`: Arch.
    Alpm,
    /// `pip` and its relatives; what a distribution brings is in the distribution's list.
    PyPi,
    /// `npm install --global`.
    Npm,
    /// The programs that Windows can uninstall.
    Windows,
}

/// A package, as the machine's own list has it. The order is that of documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Whose list it is in.
    pub ecosystem: Ecosystem,
    /// Its name; that of a scoped npm package with the scope.
    pub name: String,
    /// Its version, as the list has it: that of an rpm is `EPOCH:VERSION-RELEASE`.
    pub version: String,
    /// The processor that it is for.
    pub arch: Option<String>,
    /// What it was built from, where that is called otherwise.
    pub source: Option<String>,
    /// Who publishes it.
    pub publisher: Option<String>,
    /// Its licences, in the words of whoever made the package.
    pub licences: Vec<String>,
}

/// The operating system, as `/etc/os-release` calls it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// `debian`, `fedora`, `windows`.
    pub id: String,
    /// `12`, `40`.
    pub version: String,
    /// For people.
    pub name: String,
}

/// All that is installed on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// What it runs, where it says.
    pub system: Option<System>,
    /// In order, each once.
    pub packages: BTreeSet<Package>,
    /// The files that say so of a package, if its system keeps no list of them.
    pub files: BTreeMap<Package, BTreeSet<String>>,
}

impl Ecosystem {
    /// The file or the directory with the list, on every machine.
    fn list(self) -> Option<&'static str> {
        match self {
            Self::Deb => Some("/var/lib/dpkg/status"),
            Self::Rpm => Some("/var/lib/rpm"),
            Self::Apk => Some("/lib/apk/db/installed"),
            Self::Alpm => Some("/var/lib/pacman/local"),
            Self::PyPi | Self::Npm | Self::Windows => None,
        }
    }
}

/// A star does not match a slash.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Inventory {
    /// The same without packages of which only files say so that `but` names, or directories of them.
    /// The patterns are of paths without the first slash.
    pub fn without(&self, but: &[Pattern]) -> Self {
        let fits = |file: &str| {
            let above = Path::new(file.trim_start_matches('/')).ancestors();
            let mut above = above.filter(|path| !path.as_os_str().is_empty());
            above.any(|path| but.iter().any(|one| one.matches_path_with(path, MATCHING)))
        };
        let mut left = self.clone();
        left.packages.retain(|package| match (package.ecosystem.list(), self.files.get(package)) {
            (Some(list), _) => !fits(list),
            (None, Some(files)) => !files.iter().all(|file| fits(file)),
            (None, None) => true,
        });
        left
    }
}

/// What a document is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The build.
    pub name: &'a str,
    /// The identity of what it made: `us-east-1:ami-…`.
    pub id: &'a str,
    /// The type of its builder.
    pub builder: &'a str,
    /// When it was made.
    pub at: Timestamp,
}

impl Subject<'_> {
    /// When it was made, as both formats want it.
    pub(super) fn made_at(&self) -> String {
        self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Whether it is a container image, and no machine's.
    pub(super) fn is_container(&self) -> bool {
        self.builder == "docker"
    }
}

/// A number that is the same for the same content, and for no other.
pub(super) fn number(content: &serde_json::Value) -> uuid::Uuid {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, content.to_string().as_bytes())
}
