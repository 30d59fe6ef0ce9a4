//! `imgbake inspect`: what a template consists of. The text is what scripts that read the usual
//! tool's output expect.

mod hcl;
mod json;

use clap::Args;

use super::front::{self, TemplateArguments, Wishes};
use super::{Exit, Session};
use crate::eval;
use crate::event::Ui;
use crate::source::SourceMap;
use crate::template::ast::Dialect;

/// `imgbake inspect [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) use hcl::values;

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let templates = arguments.template.each();
    front::for_each(session, ui, templates, |template| inspect(session, ui, template))
}

fn inspect(session: &Session, ui: &Ui, arguments: &TemplateArguments) -> Exit {
    let mut sources = SourceMap::default();
    let template = match front::look(session, arguments, &mut sources) {
        Ok((template, _warnings)) => template,
        Err(errors) => {
            session.show(ui, &errors, &sources);
            return Exit::Failure;
        }
    };
    match template.dialect {
        Dialect::Json => json::inspect(ui, &template),
        Dialect::Hcl => {
            let wishes = Wishes { ask_data_sources: true, ..Wishes::default() };
            let values = front::inputs(session, arguments, wishes, &template, &mut sources)
                .map(|inputs| eval::evaluate_partly(&template, &inputs, &session.redactor));
            match values {
                Ok((values, found)) => {
                    let (template, values, _found) = eval::unroll(template, values);
                    hcl::inspect(ui, &template, &values, &found);
                }
                Err(errors) => {
                    session.show(ui, &errors, &sources);
                    return Exit::Failure;
                }
            }
        }
    }
    Exit::Success
}
