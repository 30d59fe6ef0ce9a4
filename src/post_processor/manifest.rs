//! `manifest`: keeps a list of all artifacts in a JSON file.
//!
//! Entries of parallel builds and of other processes are never lost: the file is read, extended
//! and replaced under a lock, and replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use smart_default::SmartDefault;
use tokio::sync::Mutex;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::config::Late;
use crate::fingerprint::MadeFrom;
use crate::peer;
use crate::post_processor::{BuildFields, base_name, blocking, dot, passed_on, replace};
use crate::retry::{self, Backoff};
use crate::whole_file::beside;

/// The options of `manifest`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = { "filename": "output" }))]
pub struct Options {
    /// The file.
    #[default("packer-manifest.json".to_owned())]
    pub output: String,
    /// Writes names of files without their directories.
    pub strip_path: bool,
    /// Leaves `build_time` out.
    pub strip_time: bool,
    /// More values for the entry. They may use `{{ build "X" }}` and `{{ .X }}`.
    pub custom_data: BTreeMap<String, Late<BuildFields>>,
}

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// Kept as they are, whoever wrote them.
    builds: Vec<Json>,
    #[serde(default)]
    last_run_uuid: String,
}

/// One artifact in it.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    builder_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_time: Option<i64>,
    files: Option<Vec<FileEntry>>,
    artifact_id: String,
    packer_run_uuid: String,
    custom_data: Option<BTreeMap<String, String>>,
    /// Only where somebody skips what is unchanged: other programs do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_from: Option<MadeFrom>,
}

#[derive(Debug, Serialize)]
struct FileEntry {
    name: String,
    size: u64,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct ManifestFile(Options);

impl Component for ManifestFile {
    const TYPE: &'static str = "manifest";
    const ABOUT: &'static str = "Writes all artifacts of a run into a JSON file.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if own.output.is_empty() {
            check.error("output", "it is empty");
        }
        Some(Self(own))
    }
}

#[async_trait]
impl PostProcessor for ManifestFile {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let entry = serde_json::to_value(self.entry(cx, &*input)?)?;
        let path = PathBuf::from(&self.0.output);
        let run = cx.facts.scope.environment.run_uuid.clone();
        let force = cx.facts.force;

        static WRITING: Mutex<()> = Mutex::const_new(());
        let _alone_here = WRITING.lock().await;
        let _alone = Lock::acquire(&path, cx).await?;
        blocking(&cx.cancel, move |_| append(&path, entry, run, force)).await?;
        Ok(passed_on(input))
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }

    fn manifest(&self) -> Option<PathBuf> {
        Some(PathBuf::from(&self.0.output))
    }
}

impl ManifestFile {
    fn entry(&self, cx: &PostProcessContext, artifact: &dyn Artifact) -> anyhow::Result<Entry> {
        let (own, facts) = (&self.0, &cx.facts);
        let file = |path: PathBuf| FileEntry {
            name: if own.strip_path { base_name(&path) } else { path.display().to_string() },
            size: fs::metadata(&path).map_or(0, |found| found.len()),
        };
        let files: Vec<_> = artifact.files().into_iter().map(file).collect();
        let mut custom_data = BTreeMap::new();
        for (name, value) in &own.custom_data {
            let value = value.render(&facts.scope, &dot(facts));
            let value = value.with_context(|| format!("cannot render `custom_data.{name}`"))?;
            custom_data.insert(name.clone(), value);
        }
        Ok(Entry {
            name: facts.source_name().to_owned(),
            builder_type: facts.builder_type.clone(),
            build_time: (!own.strip_time).then(|| Timestamp::now().as_second()),
            files: (!files.is_empty()).then_some(files),
            artifact_id: artifact.id(),
            packer_run_uuid: facts.scope.environment.run_uuid.clone(),
            custom_data: (!custom_data.is_empty()).then_some(custom_data),
            made_from: cx.made_from.clone(),
        })
    }
}

/// Adds `entry` to the manifest at `path`. With `force`, entries of earlier runs go.
fn append(path: &Path, entry: Json, run: String, force: bool) -> anyhow::Result<()> {
    let mut manifest = read(path)?;
    if force && manifest.last_run_uuid != run {
        manifest.builds.clear();
    }
    manifest.builds.push(entry);
    manifest.last_run_uuid = run;
    let text = serde_json::to_string_pretty(&manifest)?;
    replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// An entry has a kilobyte, and all of them are read and written again for each new one.
const LARGEST: u64 = 64 << 20;

fn read(path: &Path) -> anyhow::Result<Manifest> {
    let text = match peer::read_regular_text(path, LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Manifest::default()),
        text => text.with_context(|| format!("cannot read the manifest {}", path.display()))?,
    };
    serde_json::from_str(&text).with_context(|| {
        format!("{} is there, but is no manifest: move it away, or change `output`", path.display())
    })
}

