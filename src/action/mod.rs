//! The GitHub Action: what `with:` says in a workflow becomes one of the commands, and what comes of
//! it outputs, a summary and a comment.
//!
//! | file | what is there |
//! |---|---|
//! | `inputs` | `INPUT_*` → values |
//! | `build`, `validate`, `fmt`, `plan`, `merge` | the commands that are more than a call |
//! | `outputs`, `manifest` | what later steps read |
//! | `comment`, `release` | what a pull request and a release are told |
//! | `post` | what is left when the job ends, is removed |

mod build;
mod comment;
mod fmt;
pub mod inputs;
mod keys;
mod manifest;
mod merge;
mod outputs;
mod plan;
mod post;
mod release;
mod validate;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use self::inputs::{Command, Inputs};
use self::outputs::Outputs;
use crate::cli::front::{Language, TemplateArguments};
use crate::cli::{Exit, Session, cleanup, front, inspect};
use crate::diagnostic::{Diagnostics, Severity};
use crate::env::Environment;
use crate::event::{Annotation, Message, Ui};
use crate::github::files::LONGEST_SUMMARY;
use crate::github::{self, Context, Files};
use crate::identity::{Proof, Role};
use crate::plan::AwsSecrets;
use crate::report::github::Settings;
use crate::report::github::story::Story;
use crate::report::github::summary::{About, summary};
use crate::report::{Reporter, Style, log};
use crate::secret::Redactor;
use crate::source::SourceMap;

/// As what the program is called. The runner can give its parts no arguments of their own: it calls
/// each by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `imgbake-action`: the step itself.
    Main,
    /// `imgbake-action-post`: when the job ends, however it does.
    Post,
}

impl Entry {
    /// The entry that the program's own `name` stands for.
    pub fn named(name: &OsStr) -> Option<Self> {
        match Path::new(name).file_name()?.to_str()? {
            "imgbake-action" => Some(Self::Main),
            "imgbake-action-post" => Some(Self::Post),
            _ => None,
        }
    }
}

/// What every command of the action works with.
struct Action {
    inputs: Inputs,
    session: Session,
    context: Context,
    files: Files,
    story: Arc<Mutex<Story>>,
    /// Where the journal is kept, so that the end of the job finds it.
    state_dir: Option<PathBuf>,
}

/// Runs the action.
pub fn main(entry: Entry) -> Exit {
    let redactor = Redactor::default();
    let surroundings = match Surroundings::of_process() {
        Ok(surroundings) => surroundings,
        Err(why) => {
            let (settings, story) = (Settings::default(), Arc::default());
            let reporter = Reporter::for_github(settings, story, redactor);
            refuse(reporter.ui(), &[why]);
            let _ = reporter.finish();
            return Exit::Failure;
        }
    };
    let story: Arc<Mutex<Story>> = Arc::default();
    let reporter = Reporter::for_github(surroundings.settings(), story.clone(), redactor.clone());
    let exit = run(entry, surroundings, story, &redactor, reporter.ui());
    match exit {
        Exit::Interrupted => reporter.finish_within(crate::cli::build::LAST_WORDS),
        _ => drop(reporter.finish()),
    }
    exit
}

fn run(
    entry: Entry,
    surroundings: Surroundings,
    story: Arc<Mutex<Story>>,
    redactor: &Redactor,
    ui: &Ui,
) -> Exit {
    let said = surroundings.context.debug.then(|| ui.clone());
    if let Err(error) = log::start_said(said, &surroundings.environment, redactor) {
        refuse(ui, &[format!("the log file of PACKER_LOG_PATH cannot be written: {error}")]);
        return Exit::Failure;
    }
    let files = Files::of(&surroundings.environment);
    let action = match surroundings.action(story.clone(), redactor) {
        Ok(action) => action,
        Err(wrong) => {
            refuse(ui, &wrong);
            ui.settle();
            summarise(&files, &story, &About::default(), redactor, ui);
            return Exit::Failure;
        }
    };
    match entry {
        Entry::Main => action.run(ui),
        Entry::Post => post::run(&action, ui),
    }
}

/// Says why nothing is done.
fn refuse(ui: &Ui, wrong: &[String]) {
    for text in wrong {
        annotate(ui, Severity::Error, "imgbake", text.clone());
    }
}

