//! The manifest of a run: what was built, for programs and for the next run to compare with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::cli::history;
use crate::event::{ArtifactSummary, Contents, Finished};
use crate::fault::Fault;
use crate::github::Context;
use crate::peer::read_regular;
use crate::report::github::record::RunRecord;
use crate::report::github::summary::Change;
use crate::source::{Place, Position};

/// The file, in the working directory.
pub(super) const FILE: &str = history::OF_ACTION;

/// No manifest is larger: it lists builds.
const LARGEST: u64 = 64 << 20;

/// What the fields mean. Later versions may add to them.
const VERSION: u32 = 1;

/// How a build ended.
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    run: Run,
    pub(super) builds: IndexMap<String, Build>,
}

/// The run of the workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    repository: String,
    sha: String,
    url: String,
    /// Which try of the run, and which of its jobs.
    #[serde(default)]
    attempt: String,
    #[serde(default)]
    job: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Build {
    result: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    /// The file of the template.
    #[serde(default)]
    pub template: String,
    seconds: u64,
    artifacts: Vec<Artifact>,
    /// What is inside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Artifact {
    builder_id: String,
    id: String,
    files: Vec<String>,
    /// Machine images by region.
    images: BTreeMap<String, String>,
    /// What the machine said of itself, e.g. `SourceAMI`.
    facts: BTreeMap<String, String>,
}

/// A manifest that was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// JSON on one line.
    pub text: String,
    /// As later steps find it: relative to the checkout.
    pub path: String,
    /// What is other than in the one before, if there was one.
    pub changes: Option<Vec<Change>>,
}

impl Written {
    /// Whether it lists other artifacts than the one before.
    pub fn changed(&self) -> bool {
        self.changes.as_ref().is_none_or(|changes| !changes.is_empty())
    }
}

impl Manifest {
    /// What `record` tells.
    pub fn of(record: &RunRecord, context: &Context) -> Self {
        let builds = record.builds.iter().map(|(name, build)| {
            let finished = build.finished.as_ref();
            let failed = finished.is_none_or(|end| end.error.is_some());
            let products = finished.map_or(&[][..], |end| end.products.as_slice());
            let artifacts = products.iter().map(|product| Artifact {
                builder_id: product.builder_id.clone(),
                id: product.id.clone(),
                files: product.files.clone(),
                images: product.images.clone(),
                facts: product.facts.clone(),
            });
            let build = Build {
                result: if failed { FAILURE } else { SUCCESS }.to_owned(),
                error: finished.and_then(|end| end.error.clone()),
                fault: finished.and_then(|end| end.fault),
                template: finished.map(|end| end.place.file.clone()).unwrap_or_default(),
                seconds: finished.map_or(0, |end| end.took.as_secs()),
                artifacts: artifacts.collect(),
                contents: build.contents.clone(),
            };
            (name.clone(), build)
        });
        let run = Run {
            repository: context.repository.clone(),
            sha: context.sha.clone(),
            url: context.run_url(),
            attempt: context.run_attempt.clone(),
            job: context.job.clone(),
        };
        Self { version: VERSION, run, builds: builds.collect() }
    }

    /// What a file holds.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_slice(&read_regular(path, LARGEST)?)?;
        ensure!(manifest.version <= VERSION, "a later imgbake has written it");
        let artifacts = manifest.builds.values().flat_map(|build| &build.artifacts);
        for region in artifacts.flat_map(|artifact| artifact.images.keys()) {
            let is_plain = |next: char| next.is_ascii_alphanumeric() || next == '-';
            ensure!(region.chars().all(is_plain), "{region:?} is no region");
        }
        Ok(manifest)
    }

    /// With what earlier steps of the same job have built.
    pub fn after_earlier_steps(mut self) -> Self {
        let before = Self::read(Path::new(FILE)).ok().filter(|before| before.run == self.run);
        if let Some(Self { mut builds, .. }) = before {
            builds.extend(std::mem::take(&mut self.builds));
            self.builds = builds;
        }
        self
    }

    /// Writes it in place of the one before.
    pub fn write(&self, context: &Context) -> anyhow::Result<Written> {
        // The one of an earlier run, if there is one that can be read.
        let before = Self::read(Path::new(FILE)).ok();
        let text = serde_json::to_string_pretty(self)?;
        fs::write(FILE, text + "\n").with_context(|| format!("{FILE} cannot be written"))?;
        let path = std::path::absolute(FILE)?;
        Ok(Written {
            text: serde_json::to_string(self)?,
            path: context.in_repository(&path).display().to_string(),
            changes: before.map(|before| self.changes_since(&before)),
        })
    }

    /// The builds whose artifacts are other ones than `before`.
    fn changes_since(&self, before: &Self) -> Vec<Change> {
        let ids = |manifest: &Self, name: &str| -> Vec<String> {
            let build = manifest.builds.get(name).into_iter();
            build.flat_map(|build| &build.artifacts).map(|artifact| artifact.id.clone()).collect()
        };
        let gone = before.builds.keys().filter(|name| !self.builds.contains_key(*name));
        let changes = self.builds.keys().chain(gone).map(|name| Change {
            build: name.clone(),
            before: ids(before, name),
            now: ids(self, name),
        });
        changes.filter(|change| change.before != change.now).collect()
    }
}

impl Build {
    /// One whose job has said nothing of it.
    pub fn lost(template: String) -> Self {
        let error = Some("its job left no manifest".to_owned());
        let (result, seconds, artifacts) = (FAILURE.to_owned(), 0, Vec::new());
        Self { result, error, fault: None, template, seconds, artifacts, contents: None }
    }

    /// How it ended, as far as the manifest knows.
    pub fn finished(&self) -> Finished {
        let position = Position { line: 1, column: 1 };
        let error = self.error.clone();
        Finished {
            took: Duration::from_secs(self.seconds),
            error: error.or_else(|| (self.result != SUCCESS).then(|| "it did not end".to_owned())),
            fault: self.fault,
            stopped: None,
            place: Place { file: self.template.clone(), position },
            products: self.artifacts.iter().cloned().map(Artifact::into).collect(),
        }
    }
}

impl From<Artifact> for ArtifactSummary {
    fn from(artifact: Artifact) -> Self {
        let Artifact { builder_id, id, files, images, facts } = artifact;
        Self { builder_id, id, files, description: String::new(), images, facts }
    }
}
