//! The GitHub Action: what `with:` says in a workflow becomes one of the commands, and what comes of
//! it outputs, a summary and a comment.
//!
//! | file | what is there |
//! |---|---|
//! | `inputs` | `INPUT_*` → values |
//! | `build`, `test`, `validate`, `fmt`, `plan`, `merge` | the commands that are more than a call |
//! | `channel` | what is published, promoted, rolled back, retired and listed |
//! | `keys` | a warning where a long-lived AWS key is used |
//! | `outputs`, `manifest` | what later steps read |
//! | `comment`, `release` | what a pull request and a release are told |
//! | `page` | the page of the run |
//! | `upload` | page, pictures and packages, as an artifact of the run |
//! | `history` | what was baked before |
//! | `owner` | what was made in the workspace, belongs to its owner |
//! | `post` | what is left when the job ends, is removed |

mod build;
#[cfg(feature = "aws")]
mod channel;
mod comment;
mod fmt;
mod history;
pub mod inputs;
mod keys;
mod manifest;
mod merge;
mod outputs;
mod owner;
mod page;
mod plan;
mod post;
mod release;
mod test;
mod upload;
mod validate;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use self::inputs::{Account, ChannelInputs, Command, Inputs, RoleInputs};
use self::outputs::Outputs;
use crate::cli::front::{Language, TemplateArguments, VariableArguments};
use crate::cli::several::share;
use crate::cli::{Exit, Session, cleanup, inspect, reap};
use crate::diagnostic::{Diagnostics, Frontend, Severity};
use crate::env::{Environment, sealed};
use crate::event::{Annotation, Message, Ui};
use crate::fault::{Fault, Kind};
use crate::github::files::LONGEST_SUMMARY;
use crate::github::{self, Context, Files};
use crate::identity::{Proof, Role};
use crate::reach::Reach;
use crate::registry::{self, Registry};
use crate::report::github::Settings;
use crate::report::github::record::RunRecord;
use crate::report::github::summary::{About, summary};
use crate::report::page::Recorder;
use crate::report::{Reporter, Style, log};
use crate::secret::{Redactor, Weakness};
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
    /// The environment with what belongs to the runner and to us, for calls of the runner's own services.
    runner: Environment,
    context: Context,
    files: Files,
    record: Arc<Mutex<RunRecord>>,
    /// What happens, for a page, if there shall be one.
    page: Option<Recorder>,
    /// Where the journal is kept, so that the end of the job finds it.
    state_dir: Option<PathBuf>,
    /// Our directory in the runner's.
    own_dir: Option<PathBuf>,
}

/// Runs the action.
pub fn main(entry: Entry) -> Exit {
    let (step_context, wrong) = StepContext::of_process(entry);
    let StepContext { record, page, redactor, .. } = &step_context;
    let (record, page, redactor) = (record.clone(), page.clone(), redactor.clone());
    let reporter = Reporter::for_github(step_context.settings(), record, page, redactor);
    let ui = reporter.ui();
    let exit = match entry {
        Entry::Main => step(step_context, wrong, ui),
        Entry::Post => post::run(&step_context, ui),
    };
    match exit {
        Exit::Interrupted => reporter.finish_within(crate::cli::signals::LAST_WORDS),
        _ => drop(reporter.finish()),
    }
    exit
}

/// The step itself; `wrong` says why it cannot begin, if it cannot.
fn step(step_context: StepContext, wrong: Option<String>, ui: &Ui) -> Exit {
    let log = step_context.start_log(ui);
    let wrong: Vec<String> = wrong.into_iter().chain(log.err()).collect();
    if !wrong.is_empty() {
        return step_context.refuse(&wrong, ui);
    }
    step_context.environment.speak_through(ui.clone());
    match step_context.action() {
        Ok(action) => action.run(ui),
        Err(wrong) => step_context.refuse(&wrong, ui),
    }
}

