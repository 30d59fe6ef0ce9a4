//! Version constraints as templates write them: `>= 1.2.8, ~> 1.9`.

use std::cmp::Ordering;
use std::fmt;

/// A version: numbers, and whether it is a pre-release (which comes before the release).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// At least three; missing ones count as 0.
    numbers: Vec<u64>,
    /// How many were written.
    written: usize,
    prerelease: bool,
    /// As it was written, without a `v` before it.
    text: String,
}

impl Version {
    /// Reads `1.2.3`, `v1.2`, `1.2.3-dev`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is not a version");
        let core = text.strip_prefix('v').unwrap_or(text);
        let core = core.split_once('+').map_or(core, |(core, _metadata)| core);
        let (core, prerelease) = match core.split_once('-') {
            Some((_, "")) => return Err(malformed()),
            Some((core, _)) => (core, true),
            None => (core, false),
        };
        let numbers: Result<Vec<u64>, _> = core.split('.').map(str::parse).collect();
        let mut numbers = numbers.map_err(|_| malformed())?;
        let written = numbers.len();
        numbers.resize(written.max(3), 0);
        let text = text.strip_prefix('v').unwrap_or(text).to_owned();
        Ok(Self { numbers, written, prerelease, text })
    }

    /// As it was written, without a `v` before it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The release that it is a pre-release of, or is.
    pub fn core(&self) -> Self {
        Self { prerelease: false, ..self.clone() }
    }

    /// The numbers alone.
    pub fn core_text(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(u64::to_string).collect();
        numbers.join(".")
    }

    /// Whether it is no release.
    pub fn is_prerelease(&self) -> bool {
        self.prerelease
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.core_text())?;
        if self.prerelease { f.write_str("-dev") } else { Ok(()) }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let longest = self.numbers.len().max(other.numbers.len());
        let at = |version: &Self, i: usize| version.numbers.get(i).copied().unwrap_or(0);
        (0..longest)
            .map(|i| at(self, i).cmp(&at(other, i)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| other.prerelease.cmp(&self.prerelease))
    }
}

/// Several constraints that must all hold.
#[derive(Clone, Debug)]
pub struct Constraints(Vec<(Operator, Version)>);

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// `~>`: at least this, and the same in all numbers but the last that was written.
    Pessimistic,
}

/// Longer ones first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    ("~>", Operator::Pessimistic),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

impl Constraints {
    /// Reads a list with commas; the error is a sentence about the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).map(parse_one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them holds for nothing but versions that come after `version`.
    pub fn want_newer_than(&self, version: &Version) -> bool {
        self.0.iter().any(|(operator, wanted)| match operator {
            Operator::Greater => wanted >= version,
            Operator::Equal | Operator::GreaterOrEqual | Operator::Pessimistic => wanted > version,
            Operator::NotEqual | Operator::Less | Operator::LessOrEqual => false,
        })
    }

    /// Whether all of them hold for `version`.
    pub fn allow(&self, version: &Version) -> bool {
        self.0.iter().all(|(operator, wanted)| holds(version, *operator, wanted))
    }
}

fn parse_one(text: &str) -> Result<(Operator, Version), String> {
    let (operator, version) = OPERATORS
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
        .unwrap_or((Operator::Equal, text));
    Ok((operator, Version::parse(version.trim())?))
}

fn holds(version: &Version, operator: Operator, wanted: &Version) -> bool {
    match operator {
        Operator::Equal => version == wanted || version.cmp(wanted).is_eq(),
        Operator::NotEqual => version.cmp(wanted).is_ne(),
        Operator::Greater => version > wanted,
        Operator::GreaterOrEqual => version >= wanted,
        Operator::Less => version < wanted,
        Operator::LessOrEqual => version <= wanted,
        Operator::Pessimistic => {
            let fixed = wanted.written.saturating_sub(1);
            version >= wanted && version.numbers.get(..fixed) == wanted.numbers.get(..fixed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(constraints: &str) -> bool {
        let version = Version::parse("1.16.0").unwrap();
        Constraints::parse(constraints).unwrap().allow(&version)
    }

    #[test]
    fn constraints_hold_as_templates_expect() {
        for yes in [
            ">= 1.2.8",
            "~> 1.7",
            "~>1.16.0",
            "1.16",
            "= 1.16.0",
            "~> 1.7, != 1.8.0",
            "~> 1",
            "> 1.16.0-dev",
            "<= 1.16",
        ] {
            assert!(allowed(yes), "{yes}");
        }
        for no in
            [">= 99.0.0", "< 1.10", "~> 1.7.0", "!= 1.16", "> 1.16.0", ">= 1.9, < 1.10", "0.12"]
        {
            assert!(!allowed(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_version_is_named() {
        assert_eq!(Constraints::parse(">= latest").unwrap_err(), "`latest` is not a version");
        assert!(Constraints::parse("").is_err());
        assert!(Constraints::parse(">= 1.x").is_err());
    }
}
