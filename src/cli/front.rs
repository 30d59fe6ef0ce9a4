//! The front half of the commands that read a template: arguments → texts → template → values →
//! plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::several::unmatched;
use super::{Exit, Session};
use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::eval::{self, Inputs};
use crate::event::Ui;
use crate::plan::{self, Plan, PlanRequest, RegisteredDataSources};
use crate::reach::Reach;
use crate::registry::Registry;
use crate::source::SourceMap;
use crate::template::ast::Template;
use crate::template::load::{self, ConfigType, LoadRequest, Reading, VarAssignment};

/// The arguments that all of these commands share.
#[derive(Args, Clone, Debug)]
pub struct TemplateArguments {
    /// Only these builds: exact names (JSON) or globs (HCL2). A list with commas; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub only: Vec<String>,
    /// Without these builds and post-processors; as `-only`.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub except: Vec<String>,
    /// Values for variables.
    #[command(flatten)]
    pub variables: VariableArguments,
    /// The language of a template whose name does not say it.
    #[arg(long, value_enum, default_value_t)]
    pub config_type: Language,
    /// A template file, a directory of `.pkr.hcl` and `.pkr.json` files, a pattern like
    /// `images/*.pkr.hcl`, or `-` for JSON from standard input.
    pub template: PathBuf,
    /// Where the files of the template may lead.
    #[arg(skip)]
    pub reach: Reach,
}

/// What the command line says of a template's variables.
#[derive(Args, Clone, Debug, Default)]
pub struct VariableArguments {
    /// A value for a variable; wins over all files. May be repeated.
    #[arg(long, value_parser = assignment, value_name = "NAME=VALUE")]
    pub var: Vec<(String, String)>,
    /// A file with values for variables; later files win. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
}

/// The words of `-config-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Legacy JSON.
    #[default]
    Json,
    /// HCL2.
    Hcl2,
}

impl From<Language> for ConfigType {
    fn from(language: Language) -> Self {
        match language {
            Language::Json => Self::Json,
            Language::Hcl2 => Self::Hcl2,
        }
    }
}

/// `name=value`, as `-var` takes it.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("no '=' in it: write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl TemplateArguments {
    /// The template that they mean.
    pub fn load_request(&self) -> LoadRequest {
        LoadRequest {
            reach: self.reach.clone(),
            ..LoadRequest::new(self.template.clone(), self.config_type.into())
        }
    }

    /// Says which flags of these change nothing for a command that only reads the template's text.
    /// Packer takes them, too.
    pub fn warn_of_idle_flags(&self, ui: &Ui, command: &str) {
        let flags = [
            ("-only", self.only.is_empty()),
            ("-except", self.except.is_empty()),
            ("-var", self.variables.var.is_empty()),
            ("-var-file", self.variables.var_file.is_empty()),
        ];
        for (flag, _) in flags.into_iter().filter(|(_, is_absent)| !is_absent) {
            ui.error(format!("Warning: `{flag}` changes nothing for `{command}`"));
        }
    }

    /// The same for each of the templates that are meant, of which a pattern may fit several.
    pub fn each(&self) -> Result<Vec<Self>, Diagnostics> {
        let paths = load::matches(&self.template)?;
        Ok(paths.into_iter().map(|template| Self { template, ..self.clone() }).collect())
    }

    /// The same for the one template that is meant.
    pub fn one(&self) -> Result<Self, Diagnostics> {
        let mut each = self.each()?;
        match (each.pop(), each.as_slice()) {
            (Some(one), []) => Ok(one),
            (last, others) => {
                let names = others.iter().chain(&last).map(|one| one.template.display());
                let names: Vec<String> = names.map(|name| name.to_string()).collect();
                let pattern = self.template.display();
                let summary = format!("`{pattern}` fits {} templates", names.len());
                let error = Diagnostic::error(code::UNREADABLE, summary);
                let error = error.note(format!("they are: {}", names.join(", ")));
                Err(error.help("give one template; or a directory, whose files are one").into())
            }
        }
    }
}

/// Runs a command for each of the `templates` that its arguments mean. The worst exit code counts.
pub fn for_each(
    session: &Session,
    ui: &Ui,
    templates: Result<Vec<TemplateArguments>, Diagnostics>,
    command: impl FnMut(&TemplateArguments) -> Exit,
) -> Exit {
    match templates {
        Ok(templates) => templates.iter().map(command).max().unwrap_or(Exit::Success),
        Err(errors) => {
            session.show(ui, &errors, &SourceMap::default());
            Exit::Failure
        }
    }
}