/// What has happened so far.
fn so_far(story: &Mutex<Story>) -> Story {
    story.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn summarise(files: &Files, story: &Mutex<Story>, about: &About, redactor: &Redactor, ui: &Ui) {
    let text = summary(&so_far(story), about, Timestamp::now(), LONGEST_SUMMARY);
    if let Err(error) = files.summary(&redactor.clean(text)) {
        let why = format!("the summary cannot be written: GITHUB_STEP_SUMMARY: {error}");
        annotate(ui, Severity::Warning, "imgbake", why);
    }
}

/// Says something that also stands beside the run.
fn annotate(ui: &Ui, severity: Severity, title: &str, text: impl Into<String>) {
    let (title, text) = (title.to_owned(), text.into());
    ui.send(Message::Annotation(Annotation { severity, place: None, title, text }));
}

/// What the process finds itself in.
struct Surroundings {
    /// As the runner made it.
    environment: Environment,
    context: Context,
}

impl Surroundings {
    /// Goes to the working directory that the inputs say; all else is relative to it.
    fn of_process() -> Result<Self, String> {
        let wrong = |error| format!("the working directory cannot be found out: {error}");
        let mut environment = Environment::of_process().map_err(wrong)?;
        if let Some(dir) = inputs::working_directory(&environment) {
            std::env::set_current_dir(&dir).map_err(|error| {
                format!("the input `working-directory`: `{}`: {error}", dir.display())
            })?;
            environment = Environment::of_process().map_err(wrong)?;
        }
        let context = Context::of(&environment);
        Ok(Self { environment, context })
    }

    fn settings(&self) -> Settings {
        Settings {
            color: self.environment.get("NO_COLOR").is_none(),
            root: self.context.in_repository(&self.environment.cwd).to_owned(),
        }
    }

    /// What the commands work with; or a sentence for each thing that is wrong.
    fn action(self, story: Arc<Mutex<Story>>, redactor: &Redactor) -> Result<Action, Vec<String>> {
        let Self { environment, context } = self;
        let inputs = Inputs::read(&environment)?;
        let secrets = inputs.secrets.iter().map(|(_, secret)| secret);
        for secret in secrets.chain(&inputs.github_token) {
            redactor.register(secret.expose());
        }
        let role = role(&inputs, &environment, &context, redactor)?;
        let for_work = AwsSecrets::in_environment(for_work(&environment, &inputs, role), redactor);
        let session = Session {
            environment: Arc::new(for_work),
            style: Style { machine_readable: false, color: Some(false), timestamps: false },
            redactor: redactor.clone(),
        };
        let state_dir = state_dir(&environment, &context);
        let files = Files::of(&environment);
        Ok(Action { inputs, session, context, files, story, state_dir })
    }
}

/// The environment of all that is started: without what belongs to the runner and to us.
fn for_work(environment: &Environment, inputs: &Inputs, role: Option<Role>) -> Environment {
    let vars = environment.vars().filter(|(name, _)| !github::is_private(name));
    let mut vars: std::collections::BTreeMap<String, String> =
        vars.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if let Some(region) = &inputs.aws_region {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            vars.insert(name.to_owned(), region.clone());
        }
    }
    Environment::new(vars, environment.cwd.clone(), environment.started).taking_on(role)
}

/// The role that the inputs say, and how it is taken on.
fn role(
    inputs: &Inputs,
    environment: &Environment,
    context: &Context,
    redactor: &Redactor,
) -> Result<Option<Role>, Vec<String>> {
    let Some(role) = &inputs.role else { return Ok(None) };
    let audience = role.audience.clone().unwrap_or_else(|| audience(&role.arn).to_owned());
    let proof = match role.chaining || !needs_credentials(inputs) {
        true => Proof::Credentials,
        false => {
            let runner = github::oidc::Runner::of(environment, context, audience, redactor);
            Proof::Tokens(Arc::new(runner.map_err(|error| vec![format!("{error:#}")])?))
        }
    };
    let session_name = role.session_name.clone().unwrap_or_else(|| session_name(context));
    Ok(Some(Role { arn: role.arn.clone(), session_name, duration: role.duration, proof }))
}

/// Whether the command talks to AWS. Those that do not need no credentials: they work for forks.
fn needs_credentials(inputs: &Inputs) -> bool {
    matches!(inputs.command, Command::Build | Command::Cleanup)
}

/// For whom AWS wants tokens to be.
fn audience(arn: &str) -> &'static str {
    match arn.split(':').nth(1) {
        Some("aws-cn") => "sts.amazonaws.com.cn",
        _ => "sts.amazonaws.com",
    }
}

