//! `imgbake init`: whether everything that a template requires is there. Nothing is ever
//! downloaded: what imgbake has is built in.

use clap::Args;

use super::front::{self, TemplateArguments};
use super::{Exit, Session};
use crate::event::Ui;
use crate::plan;
use crate::source::SourceMap;
use crate::template::ast::Dialect;

/// `imgbake init [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Which template.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    arguments.template.warn_of_idle_flags(ui, "init");
    let mut sources = SourceMap::default();
    let template = arguments.template.one();
    let loaded = template.and_then(|template| {
        let (template, mut found) = front::load(&template, &mut sources)?;
        found.extend(plan::requirements(&template));
        found.into_result(template)
    });
    let Some(template) = session.shown(ui, loaded, &sources) else {
        return Exit::Failure;
    };
    if template.dialect == Dialect::Json {
        ui.error("Error: only HCL2 templates can require plugins; this one is legacy JSON");
        return Exit::Failure;
    }
    if template.required_plugins.is_empty() {
        ui.say("The template requires no plugins.");
    }
    Exit::Success
}
