//! Which AMIs are meant: written down, or those of a manifest.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::peer::read_regular;

/// AMIs by region.
pub type Amis = BTreeMap<String, String>;

/// No manifest is larger.
const LARGEST: u64 = 64 << 20;

/// A build in the manifest of the post-processor `manifest`.
#[derive(Deserialize)]
struct Entry {
    name: String,
    builder_type: String,
    artifact_id: String,
    packer_run_uuid: String,
}

/// The AMIs that `text` names: `REGION:AMI`, several with commas; or a manifest, in which they are
/// those of its last run. `build` says which build, if there are several.
///
/// # Errors
/// If there is no AMI, or nobody says of which build.
pub fn amis(text: &str, cwd: &Path, build: Option<&str>) -> anyhow::Result<Amis> {
    if !text.ends_with(".json") {
        ensure!(build.is_none(), "-build chooses from a manifest, and `{text}` is none");
        return written(text);
    }
    let bytes = read_regular(&cwd.join(text), LARGEST);
    let bytes = bytes.with_context(|| format!("the manifest {text} cannot be read"))?;
    let manifest: Json =
        serde_json::from_slice(&bytes).with_context(|| format!("{text} is no JSON"))?;
    let mut builds = builds(&manifest).with_context(|| format!("{text} is no manifest"))?;
    builds.retain(|(name, amis)| build.is_none_or(|build| build == name) && !amis.is_empty());
    match (builds.pop(), builds.as_slice()) {
        (Some((_, amis)), []) => Ok(amis),
        (None, _) => match build {
            Some(build) => bail!("{text} has no AMI of a build `{build}`"),
            None => bail!("{text} has no AMI"),
        },
        (Some((last, _)), others) => {
            let mut names: Vec<_> = others.iter().map(|(name, _)| name.as_str()).collect();
            names.push(&last);
            bail!("{text} has AMIs of several builds ({}): choose with -build", names.join(", "))
        }
    }
}

/// `us-east-1:ami-1,eu-west-1:ami-2`
fn written(text: &str) -> anyhow::Result<Amis> {
    let mut amis = Amis::new();
    for one in text.split(',') {
        let (region, ami) = one.split_once(':').with_context(|| {
            format!("`{one}` is no AMI: write `us-east-1:ami-…`, or the path of a manifest (.json)")
        })?;
        let is_known = amis.insert(region.to_owned(), ami.to_owned()).is_some();
        ensure!(!is_known, "`{text}` has two AMIs in {region}");
    }
    for ami in amis.values() {
        let digits = ami.strip_prefix("ami-").unwrap_or_default();
        let is_id = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_alphanumeric());
        ensure!(is_id, "`{ami}` is no id of an AMI");
    }
    Ok(amis)
}

/// The builds of a manifest with their AMIs, by the names that `-build` knows.
fn builds(manifest: &Json) -> anyhow::Result<Vec<(String, Amis)>> {
    match &manifest["builds"] {
        // `manifest`, the post-processor: all runs that wrote to the file, one after the other.
        Json::Array(_) => {
            let entries: Vec<Entry> = Deserialize::deserialize(&manifest["builds"])?;
            let last = manifest["last_run_uuid"].as_str().unwrap_or_default();
            let of_last = entries.into_iter().filter(|entry| entry.packer_run_uuid == last);
            let amis = |entry: Entry| {
                let amis = written(&entry.artifact_id).unwrap_or_default();
                (format!("{}.{}", entry.builder_type, entry.name), amis)
            };
            Ok(of_last.map(amis).collect())
        }
        // The action's own: one run.
        Json::Object(builds) => {
            let amis = |build: &Json| {
                let artifacts = build["artifacts"].as_array().into_iter().flatten();
                let images = artifacts.filter_map(|artifact| artifact["images"].as_object());
                let images = images.flatten();
                let text = |(region, ami): (&String, &Json)| {
                    let text = format!("{region}:{}", ami.as_str().unwrap_or_default());
                    written(&text).unwrap_or_default()
                };
                images.flat_map(text).collect()
            };
            Ok(builds.iter().map(|(name, build)| (name.clone(), amis(build))).collect())
        }
        _ => bail!("it has no `builds`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(manifest: &Json, build: Option<&str>) -> Result<Amis, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.json"), manifest.to_string()).unwrap();
        amis("m.json", dir.path(), build).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_manifest_means_its_last_run() {
        let entry = |name: &str, id: &str, run: &str| {
            json!({
                "name": name, "builder_type": "amazon-ebs", "artifact_id": id,
                "packer_run_uuid": run, "files": null,
            })
        };
        let manifest = json!({
            "builds": [
                entry("web", "us-east-1:ami-1", "old"),
                entry("web", "eu-west-1:ami-3,us-east-1:ami-2", "new"),
                entry("disk", "output/disk", "new"),
            ],
            "last_run_uuid": "new",
        });
        let web = Amis::from([
            ("eu-west-1".to_owned(), "ami-3".to_owned()),
            ("us-east-1".to_owned(), "ami-2".to_owned()),
        ]);
        assert_eq!(of(&manifest, None), Ok(web.clone()));
        assert_eq!(of(&manifest, Some("amazon-ebs.web")), Ok(web));
        let none = "m.json has no AMI of a build `amazon-ebs.db`".to_owned();
        assert_eq!(of(&manifest, Some("amazon-ebs.db")), Err(none));
    }

    #[test]
    fn of_several_builds_one_is_chosen() {
        let build = |ami: &str| json!({"artifacts": [{"images": {"us-east-1": ami}}]});
        let manifest = json!({"builds": {"a.web": build("ami-1"), "a.db": build("ami-2")}});
        let several =
            "m.json has AMIs of several builds (a.web, a.db): choose with -build".to_owned();
        assert_eq!(of(&manifest, None), Err(several));
        assert_eq!(of(&manifest, Some("a.db")).unwrap()["us-east-1"], "ami-2");
        assert!(of(&json!([]), None).unwrap_err().contains("is no manifest"));
    }

    #[test]
    fn amis_are_written_with_their_regions() {
        let read = |text: &str| amis(text, Path::new("/"), None).map_err(|error| error.to_string());
        assert_eq!(read("us-east-1:ami-0a,eu-west-1:ami-0b").unwrap().len(), 2);
        for text in ["ami-0a", "us-east-1:i-1", "us-east-1:ami-1,us-east-1:ami-2", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