/// `imgbake-RUN-TRY`: what stands in the account's logs leads to the run.
fn session_name(context: &Context) -> String {
    let parts = [context.run_id.as_str(), context.run_attempt.as_str()];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    std::iter::once("imgbake").chain(parts).collect::<Vec<_>>().join("-")
}

/// Where journals are kept: a place that the end of the job finds, too.
fn state_dir(environment: &Environment, context: &Context) -> Option<PathBuf> {
    let temp = context.temp.as_ref().filter(|dir| dir.is_dir()).map(|dir| dir.join("imgbake"));
    match environment.get("IMGBAKE_STATE_DIR") {
        Some(given) => Some(environment.cwd.join(given)),
        None => temp.or_else(|| environment.state_dir()),
    }
}

impl Action {
    fn run(&self, ui: &Ui) -> Exit {
        let started = Timestamp::now();
        keys::warn(self, ui);
        let mut outputs = Outputs::default();
        let exit = match self.inputs.command {
            Command::Build => build::run(self, ui, &mut outputs),
            Command::Validate => validate::run(self, ui),
            Command::Plan => plan::run(self, ui, &mut outputs),
            Command::Fmt => fmt::run(self, ui),
            Command::Merge => merge::run(self, ui, &mut outputs),
            Command::Inspect => self.inspect(ui),
            Command::Cleanup => self.cleanup(ui),
        };
        outputs.duration = Timestamp::now().duration_since(started).unsigned_abs();
        outputs.write(self, exit, ui);
        ui.settle();
        let about = self.about(exit, &outputs);
        summarise(&self.files, &self.story, &about, &self.session.redactor, ui);
        comment::write(self, ui, exit, &about);
        release::write(self, ui, exit, &outputs);
        exit
    }

    /// Waits for what GitHub answers.
    fn ask_github<T>(&self, asked: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(asked)
    }

    /// What summary and comment say beside what happened.
    fn about(&self, exit: Exit, outputs: &Outputs) -> About {
        let context = &self.context;
        let root = context.in_repository(&self.session.environment.cwd);
        About {
            command: self.inputs.command.to_string(),
            ok: exit == Exit::Success,
            files: format!("{}/{}/blob/{}/", context.server_url, context.repository, context.sha),
            root: root.to_owned(),
            changes: outputs.manifest.as_ref().and_then(|written| written.changes.clone()),
            brief: false,
        }
    }

    /// The templates that are meant, each with all that the inputs say of it.
    fn templates(&self) -> Result<Vec<TemplateArguments>, Diagnostics> {
        let mut found = Diagnostics::default();
        let mut all = Vec::new();
        for pattern in &self.inputs.templates {
            match self.template(pattern).each() {
                Ok(templates) => all.extend(templates),
                Err(errors) => found.extend(errors),
            }
        }
        found.into_result(all).map(|(all, _)| all)
    }

    fn template(&self, pattern: &Path) -> TemplateArguments {
        let inputs = &self.inputs;
        let secrets = inputs.secrets.iter();
        let secrets = secrets.map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
        TemplateArguments {
            only: inputs.only.clone(),
            except: inputs.except.clone(),
            var: inputs.variables.iter().cloned().chain(secrets).collect(),
            var_file: inputs.variable_files.clone(),
            config_type: Language::default(),
            template: pattern.to_owned(),
        }
    }

    /// Shows findings in the log, and beside the lines that they are about. Whether the command may
    /// go on.
    fn findings(&self, ui: &Ui, found: &Diagnostics, sources: &SourceMap) -> bool {
        self.session.show(ui, found, sources);
        let redactor = &self.session.redactor;
        for annotation in crate::report::diagnostics::annotations(found, sources, redactor) {
            ui.send(Message::Annotation(annotation));
        }
        let only_warned = !found.has_errors();
        only_warned && (found.0.is_empty() || !self.inputs.fail_on_warnings)
    }

    fn inspect(&self, ui: &Ui) -> Exit {
        front::for_each(&self.session, ui, self.templates(), |template| {
            let arguments = inspect::Arguments { template: template.clone() };
            inspect::run(&self.session, ui, &arguments)
        })
    }

    fn cleanup(&self, ui: &Ui) -> Exit {
        let arguments = cleanup::Arguments {
            dry_run: self.inputs.dry_run,
            run: None,
            state_dir: self.state_dir.clone(),
            template: None,
            var: Vec::new(),
            var_file: Vec::new(),
        };
        cleanup::run(&self.session, ui, &arguments)
    }
}