/// What a command wants of the plan beside the shared arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanOptions {
    /// Whether a var file that sets an undeclared variable is worth a warning.
    pub warn_undeclared: bool,
    /// `-force`.
    pub force: bool,
    /// `-debug`.
    pub debug: bool,
    /// Whether data sources are asked: those that the selected builds need. Otherwise they are only
    /// checked, and what they would answer is unknown.
    pub ask_data_sources: bool,
    /// Whether builds will run: then what a template wants and cannot have is refused. Otherwise
    /// it is worth a warning.
    pub builds: bool,
    /// Whether builds have [fingerprints](crate::fingerprint).
    pub fingerprints: bool,
}

/// Reads the template. Its texts go to `sources`, so that whatever is found can be drawn.
pub fn load(
    arguments: &TemplateArguments,
    sources: &mut SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    load::load(&arguments.load_request(), sources)
}

/// The same for whoever only looks at a template: that its parts do not fit together, or not to this
/// program, is worth a warning. Types and defaults of variables, and the values that they are given,
/// count. What evaluates those inputs asks nobody: neither a data source nor a store of secrets.
pub fn look(
    session: &Session,
    arguments: &TemplateArguments,
    sources: &mut SourceMap,
) -> Result<((Template, Inputs), Diagnostics), Diagnostics> {
    let request = LoadRequest { reading: Reading::Loose, ..arguments.load_request() };
    let (template, mut found) = load::load(&request, sources)?;
    let registry = session.registry.for_template(&template, &session.environment);
    let lacks = plan::requirements(&template, registry.plugins());
    found.extend(lacks.into_iter().map(Diagnostic::into_warning));
    let inputs = inputs(session, arguments, PlanOptions::default(), &template, registry, sources)?;
    let environment = (*inputs.environment).clone().without_secrets();
    let inputs = Inputs { environment: Arc::new(environment), ..inputs };
    found.extend(eval::check_variables(&template, &inputs, &session.redactor));
    found.into_result((template, inputs))
}

/// What the command line, files and the environment say about the variables of `template`, whose
/// components are in `registry`. No data source is asked.
pub fn inputs(
    session: &Session,
    arguments: &TemplateArguments,
    options: PlanOptions,
    template: &Template,
    registry: Registry,
    sources: &mut SourceMap,
) -> Result<Inputs, Diagnostics> {
    Ok(Inputs {
        vars: arguments.variables.var.clone(),
        var_files: var_files(arguments, template, sources)?,
        environment: session.environment.clone(),
        data_sources: Some(Arc::new(data_sources(session, registry))),
        warn_undeclared: options.warn_undeclared,
        budget: sources.budget().clone(),
    })
}

fn data_sources(session: &Session, registry: Registry) -> RegisteredDataSources {
    RegisteredDataSources::new(session.environment.clone(), session.redactor.clone(), registry)
}

/// `inputs`, with the data sources to ask that the builds need which `request` selects. Which these
/// are is known after a first look at the values, from a budget of its own. What that finds is found
/// again.
fn asking(
    session: &Session,
    ui: &Ui,
    template: &Template,
    inputs: Inputs,
    request: &PlanRequest,
) -> Inputs {
    let unasked = Inputs { budget: Budget::default(), ..inputs.clone() };
    let (values, _) = eval::evaluate_partly(template, &unasked, &session.redactor);
    let needed = plan::data_needed(template, &values, request);
    let data_sources = data_sources(session, request.registry.clone()).asking(needed, ui);
    Inputs { data_sources: Some(Arc::new(data_sources)), ..inputs }
}

/// The variable files that count, in order of precedence; the errors of all of them come together.
fn var_files(
    arguments: &TemplateArguments,
    template: &Template,
    sources: &mut SourceMap,
) -> Result<Vec<Vec<VarAssignment>>, Diagnostics> {
    let automatic = load::auto_var_files(&arguments.load_request())?;
    let mut found = Diagnostics::default();
    let mut files = Vec::new();
    for path in automatic.iter().chain(&arguments.variables.var_file) {
        match load::var_file(path, template.dialect, sources) {
            Ok(file) => files.push(file),
            Err(errors) => found.extend(errors),
        }
    }
    found.into_result(files).map(|(files, _)| files)
}

/// A template and the plan that it comes to.
#[derive(Debug)]
pub struct Planned {
    /// As it was written, its `dynamic` blocks unrolled.
    pub template: Template,
    /// All that would run.
    pub plan: Plan,
}

