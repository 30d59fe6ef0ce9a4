//! The outputs of the step. All of them are set whatever happens, and those that are JSON are always
//! JSON: no workflow has to know which are, and `fromJSON` never fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::annotate;
use super::manifest::Written;
use crate::cli::Exit;
use crate::diagnostic::Severity;
use crate::event::{ArtifactSummary, Picture, Ui};
use crate::fault::{Fault, Kind};
use crate::github::Files;
use crate::report::github::record::{BuildRecord, RunRecord};
use crate::secret::Redactor;
use crate::stop::Cause;

/// The fault where no error says whose it is: this computer's.
const UNKNOWN: Fault = Fault::lasting(Kind::Environment);

/// What later steps read.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// The image of the only build.
    ami_id: String,
    /// All images: build → region → id.
    ami_ids: IndexMap<String, BTreeMap<String, String>>,
    artifacts: Vec<Json>,
    /// Whether any of them is an image or a file: that of a `null` build is nothing.
    made: bool,
    /// Each failure, and whose fault it is.
    failures: Vec<(String, Fault)>,
    pub manifest: Option<Written>,
    /// Directories with pictures of the screens of machines, relative to the checkout.
    pub screens: Vec<String>,
    /// The files that list what is inside the images, relative to the checkout.
    pub sbom: Vec<String>,
    /// The page of the run, relative to the checkout.
    pub report: String,
    /// The artifact of the run with all of these; empty if there is none.
    pub artifact_url: String,
    /// Why the builds were stopped before their end, if they were.
    pub stopped: Option<Cause>,
    /// What `strategy.matrix` takes.
    pub matrix: Option<Json>,
    pub duration: Duration,
}

impl Outputs {
    /// Takes what came of the builds.
    pub fn add_builds(&mut self, record: &RunRecord) {
        for (name, build) in &record.builds {
            let finished = build.finished.as_ref();
            if finished.is_none_or(|end| end.error.is_some()) {
                let fault = finished.and_then(|end| end.fault);
                self.failures.push((name.clone(), fault.unwrap_or(UNKNOWN)));
            }
            for product in products(build) {
                self.artifacts.push(json!({
                    "build": name,
                    "builder-id": product.builder_id,
                    "id": product.id,
                    "files": product.files,
                }));
                self.made |= !product.images.is_empty() || !product.files.is_empty();
                let images = self.ami_ids.entry(name.clone()).or_default();
                images.extend(product.images.clone());
            }
        }
        self.ami_ids.retain(|_, images| !images.is_empty());
        if let [(name, images)] = self.ami_ids.iter().collect::<Vec<_>>().as_slice() {
            let home = home(&record.builds[name.as_str()]);
            let id = home.and_then(|home| images.get(home)).or_else(|| images.values().next());
            self.ami_id = id.cloned().unwrap_or_default();
        }
    }

    /// Takes what stopped the step where it was no build: what it was told beside that has no place in
    /// a build.
    pub fn add_step(&mut self, record: &RunRecord, exit: Exit) {
        if exit != Exit::Success && self.failures.is_empty() {
            let said = record.annotations.iter().filter_map(|one| one.fault);
            self.failures.push((String::new(), Fault::together(said).unwrap_or(UNKNOWN)));
        }
    }

    /// Images that are the only ones in their region, by region.
    fn by_region(&self) -> BTreeMap<&str, &str> {
        let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (region, id) in self.ami_ids.values().flatten() {
            all.entry(region).or_default().push(id);
        }
        let single = all.into_iter().filter(|(_, ids)| ids.len() == 1);
        single.map(|(region, ids)| (region, ids[0])).collect()
    }

