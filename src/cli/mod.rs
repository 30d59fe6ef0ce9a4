//! One file per command: arguments in, exit code out. Beside them: `arguments` and `help`, the words of the
//! command line; `front` and `several`, from them to a plan; `answer`, `exit` and `signals`.

pub mod answer;
pub mod arguments;
pub mod build;
#[cfg(feature = "aws")]
pub mod channel;
pub mod cleanup;
pub mod completion;
pub mod console;
mod exit;
pub mod explain;
pub mod fix;
pub mod fmt;
pub mod front;
pub mod hcl2_upgrade;
pub mod help;
pub mod history;
pub mod iam_policy;
pub mod init;
pub mod inspect;
pub mod plugins;
pub mod reap;
pub mod report;
pub mod several;
pub mod signals;
pub mod test;
pub mod validate;
pub mod verify_attestation;
mod version;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::Arc;

use self::arguments::{Command, Invocation, Refusal};
pub use self::exit::Exit;
use crate::diagnostic::Diagnostics;
use crate::env::Environment;
use crate::event::{Message, Ui};
use crate::plugin::Choice;
use crate::registry::{self, Registry};
use crate::report::Reporter;
use crate::report::{Style, diagnostics, listing, log};
use crate::secret::Redactor;
use crate::source::SourceMap;

/// What every command is given beside its own arguments.
#[derive(Clone, Debug)]
pub struct Session {
    /// The environment and the clock.
    pub environment: Arc<Environment>,
    /// How the output looks.
    pub style: Style,
    /// Knows the secrets that no output may show.
    pub redactor: Redactor,
    /// The components that templates can name.
    pub registry: Registry,
}

/// Runs the program with its arguments (without its own name).
pub fn main(args: Vec<OsString>) -> Exit {
    let invocation = match arguments::parse(args) {
        Ok(invocation) => invocation,
        Err(refusal) => return print(&refusal),
    };
    let redactor = Redactor::default();
    let environment = match Environment::of_process() {
        Ok(environment) => Arc::new(registry::with_secrets(environment, &redactor)),
        Err(error) => {
            return refuse(format!("Error: the working directory cannot be found out: {error}\n"));
        }
    };
    let style = style_of(&invocation);
    let session = Session { environment, style, redactor, registry: Registry::built_in() };
    if let Err(error) = log::start(&session.environment, &session.redactor) {
        return refuse(format!(
            "Error: the log file of PACKER_LOG_PATH cannot be written: {error}\n"
        ));
    }
    run(&session, &invocation.command)
}

/// How the output of a command looks; only `build` has wishes of its own.
fn style_of(invocation: &Invocation) -> Style {
    let (color, timestamps) = match &invocation.command {
        Command::Build(arguments) => (arguments.color, arguments.timestamp_ui),
        _ => (None, false),
    };
    Style { machine_readable: invocation.machine_readable, color, timestamps }
}