/// The whole front half; `ui` says what is waited for. All that is found on the way comes back,
/// beside the plan or instead of it; the texts that it is about are in `sources`.
pub fn plan(
    session: &Session,
    ui: &Ui,
    arguments: &TemplateArguments,
    options: PlanOptions,
    sources: &mut SourceMap,
) -> Result<(Planned, Diagnostics), Diagnostics> {
    let (planned, mut found) = plan_one_of_several(session, ui, arguments, options, sources)?;
    found.extend(unmatched(&planned.plan.unmatched, session.environment.asker));
    Ok((planned, found))
}

/// The same, but that a part of the arguments selects nothing is not said: it may in another template.
pub fn plan_one_of_several(
    session: &Session,
    ui: &Ui,
    arguments: &TemplateArguments,
    options: PlanOptions,
    sources: &mut SourceMap,
) -> Result<(Planned, Diagnostics), Diagnostics> {
    let planned = plan_alone(session, ui, arguments, options, sources);
    planned.map_err(|errors| with_neighbours(errors, &arguments.template))
}

/// Where a file uses what it does not define, it may be one of several that belong together.
fn with_neighbours(mut errors: Diagnostics, template: &Path) -> Diagnostics {
    let unknown = errors.0.iter_mut().find(|error| error.code == code::UNKNOWN_NAME);
    if let (Some(unknown), Some(dir)) = (unknown, load::shared_directory(template)) {
        let (file, dir) = (template.display(), dir.display());
        unknown.notes.push(format!(
            "`{file}` alone is the template; where it belongs together with the other files of its \
             directory, give the directory: `{dir}`"
        ));
    }
    errors
}

fn plan_alone(
    session: &Session,
    ui: &Ui,
    arguments: &TemplateArguments,
    options: PlanOptions,
    sources: &mut SourceMap,
) -> Result<(Planned, Diagnostics), Diagnostics> {
    let (template, mut found) = load(arguments, sources)?;
    found.extend(plan::versions(&template));
    found.extend(
        plan::refuse_publishing(&template, &session.environment)
            .map(|lost| if options.builds { lost } else { lost.into_warning() }),
    );
    let registry = session.registry.for_template(&template, &session.environment);
    let inputs = inputs(session, arguments, options, &template, registry.clone(), sources);
    let inputs = inputs.map(|inputs| (inputs, Diagnostics::default()));
    let Some(mut inputs) = found.absorb(inputs) else { return Err(found) };
    let unasked = Arc::new(data_sources(session, registry.clone()));
    inputs.data_sources = Some(unasked.clone());
    let request = PlanRequest {
        only: arguments.only.clone(),
        except: arguments.except.clone(),
        force: options.force,
        debug: options.debug,
        environment: session.environment.clone(),
        registry,
    };
    if options.ask_data_sources && !template.data.is_empty() {
        inputs = asking(session, ui, &template, inputs, &request);
    }
    let values = eval::evaluate(&template, &inputs, &session.redactor);
    let values = found.absorb(values);
    // Those of data sources.
    let lints = found.take_lints();
    let Some(values) = values else { return Err(found) };
    let written = options.fingerprints.then(|| template.clone());
    let (template, values, errors) = eval::unroll(template, values);
    found.extend(errors);
    let plan = plan::make(&template, values, &request, &session.redactor);
    let Some(mut plan) = found.absorb(plan) else { return Err(found) };
    plan.lints.extend(lints);
    plan.to_look_up = unasked.permissions();
    if let Some(written) = written {
        let timeless = timeless(session, written, inputs, request);
        plan.set_fingerprints(timeless.as_ref(), sources, &session.redactor);
    }
    found.into_result(Planned { template, plan })
}

/// The plan of a template if the clock says nothing; `None` if it cannot do without.
fn timeless(
    session: &Session,
    template: Template,
    inputs: Inputs,
    request: PlanRequest,
) -> Option<Plan> {
    let environment = Arc::new(session.environment.timeless());
    let inputs = Inputs { environment: environment.clone(), budget: Budget::default(), ..inputs };
    let (values, _) = eval::evaluate(&template, &inputs, &session.redactor).ok()?;
    let (template, values, _) = eval::unroll(template, values);
    let request = PlanRequest { environment, ..request };
    plan::make(&template, values, &request, &session.redactor).ok().map(|(plan, _)| plan)
}
