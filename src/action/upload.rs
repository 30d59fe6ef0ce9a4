//! The input `upload`: what a step leaves for people, as an artifact of the run.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::outputs::Outputs;
use super::{Action, annotate};
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::github::artifacts::{ArtifactName, ArtifactService, Enclosed};
use crate::stop::Cause;

/// Uploads the page of the run, the pictures of screens, what is inside the images, and the manifest, if
/// the inputs ask for that. What cannot be uploaded is a warning: the images are there.
pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) {
    let Some(name) = &action.inputs.upload else { return };
    let warn = |why: String| annotate(ui, Severity::Warning, "imgbake", format!("`upload`: {why}"));
    if outputs.stopped == Some(Cause::Interrupted) {
        // The runner ends a step that is cancelled after ten seconds, and cleaning up comes first.
        return warn("the step was cancelled, and nothing is uploaded".to_owned());
    }
    let files = files(action.workspace(), outputs);
    if files.is_empty() {
        return ui.say("There is nothing to upload.");
    }
    ui.say(format!("Uploading {} files as the artifact {name}...", files.len()));
    match action.ask_github(upload(action, name, files)) {
        Ok(url) => {
            ui.say(format!("Uploaded: {url}"));
            outputs.artifact_url = url;
        }
        Err(error) => warn(format!("{error:#}; `actions/upload-artifact` may do it instead")),
    }
}

async fn upload(
    action: &Action,
    name: &ArtifactName,
    files: Vec<Enclosed>,
) -> anyhow::Result<String> {
    let service = ArtifactService::of(&action.runner, &action.context, &action.session.redactor)?;
    service.upload(name, files).await
}

/// The files that the outputs name.
fn files(workspace: &Path, outputs: &Outputs) -> Vec<Enclosed> {
    let manifest = outputs.manifest.as_ref().map(|written| written.path.as_str());
    let named = [manifest, Some(outputs.report.as_str())].into_iter().flatten();
    let named = named.chain(outputs.sbom.iter().map(String::as_str));
    let named = named.filter(|name| !name.is_empty()).map(PathBuf::from);
    let pictures = outputs.screens.iter().flat_map(|directory| pictures(workspace, directory));
    let all = named.chain(pictures).map(|name| enclosed(workspace, &name));
    // Two of one name, from inside and outside of the workspace, would spoil the archive.
    let mut names = HashSet::new();
    all.filter(|one| names.insert(one.name.clone())).collect()
}

/// The pictures in a directory of them, in the order in which they were taken.
fn pictures(workspace: &Path, directory: &str) -> Vec<PathBuf> {
    // One that is gone holds none.
    let entries = std::fs::read_dir(workspace.join(directory)).into_iter().flatten().flatten();
    let names = entries.map(|entry| Path::new(directory).join(entry.file_name()));
    let mut names: Vec<PathBuf> =
        names.filter(|name| name.extension().is_some_and(|ending| ending == "png")).collect();
    names.sort();
    names
}

/// A file of the workspace, which has the same name in the artifact; or any other.
fn enclosed(workspace: &Path, name: &Path) -> Enclosed {
    let parts = name.components().filter_map(|part| match part {
        std::path::Component::Normal(part) => part.to_str(),
        _ => None,
    });
    Enclosed { name: parts.collect::<Vec<_>>().join("/"), path: workspace.join(name) }
}
