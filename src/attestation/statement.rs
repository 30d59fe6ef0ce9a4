//! What a statement (in-toto) says, held against what is expected of it.

use std::io;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::shown;
use crate::peer;

/// The type of statements.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The type of what is said of how an artifact was made.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// How many names an error lists.
const MOST_TOLD: usize = 5;

/// What a statement must say.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The type of what it says.
    pub predicate_type: Option<String>,
    /// Who built.
    pub builder_id: Option<String>,
    /// What was built from.
    pub source_uri: Option<String>,
    /// Which file it is about.
    pub artifact: Option<Artifact>,
}

/// A file that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    name: String,
    sha256: String,
}

impl Artifact {
    /// The file `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().context("it names no file")?.to_string_lossy().into_owned();
        let mut digest = Sha256::new();
        io::copy(&mut peer::open_regular(path)?, &mut digest)?;
        Ok(Self { name, sha256: hex::encode(digest.finalize()) })
    }
}

/// A statement.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Json,
}

#[derive(Debug, Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: Digests,
}

#[derive(Debug, Deserialize)]
struct Digests {
    #[serde(default)]
    sha256: String,
}

impl Statement {
    /// The statement that `payload` is.
    ///
    /// # Errors
    /// When it is another thing.
    pub fn parse(payload: &[u8]) -> anyhow::Result<Self> {
        let statement: Self = serde_json::from_slice(payload)
            .map_err(|error| anyhow!("what is signed is no statement: {error}"))?;
        let kind = shown(&statement.kind);
        ensure!(
            statement.kind == STATEMENT,
            "the `_type` of what is signed is {kind}, where `{STATEMENT}` is expected"
        );
        Ok(statement)
    }

    /// Holds it against what is `expected`.
    ///
    /// # Errors
    /// Says what it says instead.
    pub fn check(&self, expected: &Expected) -> anyhow::Result<()> {
        let kind = shown(&self.predicate_type);
        if let Some(wanted) = &expected.predicate_type {
            ensure!(
                self.predicate_type == *wanted,
                "its predicate is of the type {kind}, where `{wanted}` is expected"
            );
        }
        if (expected.builder_id.is_some() || expected.source_uri.is_some())
            && self.predicate_type != PROVENANCE
        {
            bail!(
                "only a predicate of the type `{PROVENANCE}` names a builder and its sources, and this one is of the type {kind}"
            );
        }
        if let Some(wanted) = &expected.builder_id {
            match self.predicate["runDetails"]["builder"]["id"].as_str() {
                Some(found) if found == wanted => {}
                Some(found) => {
                    bail!("its builder is {}, where `{wanted}` is expected", shown(found))
                }
                None => bail!("it names no builder, where `{wanted}` is expected"),
            }
        }
        if let Some(wanted) = &expected.source_uri {
            let sources = self.predicate["buildDefinition"]["resolvedDependencies"].as_array();
            let sources = sources.into_iter().flatten().filter_map(|one| one["uri"].as_str());
            let sources: Vec<&str> = sources.collect();
            ensure!(
                sources.contains(&wanted.as_str()),
                "{}, where `{wanted}` is expected",
                told("its sources are", "it names no source", &sources)
            );
        }
        if let Some(Artifact { name, sha256 }) = &expected.artifact {
            let same_name = |one: &&Subject| one.name == *name;
            let digests = |one: &Subject| one.digest.sha256.eq_ignore_ascii_case(sha256);
            let mut named = self.subject.iter().filter(same_name).peekable();
            if named.peek().is_none() {
                let names: Vec<&str> = self.subject.iter().map(|one| one.name.as_str()).collect();
                bail!(
                    "{}, where `{name}` is expected",
                    told("it is about", "it is about no file", &names)
                );
            }
            let found = named.clone().map(|one| one.digest.sha256.as_str()).collect::<Vec<_>>();
            ensure!(
                named.any(digests),
                "{}, but the file has {sha256}",
                told(
                    &format!("by its SHA-256, `{name}` is"),
                    &format!("it has no SHA-256 of `{name}`"),
                    &found
                )
            );
        }
        Ok(())
    }
}

/// The first of `all`, after `what`; or that there is `none`.
fn told(what: &str, none: &str, all: &[&str]) -> String {
    if all.iter().all(|one| one.is_empty()) {
        return none.to_owned();
    }
    let mut names: Vec<String> = all.iter().take(MOST_TOLD).map(|one| shown(one)).collect();
    if all.len() > MOST_TOLD {
        names.push(format!("{} others", all.len() - MOST_TOLD));
    }
    format!("{what} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statement() -> Json {
        json!({
            "_type": STATEMENT,
            "subject": [{"name": "disk.img", "digest": {"sha256": "AB01"}}],
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {"resolvedDependencies": [{"uri": "git+https://example.com/a"}]},
                "runDetails": {"builder": {"id": "me"}}
            }
        })
    }

    /// What is wrong with `statement`, if anything.
    fn found(statement: &Json, expected: &Expected) -> String {
        let parsed = Statement::parse(statement.to_string().as_bytes());
        let checked = parsed.and_then(|statement| statement.check(expected));
        checked.map_or_else(|error| format!("{error:#}"), |()| String::new())
    }

    #[test]
    fn what_is_expected_is_compared_with_what_is_said() {
        let text = |text: &str| Some(text.to_owned());
        let artifact = |name: &str, sha256: &str| {
            Some(Artifact { name: name.to_owned(), sha256: sha256.to_owned() })
        };
        let all = Expected {
            predicate_type: text(PROVENANCE),
            builder_id: text("me"),
            source_uri: text("git+https://example.com/a"),
            artifact: artifact("disk.img", "ab01"),
        };
        assert_eq!(found(&statement(), &all), "");
        let wrong = |change: &dyn Fn(&mut Expected)| {
            let mut expected = all.clone();
            change(&mut expected);
            found(&statement(), &expected)
        };
        assert_eq!(
            wrong(&|expected| expected.predicate_type = text("x")),
            format!("its predicate is of the type `{PROVENANCE}`, where `x` is expected")
        );
        assert_eq!(
            wrong(&|expected| expected.builder_id = text("you")),
            "its builder is `me`, where `you` is expected"
        );
        assert_eq!(
            wrong(&|expected| expected.source_uri = text("b")),
            "its sources are `git+https://example.com/a`, where `b` is expected"
        );
        assert_eq!(
            wrong(&|expected| expected.artifact = artifact("a", "ab01")),
            "it is about `disk.img`, where `a` is expected"
        );
        assert_eq!(
            wrong(&|expected| expected.artifact = artifact("disk.img", "ab02")),
            "by its SHA-256, `disk.img` is `AB01`, but the file has ab02"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let all = Expected { builder_id: Some("me".to_owned()), ..Expected::default() };
        let mut other = statement();
        other["predicate"] = json!({});
        assert_eq!(found(&other, &all), "it names no builder, where `me` is expected");
        let source = Expected { source_uri: Some("a".to_owned()), ..Expected::default() };
        assert_eq!(found(&other, &source), "it names no source, where `a` is expected");
        other["predicateType"] = json!("x");
        assert!(found(&other, &source).contains("this one is of the type `x`"));
        other["_type"] = json!("https://in-toto.io/Statement/v0.1");
        assert!(found(&other, &Expected::default()).contains("Statement/v0.1`, where"));
        assert!(found(&json!({}), &Expected::default()).contains("missing field `_type`"));
    }
}
