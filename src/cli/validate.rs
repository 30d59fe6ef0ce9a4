//! `imgbake validate`: says everything that is wrong with a template, and starts nothing.

use clap::{Args, ValueEnum};

use super::front::{self, Planned, TemplateArguments, Wishes};
use super::{Exit, Session};
use crate::diagnostic::Diagnostics;
use crate::event::Ui;
use crate::lint;
use crate::report::diagnostics::{self, Format};
use crate::source::SourceMap;

/// `imgbake validate [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Only the text: no variables, no components.
    #[arg(long)]
    pub syntax_only: bool,
    /// Asks the data sources too; otherwise they are only checked, and what they answer is unknown.
    #[arg(long)]
    pub evaluate_datasources: bool,
    /// Does not warn of variables that a var file sets and nothing declares.
    #[arg(long)]
    pub no_warn_undeclared_var: bool,
    /// How findings are written: for people, or on standard output for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: FormatFlag,
    /// Which lints count: `off`, `deny` (they are errors), `-L103`, `L103`, `deny:L103`. A list with
    /// commas; may be repeated, and later ones win.
    #[arg(long, value_delimiter = ',', value_name = "LINT,...", allow_hyphen_values = true)]
    pub lint: Vec<lint::Wish>,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// The words of `-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatFlag {
    /// Drawn, with the source lines.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code scanning services.
    Sarif,
    /// GitHub's workflow commands: annotations.
    Github,
}

impl FormatFlag {
    fn of_programs(self) -> Option<Format> {
        match self {
            Self::Human => None,
            Self::Json => Some(Format::Json),
            Self::Sarif => Some(Format::Sarif),
            Self::Github => Some(Format::Github),
        }
    }
}

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let mut sources = SourceMap::default();
    let mut found = Diagnostics::default();
    let templates = arguments.template.each().unwrap_or_else(|errors| {
        found.extend(errors);
        Vec::new()
    });
    let mut valid = Vec::new();
    for template in &templates {
        sources.renew_budget();
        match check(session, arguments, template, &mut sources) {
            Ok(warnings) => {
                found.extend(warnings);
                valid.push(template);
            }
            Err(errors) => found.extend(errors),
        }
    }
    let exit = if found.has_errors() { Exit::Failure } else { Exit::Success };
    if let Some(format) = arguments.format.of_programs() {
        return write(session, ui, &found, &sources, format).unwrap_or(exit);
    }
    session.show(ui, &found, &sources);
    let verdict = match arguments.syntax_only {
        true => "Syntax-only check passed. Everything looks okay.",
        false => "The configuration is valid.",
    };
    for template in valid {
        match templates.len() {
            1 => ui.say(verdict),
            _ => ui.say(format!("{}: {verdict}", template.template.display())),
        }
    }
    exit
}

/// All that is found in one template; as an error, if one is among it.
pub(crate) fn check(
    session: &Session,
    arguments: &Arguments,
    template: &TemplateArguments,
    sources: &mut SourceMap,
) -> Result<Diagnostics, Diagnostics> {
    if arguments.syntax_only {
        return front::look(session, template, sources).map(|(_template, found)| found);
    }
    let wishes = Wishes {
        warn_undeclared: !arguments.no_warn_undeclared_var,
        ask_data_sources: arguments.evaluate_datasources,
        ..Wishes::default()
    };
    let (planned, found) = front::plan(session, template, wishes, sources)?;
    linted(session, arguments, &planned, found, sources)
}

/// Adds what the lints find. Records for programs that know the usual tool have no lints unless
/// they are asked for.
fn linted(
    session: &Session,
    arguments: &Arguments,
    planned: &Planned,
    mut found: Diagnostics,
    sources: &SourceMap,
) -> Result<Diagnostics, Diagnostics> {
    if !session.style.machine_readable || !arguments.lint.is_empty() {
        let Planned { template, plan } = planned;
        let subject = lint::Subject { template, plan, sources, redactor: &session.redactor };
        found.extend(lint::check(&subject, &lint::Levels::new(&arguments.lint)));
    }
    found.into_result(()).map(|((), found)| found)
}

/// Writes the findings for programs; an exit code if that cannot be done.
fn write(
    session: &Session,
    ui: &Ui,
    found: &Diagnostics,
    sources: &SourceMap,
    format: Format,
) -> Option<Exit> {
    let root = &session.environment.cwd;
    match diagnostics::render(found, sources, format, root, &session.redactor) {
        Ok(text) if text.is_empty() => None,
        Ok(text) => {
            ui.say(text);
            None
        }
        Err(error) => {
            ui.error(format!("the findings cannot be written: {error}"));
            Some(Exit::Failure)
        }
    }
}
