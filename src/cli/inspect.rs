//! `imgbake inspect`: what a template consists of. The text is what scripts that read Packer's output expect.

mod hcl;
mod json;

use clap::Args;

use super::front::{self, TemplateArguments};
use super::{Exit, Session};
use crate::diagnostic::Diagnostics;
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
    front::for_each(session, ui, templates, |template| {
        let mut sources = SourceMap::default();
        match inspect(session, ui, template, &mut sources) {
            Ok(()) => Exit::Success,
            Err(errors) => {
                session.show(ui, &errors, &sources);
                Exit::Failure
            }
        }
    })
}

/// Shows what one template consists of. What is wrong with a value is for `validate` to say; here it
/// is unknown.
pub(crate) fn inspect(
    session: &Session,
    ui: &Ui,
    arguments: &TemplateArguments,
    sources: &mut SourceMap,
) -> Result<(), Diagnostics> {
    let ((template, inputs), _warnings) = front::look(session, arguments, sources)?;
    // What is sensitive is masked from here on.
    let (values, _found) = eval::evaluate_partly(&template, &inputs, &session.redactor);
    match template.dialect {
        Dialect::Json => json::inspect(ui, &template),
        Dialect::Hcl => {
            let (template, values, _found) = eval::unroll(template, values);
            hcl::inspect(ui, &template, &values);
        }
    }
    Ok(())
}