fn run(session: &Session, command: &Command) -> Exit {
    match command {
        Command::Build(arguments) => {
            build::run(&session.choosing(arguments.ignore_prerelease_plugins), arguments)
        }
        Command::Test(arguments) => test::run(session, arguments),
        Command::Validate(arguments) => {
            let session = &session.choosing(arguments.ignore_prerelease_plugins);
            session.reporting(|ui| validate::run(session, ui, arguments))
        }
        Command::Cleanup(arguments) => session.reporting(|ui| cleanup::run(session, ui, arguments)),
        Command::Reap(arguments) => session.reporting(|ui| reap::run(session, ui, arguments)),
        #[cfg(feature = "aws")]
        Command::Publish(arguments) => {
            session.reporting(|ui| channel::publish(session, ui, arguments))
        }
        #[cfg(feature = "aws")]
        Command::Promote(arguments) => {
            session.reporting(|ui| channel::promote(session, ui, arguments))
        }
        #[cfg(feature = "aws")]
        Command::Rollback(arguments) => {
            session.reporting(|ui| channel::rollback(session, ui, arguments))
        }
        #[cfg(feature = "aws")]
        Command::Channels(arguments) => {
            session.reporting(|ui| channel::list(session, ui, arguments))
        }
        #[cfg(feature = "aws")]
        Command::Retire(arguments) => {
            session.reporting(|ui| channel::retire(session, ui, arguments))
        }
        Command::Fix(arguments) => session.reporting(|ui| fix::run(session, ui, arguments)),
        Command::Hcl2Upgrade(arguments) => {
            session.reporting(|ui| hcl2_upgrade::run(session, ui, arguments))
        }
        Command::IamPolicy(arguments) => {
            session.reporting(|ui| iam_policy::run(session, ui, arguments))
        }
        Command::History(arguments) => session.reporting(|ui| history::run(session, ui, arguments)),
        Command::Report(arguments) => session.reporting(|ui| report::run(session, ui, arguments)),
        Command::Inspect(arguments) => session.reporting(|ui| inspect::run(session, ui, arguments)),
        Command::Explain(arguments) => session.reporting(|ui| explain::run(session, ui, arguments)),
        Command::Fmt(arguments) => session.reporting(|ui| fmt::run(session, ui, arguments)),
        Command::Console(arguments) => console::run(session, arguments),
        Command::Init(arguments) => session.reporting(|ui| init::run(session, ui, arguments)),
        Command::Plugins(arguments) => session.reporting(|ui| plugins::run(session, ui, arguments)),
        Command::Completion(arguments) => session.reporting(|ui| completion::run(ui, arguments)),
        Command::Autocomplete(task) => {
            session.reporting(|ui| completion::install::run(session, ui, *task))
        }
        Command::Complete(arguments) => {
            session.reporting(|ui| completion::candidates::run(session, ui, arguments))
        }
        Command::VerifyAttestation(arguments) => {
            session.reporting(|ui| verify_attestation::run(session, ui, arguments))
        }
        Command::Version => session.reporting(version::run),
    }
}

impl Session {
    /// The same, with all installed plugins or only with `releases`.
    fn choosing(&self, releases: bool) -> Self {
        let choice = if releases { Choice::Releases } else { Choice::All };
        Self { registry: self.registry.choosing(choice), ..self.clone() }
    }

    /// Runs a command whose result is what it says: where that cannot be written, it has failed.
    fn reporting(&self, command: impl FnOnce(&Ui) -> Exit) -> Exit {
        let (exit, is_shown) = self.showing(command);
        if is_shown { exit } else { exit.max(Exit::Failure) }
    }

    /// Does `work`, and shows all that it says before this returns; and whether that was possible.
    fn showing<T>(&self, work: impl FnOnce(&Ui) -> T) -> (T, bool) {
        let reporter = Reporter::start(self.style, &self.environment, self.redactor.clone());
        self.environment.speak_through(reporter.ui().clone());
        let result = work(reporter.ui());
        let shown = reporter.finish();
        if let Err(error) = &shown
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let text = format!("Error: standard output cannot be written: {error}\n");
            // There is no other place to say it.
            let _ = io::stderr().write_all(text.as_bytes());
        }
        (result, shown.is_ok())
    }

    /// Shows what a pass over a template has found; its value, if it made one.
    pub fn shown<T>(
        &self,
        ui: &Ui,
        result: Result<(T, Diagnostics), Diagnostics>,
        sources: &SourceMap,
    ) -> Option<T> {
        let mut found = Diagnostics::default();
        let value = found.absorb(result);
        self.show(ui, &found, sources);
        value
    }

    /// Shows what was found wrong with a template, if anything.
    pub fn show(&self, ui: &Ui, found: &Diagnostics, sources: &SourceMap) {
        let style = self.style.of_diagnostics(&self.environment);
        let drawn = diagnostics::draw(found, sources, style, &self.redactor);
        if !drawn.is_empty() {
            ui.send(Message::Diagnostics(drawn));
            let found = diagnostics::annotations(found, sources, &self.redactor);
            ui.send(Message::Findings(found));
        }
        if let Some(fault) = found.fault() {
            ui.send(listing::fault_record(fault));
        }
    }
}

/// Ends a program that cannot do anything: `text` says why.
pub fn refuse(text: String) -> Exit {
    print(&Refusal { text, exit: Exit::Failure })
}

/// Prints help, on the stream that says whether it was asked for.
fn print(refusal: &Refusal) -> Exit {
    let text = refusal.text.as_bytes();
    let printed = match refusal.exit {
        Exit::Success => io::stdout().write_all(text).and_then(|()| io::stdout().flush()),
        _ => io::stderr().write_all(text),
    };
    if printed.is_ok() { refusal.exit } else { refusal.exit.max(Exit::Failure) }
}
