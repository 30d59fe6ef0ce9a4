//! What is written beside an AMI's id: the description of a parameter's version, in JSON.

use serde::{Deserialize, Serialize};

use crate::env::Environment;
use crate::github;

/// What is known of a release in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// The release: AMIs of all regions that belong together have one name.
    pub release: String,
    /// What brought it here: `published`, `promoted from beta`, `rolled back`.
    pub by: String,
    /// The regions that have it, with commas.
    pub regions: String,
    /// The commit that it was made from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit: String,
    /// Whose commit that is, e.g. `acme/images`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The run of the workflow.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// Who started it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
}

/// What brings a release back.
pub const ROLLED_BACK: &str = "rolled back";
/// What undoes a change that failed in another region.
pub const PUT_BACK: &str = "put back";

/// The most characters that a description may have.
const LONGEST: usize = 1024;
/// The variables in which CI systems say the commit, beside GitHub.
const COMMITS: [&str; 6] = [
    "CI_COMMIT_SHA",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BUILD_SOURCEVERSION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "GIT_COMMIT",
];

impl Note {
    /// A new release, of the `commit` that is given, else of the one that the CI system says.
    pub fn of_release(release: &str, commit: Option<&str>, environment: &Environment) -> Self {
        let run = github::Context::of(environment);
        let said = || COMMITS.iter().find_map(|name| environment.get(name)).map(str::to_owned);
        let commit = commit.map(str::to_owned);
        let commit = commit.or_else(|| Some(run.sha).filter(|sha| !sha.is_empty())).or_else(said);
        Self {
            release: release.to_owned(),
            by: "published".to_owned(),
            commit: commit.unwrap_or_default(),
            repository: run.repository,
            run: run.run_id,
            actor: run.actor,
            ..Self::default()
        }
    }

    /// The note that `text` is; an empty one, if somebody else wrote the parameter.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The description. What is too long leaves out what can be looked up elsewhere.
    pub fn text(&self) -> String {
        let mut note = self.clone();
        let mut texts = Vec::new();
        // Texts alone always have a JSON form.
        texts.push(serde_json::to_string(&note).unwrap_or_default());
        (note.actor, note.repository) = Default::default();
        texts.push(serde_json::to_string(&note).unwrap_or_default());
        note = Self { release: note.release, by: note.by, ..Self::default() };
        texts.push(serde_json::to_string(&note).unwrap_or_default());
        let fits = |text: &String| text.chars().count() <= LONGEST;
        texts.into_iter().find(fits).unwrap_or_default()
    }

    /// Whether both are about one release, in the same regions.
    pub fn is_of_same(&self, other: &Self) -> bool {
        (&self.release, &self.regions) == (&other.release, &other.regions)
    }

    /// The regions that have the release.
    pub fn regions(&self) -> Vec<String> {
        let regions = self.regions.split(',').filter(|region| !region.is_empty());
        regions.map(str::to_owned).collect()
    }

    /// In words, for people: what brought it, and from which commit.
    pub fn words(&self) -> String {
        let mut words = if self.by.is_empty() { "set".to_owned() } else { self.by.clone() };
        let commit: String = self.commit.chars().take(12).collect();
        for (before, text) in [
            ("of commit", commit.as_str()),
            ("of", self.repository.as_str()),
            ("by run", self.run.as_str()),
            ("of", self.actor.as_str()),
        ] {
            if !text.is_empty() {
                words.push_str(&format!(" {before} {text}"));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_never_too_long() {
        let note = Note {
            release: "20261130T090000Z-1a2b".to_owned(),
            by: "published".to_owned(),
            regions: vec!["ap-southeast-99"; 40].join(","),
            commit: "a".repeat(40),
            repository: "r".repeat(150),
            run: "12345678901".to_owned(),
            actor: "x".repeat(39),
        };
        assert_eq!(Note::parse(&note.text()).commit, note.commit);
        let long = Note { actor: "x".repeat(500), ..note.clone() };
        let read = Note::parse(&long.text());
        assert_eq!((read.regions, read.actor.as_str()), (note.regions.clone(), ""));
        let longest = Note { regions: "r".repeat(3000), ..note };
        assert_eq!(Note::parse(&longest.text()).release, "20261130T090000Z-1a2b");
        assert_eq!(Note::parse("written by hand"), Note::default());
    }
}
