//! `command: validate`: all that is wrong with the templates, in the log and beside their lines.

use std::path::Path;

use super::Action;
use crate::cli::Exit;
use crate::cli::validate::{self, Check, FormatFlag};
use crate::event::Ui;
use crate::source::SourceMap;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let mut sources = SourceMap::default();
    let (templates, mut found) = action.templates();
    let arguments = validate::Arguments {
        ignore_prerelease_plugins: false,
        syntax_only: false,
        evaluate_datasources: false,
        no_warn_undeclared_var: false,
        format: FormatFlag::Human,
        lint: action.inputs.lint.clone(),
        template: action.template(Path::new("")),
    };
    let check = Check { session: &action.session, ui, arguments: &arguments };
    found.extend(check.all(&templates, &mut sources).0);
    let found = found.without_repetitions();
    if !action.findings(ui, &found, &sources) {
        return Exit::Failure;
    }
    for template in &templates {
        ui.say(format!("{}: The configuration is valid.", template.template.display()));
    }
    Exit::Success
}
