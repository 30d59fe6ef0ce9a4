//! `command: build`: the builds of all templates in one run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::Manifest;
use super::outputs::Outputs;
use super::{Action, annotate, so_far};
use crate::cli::Exit;
use crate::cli::build::{How, bake};
use crate::cli::front::{self, Wishes};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, code};
use crate::event::Ui;
use crate::plan::{Plan, PlannedBuild};
use crate::report::listing;
use crate::source::SourceMap;

pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let wishes =
        Wishes { ask_data_sources: true, builds: true, fingerprints: true, ..Wishes::default() };
    let mut sources = SourceMap::default();
    let (plan, found) = plan(action, wishes, &mut sources);
    let may_go_on = action.findings(ui, &found, &sources);
    let Some(plan) = plan.filter(|_| may_go_on) else { return Exit::Failure };
    let plan = Plan { builds: plan.into_iter().map(|one| one.build).collect() };
    if plan.builds.is_empty() {
        let why = "no builds to run: `only` and `except` leave none of the templates' builds";
        annotate(ui, Severity::Error, "imgbake", why);
        return Exit::Failure;
    }
    if action.inputs.dry_run {
        ui.say("These would be built:");
        plan.builds.iter().for_each(|build| ui.say(format!("  {}", build.name)));
        return Exit::Success;
    }
    bake_all(action, plan, sources, ui, outputs)
}

/// How long a step that is cancelled may clean up: the runner asks a second time after 7.5 s, and
/// kills it after 10 s. The end of the job does the rest.
const CANCELLED_STEP: Duration = Duration::from_secs(7);

fn bake_all(
    action: &Action,
    plan: Plan,
    sources: SourceMap,
    ui: &Ui,
    outputs: &mut Outputs,
) -> Exit {
    remember(action, ui, true);
    let how = How {
        parallel: action.inputs.parallel,
        debug: false,
        on_error: action.inputs.on_error,
        state_dir: action.state_dir.clone(),
        time_limit: action.inputs.timeout,
        cleanup: Some(CANCELLED_STEP),
    };
    let baked = bake(plan, sources, &action.session, &how, ui);
    if let Some(outcome) = &baked.outcome {
        listing::left(outcome, ui);
        if !outcome.untouched.is_empty() {
            // They were left on purpose: the end of the job must not remove them.
            remember(action, ui, false);
        }
        outputs.cancelled = outcome.stopped.is_some();
    }
    ui.settle();
    let story = so_far(&action.story);
    outputs.of_builds(&story);
    match Manifest::of(&story, &action.context).write(&action.context) {
        Ok(written) => outputs.manifest = Some(written),
        Err(error) => annotate(ui, Severity::Warning, "imgbake", format!("{error:#}")),
    }
    baked.exit
}

/// Tells the end of the job where journals are; or that it has nothing to remove.
fn remember(action: &Action, ui: &Ui, removes: bool) {
    let dir = action.state_dir.as_ref().filter(|_| removes);
    let dir = dir.map(|dir| dir.display().to_string()).unwrap_or_default();
    if let Err(error) = action.files.state(super::post::STATE_DIR, &dir) {
        let why = format!("the end of the job will not clean up: GITHUB_STATE: {error}");
        annotate(ui, Severity::Warning, "imgbake", why);
    }
}

/// A build of one of the templates.
pub(super) struct OneOf {
    /// The template, as the inputs name it.
    pub template: PathBuf,
    /// What the template calls it.
    pub name: String,
    pub build: PlannedBuild,
}

/// The builds of all templates: what is wrong with any of them is known before the first machine
/// starts. `None` if it is an error.
pub(super) fn plan(
    action: &Action,
    wishes: Wishes,
    sources: &mut SourceMap,
) -> (Option<Vec<OneOf>>, Diagnostics) {
    let mut found = Diagnostics::default();
    let templates = match action.templates() {
        Ok(templates) => templates,
        Err(errors) => return (None, errors),
    };
    let mut builds = Vec::new();
    for arguments in &templates {
        let planned = front::plan(&action.session, arguments, wishes, sources);
        let planned = found.absorb(planned).into_iter().flat_map(|planned| planned.plan.builds);
        builds.extend(planned.map(|build| OneOf {
            template: arguments.template.clone(),
            name: build.name.clone(),
            build,
        }));
    }
    let found = Diagnostics(selections_of_all(found.0, templates.len())).without_repetitions();
    let mut names = HashMap::new();
    builds.iter().for_each(|one| *names.entry(one.name.clone()).or_insert(0) += 1);
    // Two templates may call their builds the same; people and outputs must not mix them up.
    for one in builds.iter_mut().filter(|one| names[&one.name] > 1) {
        one.build.name = told_apart(&one.template, &one.name);
    }
    ((!found.has_errors()).then_some(builds), found)
}

/// A build's name where another template has one of that name.
pub(super) fn told_apart(template: &Path, name: &str) -> String {
    format!("{}: {name}", template.display())
}

/// That `only` matches no build of one template is worth nothing if it does of another.
fn selections_of_all(found: Vec<Diagnostic>, templates: usize) -> Vec<Diagnostic> {
    let selections: Vec<String> = found
        .iter()
        .filter(|one| one.code == code::SELECTION)
        .map(|one| one.summary.clone())
        .collect();
    let in_all = |summary: &String| selections.iter().filter(|one| *one == summary).count();
    let counts =
        |one: &Diagnostic| one.code != code::SELECTION || in_all(&one.summary) == templates;
    found.into_iter().filter(counts).collect()
}
