//! `imgbake validate`: says everything that is wrong with a template, and starts nothing.

use clap::Args;

use super::front::{self, TemplateArguments, Wishes};
use super::{Exit, Session};
use crate::event::Ui;
use crate::source::SourceMap;

/// `imgbake validate [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Only the text: no variables, no components.
    #[arg(long)]
    pub syntax_only: bool,
    /// Does not warn of variables that a var file sets and nothing declares.
    #[arg(long)]
    pub no_warn_undeclared_var: bool,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let mut sources = SourceMap::default();
    let checked = if arguments.syntax_only {
        front::load(&arguments.template, &mut sources).map(|(_template, found)| found)
    } else {
        let warn_undeclared = !arguments.no_warn_undeclared_var;
        let wishes = Wishes { warn_undeclared, ..Wishes::default() };
        front::plan(session, &arguments.template, wishes, &mut sources).map(|(_plan, found)| found)
    };
    match checked {
        Ok(warnings) => {
            session.show(ui, &warnings, &sources);
            ui.say(match arguments.syntax_only {
                true => "Syntax-only check passed. Everything looks okay.",
                false => "The configuration is valid.",
            });
            Exit::Success
        }
        Err(errors) => {
            session.show(ui, &errors, &sources);
            Exit::Failure
        }
    }
}