/// Says why nothing is done.
fn refuse(ui: &Ui, wrong: &[String]) {
    for text in wrong {
        // What the workflow gives is to the step what a template is to a build.
        let fault = Some(Fault::lasting(Kind::Template));
        let (severity, place, title) = (Severity::Error, None, "imgbake".to_owned());
        let text = text.clone();
        ui.send(Message::Annotation(Annotation { severity, place, title, text, fault }));
    }
}

/// What has happened so far.
fn so_far(record: &Mutex<RunRecord>) -> RunRecord {
    record.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn summarise(
    files: &Files,
    record: &Mutex<RunRecord>,
    about: &About,
    redactor: &Redactor,
    ui: &Ui,
) {
    let text = summary(&so_far(record), about, Timestamp::now(), LONGEST_SUMMARY);
    if let Err(error) = files.summary(&redactor.clean(text)) {
        let why = format!("the summary cannot be written: GITHUB_STEP_SUMMARY: {error}");
        annotate(ui, Severity::Warning, "imgbake", why);
    }
}

/// Says something that also stands beside the run.
fn annotate(ui: &Ui, severity: Severity, title: &str, text: impl Into<String>) {
    let (title, text) = (title.to_owned(), text.into());
    let (place, fault) = (None, None);
    ui.send(Message::Annotation(Annotation { severity, place, title, text, fault }));
}

/// What the process finds itself in.
struct StepContext {
    /// As the runner made it.
    environment: Environment,
    context: Context,
    files: Files,
    record: Arc<Mutex<RunRecord>>,
    page: Option<Recorder>,
    redactor: Redactor,
}

impl StepContext {
    /// Goes to the working directory that the inputs say; all else of the step is relative to it. If
    /// that cannot be done, also why.
    fn of_process(entry: Entry) -> (Self, Option<String>) {
        let (environment, wrong) = match sealed::environment() {
            Ok(environment) if entry == Entry::Main => placed(environment),
            Ok(environment) => (environment, None),
            Err(error) => {
                let nothing = Environment::new(BTreeMap::new(), "/".into(), Timestamp::now());
                (nothing, Some(format!("the working directory cannot be found out: {error}")))
            }
        };
        let (context, files) = (Context::of(&environment), Files::of(&environment));
        let (record, redactor) = Default::default();
        // Only the step itself writes one.
        let has_page = entry == Entry::Main && inputs::has_report(&environment);
        let page = has_page.then(Recorder::default);
        (Self { environment, context, files, record, page, redactor }, wrong)
    }

    fn settings(&self) -> Settings {
        Settings {
            color: self.environment.get("NO_COLOR").is_none(),
            root: self.context.in_repository(&self.environment.cwd).to_owned(),
        }
    }

    fn start_log(&self, ui: &Ui) -> Result<(), String> {
        let said = self.context.debug.then(|| ui.clone());
        log::start_said(said, &self.environment, &self.redactor)
            .map_err(|error| format!("the log file of PACKER_LOG_PATH cannot be written: {error}"))
    }

    /// Does nothing, and says why, also to later steps.
    fn refuse(&self, wrong: &[String], ui: &Ui) -> Exit {
        refuse(ui, wrong);
        ui.settle();
        let mut outputs = Outputs::default();
        outputs.add_step(&so_far(&self.record), Exit::Failure);
        outputs.write(&self.files, &self.redactor, Exit::Failure, ui);
        ui.settle();
        let command = inputs::command(&self.environment);
        let command = command.map(|command| command.to_string()).unwrap_or_default();
        let about = About { command, ..About::default() };
        summarise(&self.files, &self.record, &about, &self.redactor, ui);
        Exit::Failure
    }

    /// What the commands work with; or a sentence for each thing that is wrong.
    fn action(&self) -> Result<Action, Vec<String>> {
        let inputs = Inputs::read(&self.environment)?;
        let values = inputs.secrets.iter().map(|(_, secret)| secret);
        for secret in values.chain(&inputs.secret_texts).chain(&inputs.github_token) {
            self.redactor.register(secret.expose());
        }
        let session = self.session(&inputs.account, needs_credentials(inputs.command))?;
        let reaching = Environment::clone(&session.environment).reaching(self.reach(&inputs));
        let session = Session { environment: Arc::new(reaching), ..session };
        Ok(Action {
            inputs,
            session,
            runner: self.environment.clone(),
            context: self.context.clone(),
            files: self.files.clone(),
            record: self.record.clone(),
            page: self.page.clone(),
            state_dir: self.state_dir(),
            own_dir: self.own_dir(),
        })
    }

    /// What templates may have read: what the job has checked out, what it keeps for its own length,
    /// and what the workflow allows. Without a workspace, it is where the action works.
    fn reach(&self, inputs: &Inputs) -> Reach {
        let workspace = self.context.workspace(&self.environment).to_owned();
        let own = [Some(workspace), self.context.temp.clone()].into_iter().flatten();
        Reach::within(own.chain(inputs.allow_files.iter().cloned()))
    }

    /// As whom the work is done.
    fn session(&self, account: &Account, with_credentials: bool) -> Result<Session, Vec<String>> {
        let role = account.role.as_ref().map(|role| self.role(role, with_credentials));
        let for_work = self.for_work(account.region.as_deref(), role.transpose()?);
        Ok(Session {
            environment: Arc::new(registry::with_secrets(for_work, &self.redactor)),
            style: Style { machine_readable: false, color: Some(false), timestamps: false },
            redactor: self.redactor.clone(),
            registry: Registry::built_in(),
        })
    }

    /// The environment of all that is started: without what belongs to the runner and to us.
    fn for_work(&self, region: Option<&str>, role: Option<Role>) -> Environment {
        let environment = &self.environment;
        let vars = environment.vars().filter(|(name, _)| !github::is_private(name));
        let mut vars: BTreeMap<String, String> =
            vars.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some(region) = region {
            for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
                vars.insert(name.to_owned(), region.to_owned());
            }
        }
        if let Some(plugins) = self.context.tool_cache.as_ref().filter(|dir| dir.is_dir()) {
            let plugins = plugins.join("imgbake/plugins").display().to_string();
            vars.entry("PACKER_PLUGIN_PATH".to_owned()).or_insert(plugins);
        }
        Environment::new(vars, environment.cwd.clone(), environment.started)
            .with_key(environment.fingerprint_key.clone())
            .taking_on(role)
            .asked_by(Frontend::Workflow)
    }

    /// The role that the inputs say, and how it is taken on.
    fn role(&self, role: &RoleInputs, with_credentials: bool) -> Result<Role, Vec<String>> {
        let Self { environment, context, redactor, .. } = self;
        let audience = role.audience.clone().unwrap_or_else(|| audience(&role.arn).to_owned());
        let proof = match role.chaining || !with_credentials {
            true => Proof::Credentials,
            false => {
                let runner = github::oidc::Runner::of(environment, context, audience, redactor);
                Proof::Tokens(Arc::new(runner.map_err(|error| vec![format!("{error:#}")])?))
            }
        };
        let session_name = role.session_name.clone().unwrap_or_else(|| session_name(context));
        Ok(Role { arn: role.arn.clone(), session_name, duration: role.duration, proof })
    }

    /// The directory of ours that the end of the job finds, too.
    fn own_dir(&self) -> Option<PathBuf> {
        let temp = self.context.temp.as_ref().filter(|dir| dir.is_dir());
        temp.map(|dir| dir.join("imgbake"))
    }

    /// Where journals are kept.
    fn state_dir(&self) -> Option<PathBuf> {
        let environment = &self.environment;
        match environment.get("IMGBAKE_STATE_DIR") {
            Some(given) => Some(environment.cwd.join(given)),
            None => self.own_dir().or_else(|| environment.state_dir()),
        }
    }
}