    /// Names and values.
    fn all(&self, exit: Exit) -> Vec<(String, String)> {
        let result = match exit {
            Exit::Success => "success",
            _ if self.stopped.is_some() || exit == Exit::Interrupted => "cancelled",
            _ => "failure",
        };
        let failures = self.failures.iter().map(|(build, Fault { kind, can_retry })| {
            json!({"build": build, "fault": kind.word(), "can-retry": can_retry})
        });
        let failures: Vec<Json> = failures.collect();
        let can_retry = !failures.is_empty() && self.failures.iter().all(|(_, one)| one.can_retry);
        // The step itself has no name.
        let failed = self.failures.iter().map(|(build, _)| build).filter(|build| !build.is_empty());
        let failed: Vec<&String> = failed.collect();
        let manifest = self.manifest.as_ref();
        let changed = self.made && manifest.is_some_and(Written::changed);
        let mut all: Vec<(String, String)> = [
            ("result", result.to_owned()),
            ("duration", self.duration.as_secs().to_string()),
            ("ami-id", self.ami_id.clone()),
            ("ami-ids", json!(self.ami_ids).to_string()),
            ("artifacts", json!(self.artifacts).to_string()),
            ("failed-builds", json!(failed).to_string()),
            ("failures", json!(failures).to_string()),
            ("can-retry", can_retry.to_string()),
            ("changed", changed.to_string()),
            ("manifest", manifest.map_or("{}", |written| written.text.as_str()).to_owned()),
            ("manifest-path", manifest.map(|written| written.path.clone()).unwrap_or_default()),
            ("screens", self.screens.join("\n")),
            ("sbom", self.sbom.join("\n")),
            ("report", self.report.clone()),
            ("artifact-url", self.artifact_url.clone()),
            ("matrix", self.matrix.clone().unwrap_or_else(|| json!({"include": []})).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let regions = self.by_region();
        all.extend(regions.iter().map(|(region, id)| (format!("ami-{region}"), (*id).to_owned())));
        all
    }

    /// Writes all of them for the runner.
    pub fn write(&self, files: &Files, redactor: &Redactor, exit: Exit, ui: &Ui) {
        let mut swallowed = Vec::new();
        // One that cannot be written keeps no other back.
        let written: Vec<io::Result<()>> = self
            .all(exit)
            .iter()
            .map(|(name, value)| {
                if redactor.redact(value) != value.as_str() {
                    swallowed.push(name.clone());
                }
                files.output(name, value)
            })
            .collect();
        if let Some(error) = written.into_iter().find_map(Result::err) {
            let why = format!("the outputs cannot be written: GITHUB_OUTPUT: {error}");
            annotate(ui, Severity::Warning, "imgbake", why);
        }
        if !swallowed.is_empty() {
            let names = swallowed.join(", ");
            let why = format!(
                "the value of a secret stands in these outputs, and GitHub hands none of them on to other jobs: {names}; a secret that is part of an id, a name or a number is no secret"
            );
            annotate(ui, Severity::Warning, "imgbake", why);
        }
    }
}

/// The directories of all pictures that builds have told of.
pub(super) fn screens(record: &RunRecord) -> BTreeSet<&str> {
    let pictures = record.builds.values().flat_map(|build| &build.pictures);
    pictures.map(Picture::directory).collect()
}

/// The files that list what is inside the images of builds.
pub(super) fn files_of_contents(record: &RunRecord) -> impl Iterator<Item = &str> {
    let contents = record.builds.values().filter_map(|build| build.contents.as_ref());
    contents.flat_map(|contents| &contents.files).map(String::as_str)
}

fn products(build: &BuildRecord) -> &[ArtifactSummary] {
    build.finished.as_ref().map_or(&[], |end| end.products.as_slice())
}

/// The region that a build worked in.
fn home(build: &BuildRecord) -> Option<&str> {
    products(build).iter().find_map(|product| product.facts.get("BuildRegion")).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Finished;
    use crate::source::{Place, Position};

    fn product(images: &[(&str, &str)], region: &str) -> ArtifactSummary {
        let text = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        ArtifactSummary {
            builder_id: "mitchellh.amazonebs".into(),
            id: "ids".into(),
            files: Vec::new(),
            description: String::new(),
            images: images.iter().map(text).collect(),
            facts: [("BuildRegion".to_owned(), region.to_owned())].into(),
        }
    }

    fn record(builds: &[(&str, Option<&str>, Vec<ArtifactSummary>)]) -> RunRecord {
        let mut record = RunRecord::default();
        for (name, error, products) in builds {
            let place = Place { file: "a".into(), position: Position { line: 1, column: 1 } };
            let error = error.map(str::to_owned);
            let (took, products) = (Duration::ZERO, products.clone());
            let finished =
                Some(Finished { took, error, fault: None, stopped: None, place, products });
            let build = BuildRecord { finished, ..BuildRecord::default() };
            record.builds.insert((*name).to_owned(), build);
        }
        record
    }

    fn all(record: &RunRecord) -> BTreeMap<String, String> {
        let mut outputs = Outputs::default();
        outputs.add_builds(record);
        outputs.all(Exit::Success).into_iter().collect()
    }

    #[test]
    fn one_build_has_an_image_which_is_that_of_its_own_region() {
        let images = [("eu-west-1", "ami-1"), ("us-east-1", "ami-2")];
        let all = all(&record(&[("web", None, vec![product(&images, "us-east-1")])]));
        assert_eq!(all["ami-id"], "ami-2");
        assert_eq!(all["ami-ids"], r#"{"web":{"eu-west-1":"ami-1","us-east-1":"ami-2"}}"#);
        assert_eq!((all["ami-eu-west-1"].as_str(), all["failed-builds"].as_str()), ("ami-1", "[]"));
    }

    #[test]
    fn several_builds_have_no_single_image() {
        let all = all(&record(&[
            ("web", None, vec![product(&[("us-east-1", "ami-1")], "us-east-1")]),
            ("db", None, vec![product(&[("us-east-1", "ami-2"), ("eu-west-1", "ami-3")], "x")]),
            ("cache", Some("no"), Vec::new()),
        ]));
        assert_eq!(all["ami-id"], "");
        assert!(!all.contains_key("ami-us-east-1"), "there are two");
        assert_eq!(all["ami-eu-west-1"], "ami-3");
        assert_eq!(all["failed-builds"], r#"["cache"]"#);
    }

    #[test]
    fn the_directories_of_pictures_are_told_once() {
        let mut record = record(&[("a", None, Vec::new()), ("b", Some("no"), Vec::new())]);
        for (build, path) in
            [("a", "out.screens/001-1m.png"), ("a", "out.screens/002-2m.png"), ("b", "b/1.png")]
        {
            let (path, moment) = (path.to_owned(), String::new());
            let picture = crate::event::Picture { path, moment, is_told: false };
            record.builds[build].pictures.push(picture);
        }
        assert_eq!(screens(&record).into_iter().collect::<Vec<_>>(), ["b", "out.screens"]);
    }

    #[test]
    fn every_output_is_always_there() {
        let outputs = Outputs::default().all(Exit::Failure);
        let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
        let text = include_str!("../../action.yml");
        let action: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        let mut declared: Vec<_> =
            action["outputs"].as_mapping().unwrap().keys().filter_map(|key| key.as_str()).collect();
        declared.sort_unstable();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, declared);
    }
}
