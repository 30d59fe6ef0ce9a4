//! `command: plan`: a list of the builds that a workflow makes a matrix of, one job each.

use serde_json::json;

use super::build::{TemplateBuild, plan};
use super::outputs::Outputs;
use super::{Action, annotate};
use crate::cli::Exit;
use crate::cli::front::PlanOptions;
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::source::SourceMap;

/// How many jobs GitHub makes of a matrix.
const MOST_JOBS: usize = 256;

pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let mut sources = SourceMap::default();
    let mut entries = Vec::new();
    let options = PlanOptions::default();
    let (plan, found) = plan(action, ui, options, &mut sources);
    if !action.findings(ui, &found, &sources) {
        return Exit::Failure;
    }
    let Some(plan) = plan else { return Exit::Failure };
    for TemplateBuild { template, name, build } in &plan {
        entries.push(json!({"name": build.name, "only": name, "templates": template}));
        ui.say(build.name.clone());
    }
    if entries.len() > MOST_JOBS {
        let count = entries.len();
        let why = format!(
            "GitHub makes {MOST_JOBS} jobs of a matrix at most, and these are {count}: give `only` or `templates` to several matrices"
        );
        annotate(ui, Severity::Error, "plan", why);
        return Exit::Failure;
    }
    outputs.matrix = Some(json!({"include": entries}));
    Exit::Success
}
