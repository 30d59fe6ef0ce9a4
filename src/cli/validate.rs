//! `imgbake validate`: says everything that is wrong with a template, and starts nothing.

use clap::{Args, ValueEnum};

use super::front::{self, PlanOptions, Planned, TemplateArguments};
use super::several::{self, share};
use super::{Exit, Session};
use crate::diagnostic::Diagnostics;
use crate::event::Ui;
use crate::lint;
use crate::plan::Unmatched;
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
    /// Leaves out installed plugins whose version is no release, like `1.2.3-dev`.
    #[arg(long)]
    pub ignore_prerelease_plugins: bool,
    /// Does not warn of variables that a var file sets and nothing declares.
    #[arg(long)]
    pub no_warn_undeclared_var: bool,
    /// How findings are written: for people, or on standard output for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: FormatFlag,
    /// Which lints count: `off`, `deny` (they are errors), `pedantic` (those that are silent
    /// otherwise, too), `-L103`, `L103`, `deny:L103`. A list with commas; may be repeated, and later
    /// ones win.
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
    // One template says in Packer's words what it does not have.
    let templates = match templates.len() {
        0 | 1 => templates,
        _ => {
            let (templates, lost) = share(templates, session.environment.asker);
            found.extend(lost);
            templates
        }
    };
    let checked = Check { session, ui, arguments };
    let (more, valid) = checked.all(&templates, &mut sources);
    found.extend(more);
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

/// How templates are checked.
pub(crate) struct Check<'a> {
    pub session: &'a Session,
    pub ui: &'a Ui,
    pub arguments: &'a Arguments,
}

impl Check<'_> {
    /// All that is found in `templates`, and those that are valid.
    pub fn all<'t>(
        &self,
        templates: &'t [TemplateArguments],
        sources: &mut SourceMap,
    ) -> (Diagnostics, Vec<&'t TemplateArguments>) {
        let (mut found, mut valid, mut unmatched) = <(Diagnostics, Vec<_>, Vec<_>)>::default();
        for template in templates {
            sources.renew_budget();
            match self.one(template, sources) {
                Ok((of_it, warnings)) => {
                    unmatched.push(of_it);
                    found.extend(warnings);
                    valid.push(template);
                }
                Err(errors) => found.extend(errors),
            }
        }
        // A template that cannot be planned may have what the others lack.
        if valid.len() == templates.len() {
            let asker = self.session.environment.asker;
            found.extend(several::unmatched(&Unmatched::in_all(unmatched), asker));
        }
        (found, valid)
    }

    /// What is found in one template, as an error if one is among it; and what selects none of its
    /// builds.
    fn one(
        &self,
        template: &TemplateArguments,
        sources: &mut SourceMap,
    ) -> Result<(Unmatched, Diagnostics), Diagnostics> {
        let Self { session, ui, arguments, .. } = *self;
        if arguments.syntax_only {
            let (_looked_at, found) = front::look(session, template, sources)?;
            return Ok((Unmatched::default(), found));
        }
        let options = PlanOptions {
            warn_undeclared: !arguments.no_warn_undeclared_var,
            ask_data_sources: arguments.evaluate_datasources,
            ..PlanOptions::default()
        };
        let (planned, found) = front::plan_one_of_several(session, ui, template, options, sources)?;
        let found = linted(session, arguments, &planned, found, sources)?;
        Ok((planned.plan.unmatched, found))
    }
}

/// Adds what the lints find. Records for programs that know Packer have no lints unless
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
