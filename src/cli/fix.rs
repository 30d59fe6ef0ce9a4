//! `imgbake fix`: a legacy template in the form that it has today, on standard output.

use clap::Args;

use super::front::{self, TemplateArguments};
use super::{Exit, Session};
use crate::diagnostic::Diagnostics;
use crate::event::Ui;
use crate::plan;
use crate::source::SourceMap;
use crate::template::ast::Dialect;
use crate::template::fix::{self, Document, FIXERS};
use crate::template::load::{self, LoadRequest};

/// `imgbake fix [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
#[command(after_help = fixers())]
pub struct Arguments {
    /// Checks the fixed template, and fails if it cannot be right; it is printed all the same.
    #[arg(long, default_value = "true")]
    pub validate: bool,
    /// Which template.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// The list of all fixers, for the help.
fn fixers() -> String {
    let width = FIXERS.iter().map(|fixer| fixer.name.len()).max().unwrap_or(0);
    let lines = FIXERS.iter().map(|fixer| format!("  {:width$}  {}", fixer.name, fixer.does));
    format!("Fixers, in the order in which they run:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let Arguments { validate, template } = arguments;
    template.warn_of_idle_flags(ui, "fix");
    front::for_each(session, ui, template.each(), |template| {
        fix_one(session, ui, &template.load_request(), *validate)
    })
}

fn fix_one(session: &Session, ui: &Ui, request: &LoadRequest, validate: bool) -> Exit {
    let mut sources = SourceMap::default();
    if request.dialect() == Dialect::Hcl {
        ui.error("imgbake fix only works with JSON files for now.");
        if let Some(legacy) = load::misnamed_legacy(&request.path, &mut sources) {
            session.show(ui, &legacy.into(), &sources);
        }
        return Exit::Failure;
    }
    let document = read(request, &mut sources);
    let Some(mut document) = session.shown(ui, document, &sources) else {
        return Exit::Failure;
    };
    if let Err(why) = fix::fix(&mut document) {
        ui.error(format!("Error: the template cannot be fixed: {why}"));
        return Exit::Failure;
    }
    let text = document.to_text();
    ui.say(text.as_str());
    if !validate {
        return Exit::Success;
    }
    let checked = check(text, request, &mut sources);
    if session.shown(ui, checked, &sources).is_none() {
        ui.error("Error: the fixed template cannot be right; the mistake is in the original, too");
        return Exit::Failure;
    }
    Exit::Success
}

fn read(
    request: &LoadRequest,
    sources: &mut SourceMap,
) -> Result<(Document, Diagnostics), Diagnostics> {
    let file = load::text(&request.path, &request.reach, sources)?;
    Document::read(file, sources)
}

/// Reads the fixed template as any template is read. Its components need not exist here.
fn check(
    text: String,
    request: &LoadRequest,
    sources: &mut SourceMap,
) -> Result<((), Diagnostics), Diagnostics> {
    let file = sources.add("fixed template", text);
    let (template, _warnings) = load::legacy(file, request, sources)?;
    plan::check_legacy_structure(&template).into_result(())
}
