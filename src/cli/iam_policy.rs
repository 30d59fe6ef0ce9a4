//! `imgbake iam-policy`: what the AWS account must allow, so that a template can be built.

use clap::Args;

use super::front::{self, PlanOptions, Planned, TemplateArguments};
use super::{Exit, Session};
use crate::component::Purpose;
use crate::event::Ui;
use crate::permission::policy;
use crate::source::SourceMap;

/// `imgbake iam-policy [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What `build -force` needs, too: it removes AMIs of the same name.
    #[arg(long)]
    pub force: bool,
    /// What `build -keep-failed` needs, too: it stops a machine, and a later run starts it again.
    #[arg(long)]
    pub keep_failed: bool,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let options = PlanOptions { force: arguments.force, ..PlanOptions::default() };
    let mut sources = SourceMap::default();
    let planned = arguments
        .template
        .one()
        .and_then(|template| front::plan(session, ui, &template, options, &mut sources));
    let Some(Planned { plan, .. }) = session.shown(ui, planned, &sources) else {
        return Exit::Failure;
    };
    let environment = &session.environment;
    let builds = plan.builds.iter().map(|build| {
        let mut all = build.builder.permissions(Purpose::Build, environment);
        if build.has_tests() {
            all.extend(build.builder.permissions(Purpose::Test, environment));
        }
        if arguments.keep_failed {
            all.extend(build.builder.permissions(Purpose::Keep, environment));
        }
        all
    });
    let after = plan.builds.iter().flat_map(|build| build.post_processors.iter().flatten());
    let after = after.map(|planned| planned.first.permissions(environment));
    let before = plan.to_look_up.iter().cloned();
    let permissions: Vec<_> = before.chain(builds.chain(after).flatten()).collect();
    if permissions.is_empty() {
        ui.error("Error: nothing in the template needs an AWS account");
        return Exit::Failure;
    }
    ui.say(format!("{:#}", policy(permissions)));
    Exit::Success
}
