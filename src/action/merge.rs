//! `command: merge`: the manifests of a matrix's jobs become one; with it the outputs, the summary and
//! the comment are those of all builds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use super::build::told_apart;
use super::manifest::{self, Build, Manifest};
use super::outputs::Outputs;
use super::{Action, annotate, refuse, so_far};
use crate::cli::Exit;
use crate::diagnostic::Severity;
use crate::event::{Message, Ui};
use crate::report::github::record::RunRecord;

/// What `command: plan` has said.
#[derive(Debug, Default, Deserialize)]
struct Matrix {
    include: Vec<Entry>,
}

/// One job of it.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    only: String,
    templates: PathBuf,
}

pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let context = &action.context;
    let builds = match matrix(action).and_then(|matrix| builds(action, &matrix)) {
        Ok(builds) => builds,
        Err(wrong) => {
            refuse(ui, &wrong);
            return Exit::Failure;
        }
    };
    let mut merged = Manifest::of(&RunRecord::default(), context);
    merged.builds = builds;
    ui.send(Message::BuildsPlanned(merged.builds.keys().cloned().collect()));
    for (name, build) in &merged.builds {
        let ui = ui.for_target(name.as_str());
        build.contents.iter().for_each(|one| ui.send(Message::Contents(one.clone())));
        ui.send(Message::BuildFinished(Box::new(build.finished())));
    }
    ui.settle();
    outputs.add_builds(&so_far(&action.record));
    let exit = match merged.builds.values().any(|build| build.error.is_some()) {
        true => Exit::Failure,
        false => Exit::Success,
    };
    match merged.write(context) {
        Ok(written) => outputs.manifest = Some(written),
        Err(error) => annotate(ui, Severity::Warning, "imgbake", format!("{error:#}")),
    }
    exit
}

fn matrix(action: &Action) -> Result<Matrix, Vec<String>> {
    let Some(text) = &action.inputs.matrix else { return Ok(Matrix::default()) };
    serde_json::from_str(text).map_err(|_| {
        vec!["the input `matrix`: it must be the output `matrix` of `command: plan`".to_owned()]
    })
}

/// The builds of all manifests, as the matrix calls them; those that are in none have failed.
fn builds(action: &Action, matrix: &Matrix) -> Result<IndexMap<String, Build>, Vec<String>> {
    let files = files(&action.inputs.manifests)?;
    if files.is_empty() && matrix.include.is_empty() {
        return Err(vec![no_manifest()]);
    }
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for file in &files {
        match Manifest::read(file) {
            Ok(manifest) => {
                found.extend(manifest.builds.into_iter().map(|(name, build)| (file, name, build)));
            }
            Err(error) => wrong.push(format!("`{}` is no manifest: {error:#}", file.display())),
        }
    }
    let mut named: IndexMap<String, (&Path, Build)> = IndexMap::new();
    let mut count = HashMap::new();
    found.iter().for_each(|(_, name, _)| *count.entry(name.clone()).or_insert(0) += 1);
    for (file, name, build) in found {
        let entry = matrix.include.iter().find(|entry| entry.is_of(&name, &build));
        let name = match entry {
            Some(entry) => entry.name.clone(),
            None if count[&name] > 1 => told_apart(Path::new(&build.template), &name),
            None => name,
        };
        if let Some((other, _)) = named.insert(name.clone(), (file, build)) {
            let (file, other) = (file.display(), other.display());
            wrong.push(format!("the build `{name}` is in two manifests: `{other}` and `{file}`"));
        }
    }
    let mut builds: IndexMap<String, Build> =
        named.into_iter().map(|(name, (_, build))| (name, build)).collect();
    for Entry { name, templates, .. } in &matrix.include {
        let lost = || Build::lost(templates.display().to_string());
        builds.entry(name.clone()).or_insert_with(lost);
    }
    // As the plan has them.
    builds.sort_by_cached_key(|name, _| matrix.include.iter().position(|one| one.name == *name));
    if wrong.is_empty() { Ok(builds) } else { Err(wrong) }
}

impl Entry {
    fn is_of(&self, name: &str, build: &Build) -> bool {
        let plain = |path: &Path| path.strip_prefix("./").unwrap_or(path).to_owned();
        let (template, mine) = (plain(Path::new(&build.template)), plain(&self.templates));
        let is_here = mine == Path::new(".") || template.starts_with(&mine);
        self.only == name && is_here
    }
}

/// That the inputs name none.
pub(super) fn no_manifest() -> String {
    let name = manifest::FILE;
    format!("the input `manifests`: there is no `{name}` in any of them")
}

/// The manifests that the inputs name: files, patterns, and directories in which each job has one of its own.
pub(super) fn files(patterns: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<String>> {
    let mut files = Vec::new();
    for path in patterns {
        let shown = path.display().to_string();
        let pattern = match path.is_dir() {
            true => format!("{}/**/{}", glob::Pattern::escape(&shown), manifest::FILE),
            false => shown,
        };
        let wrong = |error: glob::PatternError| vec![format!("the input `manifests`: {error}")];
        files.extend(glob::glob(&pattern).map_err(wrong)?.filter_map(Result::ok));
    }
    Ok(files)
}
