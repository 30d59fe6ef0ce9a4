//! `command: validate`: all that is wrong with the templates, in the log and beside their lines.

use super::Action;
use crate::cli::Exit;
use crate::cli::validate::{self, FormatFlag};
use crate::diagnostic::Diagnostics;
use crate::event::Ui;
use crate::source::SourceMap;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let mut sources = SourceMap::default();
    let mut found = Diagnostics::default();
    let templates = action.templates().unwrap_or_else(|errors| {
        found.extend(errors);
        Vec::new()
    });
    for template in &templates {
        let arguments = validate::Arguments {
            syntax_only: false,
            evaluate_datasources: false,
            no_warn_undeclared_var: false,
            format: FormatFlag::Human,
            lint: Vec::new(),
            template: template.clone(),
        };
        let (Ok(more) | Err(more)) =
            validate::check(&action.session, &arguments, template, &mut sources);
        found.extend(more);
    }
    let found = found.without_repetitions();
    if !action.findings(ui, &found, &sources) {
        return Exit::Failure;
    }
    for template in &templates {
        ui.say(format!("{}: The configuration is valid.", template.template.display()));
    }
    Exit::Success
}
