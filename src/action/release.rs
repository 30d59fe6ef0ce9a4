//! The release that the run is for: its page gets the images, and the manifest as a file.

use super::inputs::{Command, Comment};
use super::outputs::Outputs;
use super::{Action, annotate, so_far};
use crate::cli::Exit;
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::github::releases::{Part, publish};
use crate::report::github::summary::images;

/// What the manifest is called there.
const ASSET: &str = "manifest.json";

/// How much of the notes the images may take.
const ROOM: usize = 32_000;

/// Writes to the release, where there is one and something was made; a release that cannot be
/// written fails nothing.
pub(super) fn write(action: &Action, ui: &Ui, exit: Exit, outputs: &Outputs) {
    let Action { inputs, context, session, record, .. } = action;
    let bakes = matches!(inputs.command, Command::Build | Command::Merge);
    if inputs.comment == Comment::Never || !bakes || exit == Exit::Interrupted {
        return;
    }
    let (Some(release), Some(token)) = (context.release(), &inputs.github_token) else { return };
    let (Some(text), Some(manifest)) = (images(&so_far(record), ROOM), &outputs.manifest) else {
        return;
    };
    let part = Part {
        key: super::comment::key(action),
        text: session.redactor.clean(text),
        asset: (ASSET, manifest.text.clone()),
    };
    match action.ask_github(publish(context, token, release, &part)) {
        Ok(Some(url)) => ui.say(format!("The release has the images: {url}")),
        Ok(None) => {
            let what = "the token may not write to the release: give the job `contents: write`, or `comment: never`";
            annotate(ui, Severity::Warning, "no images in the release", what);
        }
        Err(error) => {
            let why = format!("the release was not told of the images: {error:#}");
            annotate(ui, Severity::Warning, "no images in the release", why);
        }
    }
}
