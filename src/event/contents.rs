//! What is inside an image, as far as people are told: how many packages, and which have changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Redactor;

/// What is inside the image of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// How many packages.
    pub packages: usize,
    /// What the build has changed on the machine that it started; `None` if nobody knows how that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baked: Option<Vec<PackageChange>>,
    /// What is other than in the image before, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_previous: Option<Vec<PackageChange>>,
    /// The files that list all of it.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A package that is new, gone, or there in another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// What people call it.
    pub name: String,
    /// Its version before; `None` if it was not there. Several are parted by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its version now; `None` if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.before, &self.now) {
            (None, Some(now)) => write!(f, "+ {name} {now}"),
            (Some(before), Some(now)) => write!(f, "{name} {before} → {now}"),
            (Some(_), None) => write!(f, "– {name}"),
            (None, None) => f.write_str(name),
        }
    }
}

impl Contents {
    pub(super) fn redacted(mut self, redactor: &Redactor) -> Self {
        let clean = |text: &mut String| *text = redactor.clean(std::mem::take(text));
        let known = self.baked.iter_mut().chain(&mut self.since_previous);
        for change in known.flatten() {
            let versions = change.before.iter_mut().chain(&mut change.now);
            versions.chain([&mut change.name]).for_each(clean);
        }
        self.files.iter_mut().for_each(clean);
        self
    }
}

/// The first `most` changes on one line, and how many more there are.
pub fn told(changes: &[PackageChange], most: usize) -> String {
    if changes.is_empty() {
        return "no package has changed".to_owned();
    }
    let mut parts: Vec<String> = changes.iter().take(most).map(ToString::to_string).collect();
    let more = changes.len().saturating_sub(most);
    if more > 0 {
        parts.push(format!("… and {more} more"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_one_line() {
        let change = |name: &str, before: Option<&str>, now: Option<&str>| PackageChange {
            name: name.to_owned(),
            before: before.map(str::to_owned),
            now: now.map(str::to_owned),
        };
        let changes = [
            change("nginx", None, Some("1.24.0-2")),
            change("openssl", Some("3.0.11"), Some("3.0.13")),
            change("telnet", Some("0.17"), None),
        ];
        assert_eq!(told(&changes, 9), "+ nginx 1.24.0-2, openssl 3.0.11 → 3.0.13, – telnet");
        assert_eq!(told(&changes, 1), "+ nginx 1.24.0-2, … and 2 more");
        assert_eq!(told(&[], 9), "no package has changed");
    }
}
