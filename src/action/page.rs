//! The input `report`: a page of what the builds did, which a later step uploads.

use super::outputs::Outputs;
use super::{Action, annotate, build, refuse};
use crate::cli::Exit;
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::report::github::in_repository;
use crate::report::page::Draft;

/// Runs the builds, and writes the page if one is wanted. Where that is not possible, nothing is begun.
pub(super) fn of_builds(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let (Some(path), Some(kept)) = (&action.inputs.report, &action.page) else {
        return build::run(action, ui, outputs);
    };
    let cwd = &action.session.environment.cwd;
    let draft = match Draft::create(cwd, path) {
        Ok(draft) => draft,
        Err(error) => {
            refuse(ui, &[format!("the input `report`: {error:#}")]);
            return Exit::Failure;
        }
    };
    let exit = build::run(action, ui, outputs);
    ui.settle();
    match draft.write_recorded(kept, cwd) {
        Ok(()) => {
            let root = action.context.in_repository(cwd);
            outputs.report = in_repository(root, &path.display().to_string());
        }
        // The images are there, and nobody is to bake them again for that.
        Err(error) => annotate(ui, Severity::Warning, "imgbake", format!("`report`: {error:#}")),
    }
    exit
}
