//! `command: build`: the builds of all templates in one run.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::Manifest;
use super::outputs::{Outputs, files_of_contents, screens};
use super::{Action, annotate, post, so_far};
use crate::cli::Exit;
use crate::cli::build::{Baked, RunSettings, bake};
use crate::cli::front::{self, PlanOptions, Planned};
use crate::cli::{init, several};
use crate::diagnostic::{Diagnostics, Severity};
use crate::event::Ui;
use crate::plan::{Plan, PlannedBuild, Unmatched};
use crate::report::github::in_repository;
use crate::report::listing;
use crate::run::Outcome;
use crate::source::SourceMap;

pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let options = PlanOptions {
        ask_data_sources: true,
        builds: true,
        fingerprints: true,
        force: action.inputs.force,
        ..PlanOptions::default()
    };
    let mut sources = SourceMap::default();
    let (plan, found) = plan(action, ui, options, &mut sources);
    let may_go_on = action.findings(ui, &found, &sources);
    let Some(plan) = plan.filter(|_| may_go_on) else { return Exit::Failure };
    let plan = Plan { builds: plan.into_iter().map(|one| one.build).collect(), ..Plan::default() };
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
pub(super) const CANCELLED_STEP: Duration = Duration::from_secs(7);

fn bake_all(
    action: &Action,
    plan: Plan,
    sources: SourceMap,
    ui: &Ui,
    outputs: &mut Outputs,
) -> Exit {
    let how = RunSettings {
        parallel: action.inputs.parallel,
        debug: false,
        on_error: action.inputs.on_error,
        skip_unchanged: action.inputs.skip_unchanged,
        sbom: action.inputs.sbom.clone(),
        tested: None,
        keep_failed: action.inputs.keep_failed,
        state_dir: action.state_dir.clone(),
        time_limit: action.inputs.timeout,
        cleanup: Some(CANCELLED_STEP),
    };
    let baked = baked(action, plan, sources, &how, ui, outputs);
    if how.skip_unchanged.is_some_and(|wanted| wanted.only_explains) {
        // Nothing was made: the manifest stays as it is.
        return baked.exit;
    }
    let record = so_far(&action.record);
    outputs.add_builds(&record);
    let root = action.context.in_repository(&action.session.environment.cwd);
    outputs.screens = screens(&record).iter().map(|path| in_repository(root, path)).collect();
    outputs.sbom = files_of_contents(&record).map(|path| in_repository(root, path)).collect();
    let manifest = Manifest::of(&record, &action.context).after_earlier_steps();
    match manifest.write(&action.context) {
        Ok(written) => outputs.manifest = Some(written),
        Err(error) => annotate(ui, Severity::Warning, "imgbake", format!("{error:#}")),
    }
    baked.exit
}

/// Bakes, or tests, so that the end of the job finds what is left.
pub(super) fn baked(
    action: &Action,
    plan: Plan,
    sources: SourceMap,
    how: &RunSettings,
    ui: &Ui,
    outputs: &mut Outputs,
) -> Baked {
    remember(action, ui);
    let baked = bake(plan, sources, &action.session, how, ui);
    if let Some(outcome) = &baked.outcome {
        left(outcome, ui);
        outputs.stopped = outcome.stopped;
        if baked.left.is_none() {
            forget(action, ui);
        }
    }
    ui.settle();
    baked
}

/// Tells the end of the job where journals are, before the first is written.
fn remember(action: &Action, ui: &Ui) {
    let Some(dir) = &action.state_dir else { return };
    // Where it is not there at the end, somebody has removed it, and what it said with it. A journal
    // that cannot be written says so itself.
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    keep_state(action, ui, &dir.display().to_string());
}

/// Tells the end of the job that nothing is left.
fn forget(action: &Action, ui: &Ui) {
    post::remove(action.own_dir.as_deref());
    keep_state(action, ui, "");
}

fn keep_state(action: &Action, ui: &Ui, dir: &str) {
    if let Err(error) = action.files.state(post::STATE_DIR, dir) {
        let why = format!("the end of the job will not clean up: GITHUB_STATE: {error}");
        annotate(ui, Severity::Warning, "imgbake", why);
    }
}

/// What nobody removed.
fn left(outcome: &Outcome, ui: &Ui) {
    listing::list(ui, "These were left as they are, as `on-error` asks:", &outcome.untouched);
    listing::list(
        ui,
        "Kept, so that the next run with `keep-failed` goes on there:",
        &outcome.kept,
    );
    if !outcome.left_behind.is_empty() {
        let what = outcome.left_behind.join("\n");
        let why =
            format!("these could not be removed, and the end of the job tries again:\n{what}");
        annotate(ui, Severity::Error, "left behind", why);
    }
}

/// A build of one of the templates.
pub(super) struct TemplateBuild {
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
    ui: &Ui,
    options: PlanOptions,
    sources: &mut SourceMap,
) -> (Option<Vec<TemplateBuild>>, Diagnostics) {
    let (templates, mut found) = action.templates();
    // Whoever may only have a template checked must not have a program run that it names. What is
    // wrong with a template, and what it lacks then, is said when it is planned.
    if options.builds {
        templates.iter().for_each(|one| init::provide(&action.session, ui, one.clone()));
    }
    let (mut builds, mut unmatched) = <(Vec<_>, Vec<_>)>::default();
    for arguments in &templates {
        let planned = front::plan_one_of_several(&action.session, ui, arguments, options, sources);
        let Some(Planned { plan, .. }) = found.absorb(planned) else { continue };
        unmatched.push(plan.unmatched);
        builds.extend(plan.builds.into_iter().map(|build| TemplateBuild {
            template: arguments.template.clone(),
            name: build.name.clone(),
            build,
        }));
    }
    if unmatched.len() == templates.len() {
        let asker = action.session.environment.asker;
        found.extend(several::unmatched(&Unmatched::in_all(unmatched), asker));
    }
    let found = found.without_repetitions();
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
