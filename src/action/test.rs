//! `command: test`: an image that is there is tested, as the `boot-test` of its template says.

use super::build::{self, CANCELLED_STEP};
use super::outputs::Outputs;
use super::{Action, annotate};
use crate::cli::Exit;
use crate::cli::build::RunSettings;
use crate::cli::front::PlanOptions;
use crate::cli::test::only_one;
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::plan::Plan;
use crate::source::SourceMap;

pub(super) fn run(action: &Action, ui: &Ui, outputs: &mut Outputs) -> Exit {
    let options = PlanOptions { ask_data_sources: true, builds: true, ..PlanOptions::default() };
    let mut sources = SourceMap::default();
    let (plan, found) = build::plan(action, ui, options, &mut sources);
    let may_go_on = action.findings(ui, &found, &sources);
    let Some(builds) = plan.filter(|_| may_go_on) else { return Exit::Failure };
    let builds = builds.into_iter().map(|one| one.build).collect();
    let plan = match only_one(Plan { builds, ..Plan::default() }, "the input `only`") {
        Ok(plan) => plan,
        Err(wrong) => {
            annotate(ui, Severity::Error, "imgbake", wrong);
            return Exit::Failure;
        }
    };
    let image = action.inputs.channel.as_ref().map(|inputs| inputs.image.clone());
    let how = RunSettings {
        tested: image,
        state_dir: action.state_dir.clone(),
        time_limit: action.inputs.timeout,
        cleanup: Some(CANCELLED_STEP),
        ..RunSettings::default()
    };
    build::baked(action, plan, sources, &how, ui, outputs).exit
}