/// `<output>.lock`, which other programs that write manifests respect too. A lock that nobody
/// removes (its owner crashed) holds nobody up for long.
struct Lock(PathBuf);

/// Waits for a lock: a second in all, and its owner needs milliseconds.
const WAITS: Backoff =
    Backoff { first: Duration::from_millis(10), factor: 1.6, longest: Duration::from_millis(200) };
const TRIES: usize = 12;

impl Lock {
    async fn acquire(output: &Path, cx: &PostProcessContext) -> anyhow::Result<Self> {
        let path = beside(output, ".lock");
        for wait in WAITS.waits().take(TRIES) {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    retry::sleep(&cx.cancel, wait).await?;
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot make {}", path.display()))
                        .context("the directory of `output` must be there and writable");
                }
            }
        }
        Ok(Self(path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It may be gone: another program took it for a crashed one's.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;
    use crate::component::Facts;
    use crate::post_processor::fake::{self, Made};

    fn ami() -> Made {
        Made { builder_id: "mitchellh.amazonebs", id: "us-east-1:ami-1", ..Made::default() }
    }

    fn parsed(path: &Path) -> Json {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_entry_is_written_as_the_reference_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        fs::write(&disk, [0; 1234]).unwrap();
        let output = dir.path().join("m.json");
        let options = json!({
            "output": output, "strip_path": true, "strip_time": true, "custom_data": {"k": 1}
        });
        let made = Made { files: vec![disk], ..ami() };
        fake::run::<ManifestFile>(options, made).await.0.unwrap();
        let run = parsed(&output)["last_run_uuid"].as_str().unwrap().to_owned();
        let text = fs::read_to_string(&output).unwrap().replace(&run, "<uuid>");
        insta::assert_snapshot!(text, @r#"
        {
          "builds": [
            {
              "name": "web",
              "builder_type": "amazon-ebs",
              "files": [
                {
                  "name": "disk.img",
                  "size": 1234
                }
              ],
              "artifact_id": "us-east-1:ami-1",
              "packer_run_uuid": "<uuid>",
              "custom_data": {
                "k": "1"
              }
            }
          ],
          "last_run_uuid": "<uuid>"
        }
        "#);
    }

    #[tokio::test]
    async fn entries_are_appended_and_keep_what_other_programs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("m.json");
        fs::write(&output, r#"{"builds":[{"z":1,"a":2}],"last_run_uuid":"other"}"#).unwrap();
        fs::set_permissions(&output, Permissions::from_mode(0o600)).unwrap();
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink("m.json", &link).unwrap();
        fake::run::<ManifestFile>(json!({"output": link}), ami()).await.0.unwrap();
        let manifest = parsed(&output);
        assert_eq!(manifest["builds"][0].to_string(), r#"{"z":1,"a":2}"#);
        assert_eq!(manifest["builds"][1]["artifact_id"], "us-east-1:ami-1");
        assert_eq!(manifest["builds"][1]["files"], Json::Null);
        assert!(manifest["builds"][1]["build_time"].as_i64().unwrap() > 1_700_000_000);
        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no lock and no draft stays");
    }

    #[tokio::test]
    async fn force_drops_the_entries_of_earlier_runs_alone() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("m.json");
        let forced = Facts { force: true, ..fake::facts() };
        for (facts, count) in [(fake::facts(), 1), (forced.clone(), 1), (forced, 2)] {
            let options = json!({"output": output});
            fake::run_for::<ManifestFile>(facts, options, ami()).await.0.unwrap();
            assert_eq!(parsed(&output)["builds"].as_array().unwrap().len(), count);
        }
    }

    #[tokio::test]
    async fn parallel_builds_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("m.json");
        let runs = (0..20).map(|_| fake::run::<ManifestFile>(json!({"output": output}), ami()));
        for (result, _) in futures::future::join_all(runs).await {
            result.unwrap();
        }
        assert_eq!(parsed(&output)["builds"].as_array().unwrap().len(), 20);
    }

    #[tokio::test]
    async fn what_is_no_manifest_is_left_alone_and_a_stale_lock_does_not_stop_us() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("m.json");
        fs::write(&output, "precious").unwrap();
        fs::write(dir.path().join("m.json.lock"), "").unwrap();
        let (ended, _) = fake::run::<ManifestFile>(json!({"output": output}), ami()).await;
        let error = format!("{:#}", ended.err().unwrap());
        assert!(error.contains("is no manifest: move it away"), "{error}");
        assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
        let missing = dir.path().join("no/m.json");
        let (ended, _) = fake::run::<ManifestFile>(json!({"output": missing}), ami()).await;
        assert!(format!("{:#}", ended.err().unwrap()).contains("directory of `output`"));
    }
}
