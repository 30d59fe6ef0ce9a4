//! `imgbake test`: an image that is there is tested, as the `boot-test` of its template says.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::build::{self, Baked, RunSettings};
use super::front::{self, PlanOptions, Planned, TemplateArguments};
use super::{Exit, Session};
use crate::event::Ui;
use crate::plan::{Plan, PlannedBuild};
use crate::source::SourceMap;

/// `imgbake test [flags] -image IMAGE TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image: an AMI of the build's region, a disk of a `qemu` build, a container image. It is not
    /// changed; an AMI that passes gets the tag `imgbake:tested`.
    #[arg(long, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub image: String,
    /// Where the journal of the run is kept; otherwise in IMGBAKE_STATE_DIR, or XDG's directory for
    /// state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Which template says how a machine of it is started and what is tested, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// Plans, starts the machine, tests, removes and reports.
pub fn run(session: &Session, arguments: &Arguments) -> Exit {
    build::reported(session, None, |ui| tested(session, arguments, ui))
}

fn tested(session: &Session, arguments: &Arguments, ui: &Ui) -> Option<Baked> {
    let cleanup = build::cleanup_limit(None, session).map_err(|wrong| ui.error(wrong)).ok()?;
    let options = PlanOptions { ask_data_sources: true, builds: true, ..PlanOptions::default() };
    let mut sources = SourceMap::default();
    let planned = arguments
        .template
        .one()
        .and_then(|template| front::plan(session, ui, &template, options, &mut sources));
    let Planned { plan, .. } = session.shown(ui, planned, &sources)?;
    let plan = only_one(plan, "-only").map_err(|wrong| ui.error(format!("Error: {wrong}"))).ok()?;
    let how = RunSettings {
        tested: Some(arguments.image.clone()),
        state_dir: arguments.state_dir.clone(),
        cleanup,
        ..RunSettings::default()
    };
    Some(build::bake(plan, sources, session, &how, ui))
}

/// The build that the image is of; `option` says which, where there are several.
pub(crate) fn only_one(mut plan: Plan, option: &str) -> Result<Plan, String> {
    plan.builds.retain(PlannedBuild::has_tests);
    match plan.builds.as_slice() {
        [_] => Ok(plan),
        [] => {
            Err("no build has a post-processor `boot-test`, which says what is tested".to_owned())
        }
        several => {
            let names: Vec<_> = several.iter().map(|build| build.name.as_str()).collect();
            Err(format!("say with {option} of which build the image is: {}", names.join(", ")))
        }
    }
}
