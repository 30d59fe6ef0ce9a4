//! What manifests say of earlier runs: those of the post-processor `manifest`, and the action's own.
//! They are files of anybody: what is no entry is passed over, and counted.

use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::fingerprint::MadeFrom;
use crate::peer::read_regular;

/// No manifest is larger, and no more entries of it are read: the last ones.
const LARGEST: u64 = 64 << 20;
const MOST_ENTRIES: usize = 10_000;

/// An artifact, as a manifest tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// What the build is called: by the template, or in full.
    pub name: String,
    /// The type of its builder; empty if the name says it all.
    pub builder_type: String,
    pub made_at: Option<Timestamp>,
    pub id: String,
    /// The files with their sizes, where they are told.
    pub files: Vec<(String, Option<u64>)>,
    pub commit: String,
    pub made_from: Option<MadeFrom>,
}

/// An entry of the post-processor.
#[derive(Deserialize)]
struct Written {
    name: String,
    #[serde(default)]
    builder_type: String,
    #[serde(default)]
    build_time: Option<i64>,
    #[serde(default)]
    files: Option<Vec<WrittenFile>>,
    #[serde(default)]
    artifact_id: String,
    #[serde(default)]
    custom_data: Option<Json>,
    #[serde(default)]
    made_from: Option<MadeFrom>,
}

#[derive(Deserialize)]
struct WrittenFile {
    name: String,
    size: u64,
}

/// Under which names people keep the commit in `custom_data`.
const COMMITS: [&str; 5] = ["commit", "git_commit", "git_sha", "commit_sha", "sha"];

impl From<Written> for Entry {
    fn from(written: Written) -> Self {
        let data = written.custom_data.unwrap_or_default();
        let commit = COMMITS.iter().find_map(|name| data.get(name)?.as_str());
        let files = written.files.unwrap_or_default().into_iter();
        Self {
            name: written.name,
            builder_type: written.builder_type,
            made_at: written.build_time.and_then(|at| Timestamp::from_second(at).ok()),
            id: written.artifact_id,
            files: files.map(|file| (file.name, Some(file.size))).collect(),
            commit: commit.unwrap_or_default().to_owned(),
            made_from: written.made_from,
        }
    }
}

/// What the manifest in the file `path` says, and how much of it is no entry. Nothing, if it is not
/// there and need not be.
pub(super) fn read(path: &Path, must_be: bool) -> anyhow::Result<(Vec<Entry>, usize)> {
    let bytes = match read_regular(path, LARGEST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be => {
            return Ok(Default::default());
        }
        read => read.context("it cannot be read")?,
    };
    let manifest: Json = serde_json::from_slice(&bytes).context("it is no JSON")?;
    match &manifest["builds"] {
        Json::Array(builds) => {
            let newest = &builds[builds.len().saturating_sub(MOST_ENTRIES)..];
            let read = newest.iter().filter_map(|one| Written::deserialize(one).ok());
            let entries: Vec<Entry> = read.map(Entry::from).collect();
            let strange = newest.len() - entries.len();
            Ok((entries, strange))
        }
        Json::Object(builds) => {
            let commit = manifest["run"]["sha"].as_str().unwrap_or_default();
            let of = |(name, build): (&String, &Json)| of_action(name, build, commit);
            Ok((builds.iter().take(MOST_ENTRIES).flat_map(of).collect(), 0))
        }
        _ => anyhow::bail!("it is no manifest: it has no `builds`"),
    }
}

/// The artifacts of a build in the action's manifest.
fn of_action(name: &str, build: &Json, commit: &str) -> Vec<Entry> {
    let artifacts = build["artifacts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let files = |one: &Json| {
        let files = one["files"].as_array().map(Vec::as_slice).unwrap_or_default();
        files.iter().map(|file| (text(file), None)).collect()
    };
    let entries = artifacts.iter().map(|one| Entry {
        name: name.to_owned(),
        id: text(&one["id"]),
        files: files(one),
        commit: commit.to_owned(),
        ..Entry::default()
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(manifest: &str) -> anyhow::Result<(Vec<Entry>, usize)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        std::fs::write(&path, manifest).unwrap();
        read(&path, true)
    }

    #[test]
    fn both_kinds_of_manifests_are_read() {
        let (entries, strange) = of(&json!({"builds": [
            {"name": "web", "builder_type": "amazon-ebs", "build_time": 1_764_500_000,
             "files": [{"name": "a", "size": 3}], "artifact_id": "us-east-1:ami-1",
             "packer_run_uuid": "x", "custom_data": {"git_sha": "0123abc"}},
            {"name": 7}, "nonsense",
        ]})
        .to_string())
        .unwrap();
        assert_eq!((entries.len(), strange), (1, 2));
        let one = &entries[0];
        assert_eq!((one.id.as_str(), one.commit.as_str()), ("us-east-1:ami-1", "0123abc"));
        assert_eq!(one.files, [("a".to_owned(), Some(3))]);
        assert_eq!(one.made_at.unwrap().as_second(), 1_764_500_000);
        let build = json!({"artifacts": [{"id": "us-east-1:ami-1", "files": []}]});
        let action = json!({"run": {"sha": "abc"}, "builds": {"amazon-ebs.web": build}});
        let (entries, _) = of(&action.to_string()).unwrap();
        assert_eq!(
            (entries[0].name.as_str(), entries[0].commit.as_str()),
            ("amazon-ebs.web", "abc")
        );
    }

    #[test]
    fn what_is_no_manifest_is_said() {
        for (text, why) in
            [("{", "no JSON"), ("{}", "no `builds`"), (r#"{"builds": 1}"#, "no `builds`")]
        {
            let error = format!("{:#}", of(text).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        assert!(read(Path::new("/nowhere/m.json"), true).is_err());
        assert_eq!(read(Path::new("/nowhere/m.json"), false).unwrap().0, []);
    }
}