/// The environment in the working directory that the inputs say; or the one that is there, and why.
fn placed(mut environment: Environment) -> (Environment, Option<String>) {
    let Some(dir) = inputs::working_directory(&environment) else { return (environment, None) };
    let placed = std::env::set_current_dir(&dir).and_then(|()| std::env::current_dir());
    match placed {
        Ok(cwd) => {
            environment.cwd = cwd;
            (environment, None)
        }
        Err(error) => {
            let why = format!("the input `working-directory`: `{}`: {error}", dir.display());
            (environment, Some(why))
        }
    }
}

/// Whether the command talks to AWS. Those that do not need no credentials: they work for forks.
fn needs_credentials(command: Command) -> bool {
    match command {
        Command::Build
        | Command::Cleanup
        | Command::Publish
        | Command::Promote
        | Command::Rollback
        | Command::Retire
        | Command::Channels
        | Command::Test
        | Command::History
        | Command::Reap => true,
        Command::Validate | Command::Fmt | Command::Inspect | Command::Plan | Command::Merge => {
            false
        }
    }
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

impl Action {
    fn run(&self, ui: &Ui) -> Exit {
        let started = Timestamp::now();
        self.begin(started, ui);
        let mut outputs = Outputs::default();
        let exit = match self.inputs.command {
            Command::Build => page::of_builds(self, ui, &mut outputs),
            Command::Validate => validate::run(self, ui),
            Command::Plan => plan::run(self, ui, &mut outputs),
            Command::Fmt => fmt::run(self, ui),
            Command::Merge => merge::run(self, ui, &mut outputs),
            Command::Inspect => self.inspect(ui),
            Command::Cleanup => self.cleanup(ui),
            Command::Test => test::run(self, ui, &mut outputs),
            Command::Reap => self.reap(ui),
            Command::History => history::run(self, ui),
            #[cfg(feature = "aws")]
            Command::Publish
            | Command::Promote
            | Command::Rollback
            | Command::Retire
            | Command::Channels => channel::run(self, ui),
            #[cfg(not(feature = "aws"))]
            command => {
                refuse(ui, &[format!("`{command}` needs AWS, which is not in this program")]);
                Exit::Failure
            }
        };
        upload::run(self, ui, &mut outputs);
        outputs.duration = Timestamp::now().duration_since(started).unsigned_abs();
        self.explain(exit, ui);
        ui.settle();
        outputs.add_step(&so_far(&self.record), exit);
        outputs.write(&self.files, &self.session.redactor, exit, ui);
        owner::give_to_owner(self.workspace(), started);
        // Where this cannot be written, it was said when the step began.
        let _ = post::remember_end(&self.files);
        ui.settle();
        let about = self.about(exit, &outputs);
        summarise(&self.files, &self.record, &about, &self.session.redactor, ui);
        comment::write(self, ui, exit, &about);
        release::write(self, ui, exit, &outputs);
        exit
    }

    /// What is to be said before anything is done.
    fn begin(&self, started: Timestamp, ui: &Ui) {
        self.session.environment.speak_through(ui.clone());
        if let Err(error) = post::remember_start(&self.files, started) {
            let why =
                format!("the end of the job will know nothing of this: GITHUB_STATE: {error}");
            annotate(ui, Severity::Warning, "imgbake", why);
        }
        for remark in &self.inputs.remarks {
            annotate(ui, Severity::Warning, "imgbake", remark.as_str());
        }
        keys::warn(self, ui);
        self.warn_of_weak_secrets(ui);
    }

    /// Says which inputs are secrets in vain.
    fn warn_of_weak_secrets(&self, ui: &Ui) {
        for (name, secret) in &self.inputs.secrets {
            if let Some(why) = Weakness::of(secret.expose()).filter(|one| *one != Weakness::Empty) {
                let text = format!("the input `secrets`: `{name}` is not masked: {why}");
                annotate(ui, Severity::Warning, "not masked", text);
            }
        }
    }

    /// A step that is red says why, where people look first; most have done so in words of their own.
    fn explain(&self, exit: Exit, ui: &Ui) {
        ui.settle();
        if exit != Exit::Success && !so_far(&self.record).has_errors() {
            let what = match exit {
                Exit::Interrupted => "it was interrupted twice, and has not undone what it did",
                Exit::LeftBehind => "something could not be removed: the log says what and why",
                _ => "it failed: the log says why",
            };
            let command = self.inputs.command;
            annotate(ui, Severity::Error, "imgbake", format!("`command: {command}`: {what}"));
        }
    }

    /// The directory of the checkout, to which paths in outputs are relative.
    fn workspace(&self) -> &Path {
        self.context.workspace(&self.session.environment)
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
            artifact: outputs.artifact_url.clone(),
        }
    }

    /// The templates that are meant, each with what the inputs say of it; and what is wrong with that.
    fn templates(&self) -> (Vec<TemplateArguments>, Diagnostics) {
        let (mut all, mut found) = <(Vec<_>, Diagnostics)>::default();
        for pattern in &self.inputs.templates {
            match self.template(pattern).each() {
                Ok(templates) => all.extend(templates),
                Err(errors) => found.extend(errors),
            }
        }
        let (all, lost) = share(all, self.session.environment.asker);
        // Where a template is not found, nobody knows what it has.
        if !found.has_errors() {
            found.extend(lost);
        }
        (all, found)
    }

    fn template(&self, pattern: &Path) -> TemplateArguments {
        let inputs = &self.inputs;
        let secrets = inputs.secrets.iter();
        let secrets = secrets.map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
        TemplateArguments {
            only: inputs.only.clone(),
            except: inputs.except.clone(),
            variables: VariableArguments {
                var: inputs.variables.iter().cloned().chain(secrets).collect(),
                var_file: inputs.variable_files.clone(),
            },
            config_type: Language::default(),
            template: pattern.to_owned(),
            reach: self.session.environment.reach.clone(),
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
        let fails = only_warned && !found.0.is_empty() && self.inputs.fail_on_warnings;
        if fails {
            let count = match found.0.len() {
                1 => "a warning fails".to_owned(),
                count => format!("{count} warnings fail"),
            };
            let why = format!("{count} the step, as `fail-on-warnings` asks");
            annotate(ui, Severity::Error, "imgbake", why);
        }
        only_warned && !fails
    }

    fn inspect(&self, ui: &Ui) -> Exit {
        let mut sources = SourceMap::default();
        let (templates, mut found) = self.templates();
        for template in &templates {
            if let Err(errors) = inspect::inspect(&self.session, ui, template, &mut sources) {
                found.extend(errors);
            }
        }
        match self.findings(ui, &found, &sources) {
            true => Exit::Success,
            false => Exit::Failure,
        }
    }

    fn reap(&self, ui: &Ui) -> Exit {
        let ChannelInputs { older_than, regions, .. } =
            self.inputs.channel.clone().unwrap_or_default();
        // Without it, the inputs are refused.
        let Some(older_than) = older_than else { return Exit::Failure };
        let arguments = reap::Arguments {
            older_than,
            dry_run: self.inputs.dry_run,
            region: regions,
            state_dir: self.state_dir.clone(),
        };
        reap::run(&self.session, ui, &arguments)
    }

    fn cleanup(&self, ui: &Ui) -> Exit {
        let arguments = cleanup::Arguments {
            dry_run: self.inputs.dry_run,
            delete_finished: false,
            delete_kept: self.inputs.delete_kept,
            run: None,
            state_dir: self.state_dir.clone(),
            template: None,
            variables: VariableArguments::default(),
        };
        cleanup::run(&self.session, ui, &arguments)
    }
}
