//! `imgbake console`: expressions in, values out, with the variables and locals of a template.
//!
//! At a terminal, lines are edited and remembered; from a pipe, each line is one expression, and
//! nothing but its value is printed.

mod interactive;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;

use super::front::{self, Language, PlanOptions, TemplateArguments, VariableArguments};
use super::{Exit, Session};
use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::eval::{self, Place, Values};
use crate::event::{Message, Ui};
use crate::interpolate::{self, Dot, Scope};
use crate::reach::Reach;
use crate::source::{SourceMap, Span};
use crate::template::ast::{Dialect, Template};
use crate::template::hcl::{self, Origin};
use crate::template::load;

/// `imgbake console [flags] [TEMPLATE]`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Values for variables.
    #[command(flatten)]
    pub variables: VariableArguments,
    /// The language of a template whose name does not say it, and of expressions without one.
    #[arg(long, value_enum, default_value_t)]
    pub config_type: Language,
    /// A template file, or a directory of `.pkr.hcl` and `.pkr.json` files.
    pub template: Option<PathBuf>,
}

const HELP: &str = "\
Type an expression, and press enter to see its value.

  HCL2           upper(var.region)    \"web-${local.version}\"    [for z in var.zones : z]
  legacy JSON    {{user `region`}}    web-{{timestamp}}

Variables and locals are those of the template that the console was started with.

  variables      shows all of them
  help           shows this
  exit           ends the console, as Ctrl-D does";

pub(super) fn run(session: &Session, arguments: &Arguments) -> Exit {
    let mut console = match Console::open(session, arguments) {
        Ok(console) => console,
        Err(exit) => return exit,
    };
    match io::stdin().is_terminal() {
        true => interactive::run(&mut console),
        false => answer_all(&mut console),
    }
}

/// Answers each line of standard input. A line that has no value does not keep the next from having
/// one.
fn answer_all(console: &mut Console<'_>) -> Exit {
    let mut exit = Exit::Success;
    for line in io::stdin().lock().lines() {
        match line {
            Ok(line) => match console.answer(&line) {
                After::Leave => break,
                After::Unread => return Exit::Failure,
                After::Failure => exit = Exit::Failure,
                After::Success => {}
            },
            Err(error) => {
                return refuse(console.session, &format!("Error: cannot read: {error}"));
            }
        }
    }
    exit
}

/// Says why the console ends.
fn refuse(session: &Session, why: &str) -> Exit {
    session.reporting(|ui| {
        ui.error(why);
        Exit::Failure
    })
}

/// What a line led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Its value was shown, if it asked for one.
    Success,
    /// It has no value; why was shown.
    Failure,
    /// The console shall end.
    Leave,
    /// What it led to could not be shown, nor can anything else.
    Unread,
}

/// A template, and what is known about its values.
struct Console<'a> {
    session: &'a Session,
    template: Template,
    values: Values,
    /// The template's texts, and every line so far.
    sources: SourceMap,
}

impl<'a> Console<'a> {
    /// Reads the template. What is wrong with its values does not matter until they are asked for.
    fn open(session: &'a Session, arguments: &Arguments) -> Result<Self, Exit> {
        let mut sources = SourceMap::default();
        let read = read(session, arguments, &mut sources);
        let (template, values) = read.map_err(|errors| {
            session.reporting(|ui| {
                session.show(ui, &errors, &sources);
                Exit::Failure
            })
        })?;
        Ok(Self { session, template, values, sources })
    }

    /// Does what `line` says, and shows all that comes of it before it returns.
    fn answer(&mut self, line: &str) -> After {
        let text = match line.trim() {
            "" => return After::Success,
            "exit" => return After::Leave,
            "help" => Ok(HELP.to_owned()),
            "variables" => Ok(self.variables()),
            expression => self.value(expression),
        };
        let (after, is_shown) = self.session.showing(|ui| self.show(ui, text));
        if is_shown { after } else { After::Unread }
    }

    fn show(&self, ui: &Ui, text: Result<String, Diagnostics>) -> After {
        match text {
            Ok(text) => {
                ui.send(Message::Text(text + "\n"));
                After::Success
            }
            Err(errors) => {
                self.session.show(ui, &errors, &self.sources);
                After::Failure
            }
        }
    }

    /// The value of `expression` as text.
    fn value(&mut self, expression: &str) -> Result<String, Diagnostics> {
        let file = self.sources.add("<console>", expression);
        match self.template.dialect {
            Dialect::Hcl => {
                let budget = Budget::default();
                let expr = hcl::parse_expression(expression, Origin::File(file, 0), &budget)?;
                self.values.printed(&expr, &Place::default(), &budget)
            }
            Dialect::Json => {
                let rendered = interpolate::Template::parse(expression)
                    .and_then(|text| text.render(&self.scope(), &Dot::new()));
                rendered.map_err(|error| {
                    let span = Span::new(file, error.offset, error.offset + 1);
                    let code = error.code_or(code::INTERPOLATION);
                    let found = Diagnostic::error(code, error.message).at(span);
                    Diagnostic { help: error.help, ..found }.into()
                })
            }
        }
    }

    /// What the functions of a legacy template may know outside of any build.
    fn scope(&self) -> Scope {
        Scope {
            user_variables: self.values.user_variables(),
            template_dir: Some(self.template.dir.clone()),
            ..Scope::new(self.session.environment.clone())
        }
    }

    /// All variables and locals.
    fn variables(&self) -> String {
        match self.template.dialect {
            Dialect::Hcl => super::inspect::values(&self.values.listing()),
            Dialect::Json => {
                let variables = self.values.user_variables();
                let lines = variables
                    .iter()
                    .flat_map(|all| all.iter())
                    .map(|(name, value)| format!("{name} = {value}"));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// The template that the arguments mean, or an empty one, and its values.
fn read(
    session: &Session,
    arguments: &Arguments,
    sources: &mut SourceMap,
) -> Result<(Template, Values), Diagnostics> {
    let shared = TemplateArguments {
        only: Vec::new(),
        except: Vec::new(),
        variables: arguments.variables.clone(),
        config_type: arguments.config_type,
        template: arguments.template.clone().unwrap_or_default(),
        reach: Reach::default(),
    }
    .one()?;
    let template = match &arguments.template {
        Some(_) => front::load(&shared, sources)?.0,
        None => load::empty(shared.load_request().dialect()),
    };
    let registry = session.registry.for_template(&template, &session.environment);
    let inputs =
        front::inputs(session, &shared, PlanOptions::default(), &template, registry, sources)?;
    let (values, _found) = eval::evaluate_partly(&template, &inputs, &session.redactor);
    Ok((template, values))
}
