//! `imgbake build`: a template's builds, all at a time.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::cleanup::journal_dir;
use super::front::{self, Planned, TemplateArguments, Wishes};
use super::{Exit, Session};
use crate::component::OnError;
use crate::event::Ui;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::report::{Reporter, listing};
use crate::run::{self, Outcome, RunRequest};
use crate::secret::Redactor;
use crate::source::SourceMap;

/// `imgbake build [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Colours; without this flag only on a terminal.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub color: Option<bool>,
    /// One build at a time, waiting for Enter after each step and before each cleanup.
    #[arg(long)]
    pub debug: bool,
    /// Removes what stands in the way of the new artifact.
    #[arg(long)]
    pub force: bool,
    /// What happens to a build's machine when a step fails.
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnErrorFlag,
    /// How many builds run at a time; below 1: all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub parallel_builds: i64,
    /// Where the journal of the run is kept; otherwise in IMGBAKE_STATE_DIR, or XDG's directory for
    /// state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The time in front of every line.
    #[arg(long)]
    pub timestamp_ui: bool,
    /// Warns of variables that a var file sets and nothing declares.
    #[arg(long)]
    pub warn_on_undeclared_var: bool,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// The words of `-on-error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnErrorFlag {
    /// Undo every step.
    #[default]
    Cleanup,
    /// Leave everything as it is.
    Abort,
    /// Ask at the terminal.
    Ask,
    /// Leave everything, but run the error-cleanup provisioner.
    RunCleanupProvisioner,
}

impl From<OnErrorFlag> for OnError {
    fn from(flag: OnErrorFlag) -> Self {
        match flag {
            OnErrorFlag::Cleanup => Self::Cleanup,
            OnErrorFlag::Abort => Self::Abort,
            OnErrorFlag::Ask => Self::Ask,
            OnErrorFlag::RunCleanupProvisioner => Self::RunCleanupProvisioner,
        }
    }
}

/// Loads, plans, runs and reports.
pub fn run(session: &Session, arguments: &Arguments) -> Exit {
    let reporter = Reporter::start(session.style, &session.environment, session.redactor.clone());
    let exit = match plan(session, arguments, reporter.ui()) {
        Some((plan, sources)) => run_on_runtime(plan, sources, session, arguments, reporter.ui()),
        None => Exit::Failure,
    };
    match exit {
        // Whoever interrupts twice does not wait for a reader who may never come.
        Exit::Interrupted => reporter.finish_within(LAST_WORDS),
        _ => reporter.finish(),
    }
    exit
}

/// How long the last words may take to be read after a second interruption.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The front half; `None` after saying what is wrong.
fn plan(session: &Session, arguments: &Arguments, ui: &Ui) -> Option<(Plan, SourceMap)> {
    let wishes = Wishes {
        warn_undeclared: arguments.warn_on_undeclared_var,
        force: arguments.force,
        debug: arguments.debug,
        ask_data_sources: true,
        builds: true,
    };
    let mut sources = SourceMap::default();
    let planned = arguments
        .template
        .one()
        .and_then(|template| front::plan(session, &template, wishes, &mut sources));
    match planned {
        Ok((Planned { plan, .. }, warnings)) => {
            session.show(ui, &warnings, &sources);
            if plan.builds.is_empty() {
                ui.error("No builds to run: -only and -except leave none of the template's builds");
                return None;
            }
            Some((plan, sources))
        }
        Err(errors) => {
            session.show(ui, &errors, &sources);
            None
        }
    }
}

fn run_on_runtime(
    plan: Plan,
    sources: SourceMap,
    session: &Session,
    arguments: &Arguments,
    ui: &Ui,
) -> Exit {
    let request = RunRequest {
        parallel_builds: usize::try_from(arguments.parallel_builds).ok().filter(|limit| *limit > 0),
        debug: arguments.debug,
        on_error: arguments.on_error.into(),
        environment: session.environment.clone(),
        sources: Arc::new(sources),
        journal: journal(session, arguments, ui),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(format!("cannot start the threads that run builds: {error}"));
            return Exit::Failure;
        }
    };
    let exit = runtime.block_on(supervise(plan, &request, ui, session.redactor.clone()));
    let left = match exit {
        // Builds still run, and may have more to write.
        Exit::Interrupted => request.journal.run(),
        _ => request.journal.close(),
    };
    if let Some(run) = left {
        ui.error(format!("`imgbake cleanup -run {run}` removes what is left"));
    }
    // After a second interruption builds still run; nobody waits for them.
    runtime.shutdown_background();
    exit
}

/// The journal of the run.
fn journal(session: &Session, arguments: &Arguments, ui: &Ui) -> Journal {
    let Some(dir) = journal_dir(session, arguments.state_dir.as_deref()) else {
        ui.error("There is no place for a journal, and without one nobody can clean up after a run that is killed: set HOME, or give -state-dir");
        return Journal::default();
    };
    let environment = &session.environment;
    // Sorts by age; and a run may be given the id of another one.
    let started = environment.started.strftime("%Y%m%dT%H%M%SZ");
    let random = uuid::Uuid::new_v4().simple().to_string();
    Journal::in_dir(&dir, &format!("{started}-{}", &random[..8]))
}

/// Runs the plan. The first signal cancels it; the second says what is left, and gives up.
async fn supervise(plan: Plan, request: &RunRequest, ui: &Ui, redactor: Redactor) -> Exit {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            ui.error(format!("cannot listen for signals: {error}"));
            return Exit::Failure;
        }
    };
    let cancel = CancellationToken::new();
    let mut run = pin!(run::execute(plan, request, ui.clone(), redactor, cancel.clone()));
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            name = signals.next() => {
                if cancel.is_cancelled() {
                    ui.error(format!("Giving up after receiving {name} again"));
                    listing::list(ui, "These may still exist:", &request.journal.present());
                    return Exit::Interrupted;
                }
                // First the deed: what is said after this was cancelled.
                cancel.cancel();
                ui.error(format!("Cancelling build after receiving {name}"));
            }
        }
    };
    listing::show(&outcome, ui);
    exit_of(&outcome)
}

/// How the program ends after a run.
fn exit_of(outcome: &Outcome) -> Exit {
    if !outcome.left_behind.is_empty() {
        Exit::LeftBehind
    } else if outcome.interrupted || outcome.builds.iter().any(|build| build.error.is_some()) {
        Exit::Failure
    } else {
        Exit::Success
    }
}

/// The signals that interrupt a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// The name of the next one, as messages have it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupt",
            _ = self.terminate.recv() => "terminated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::BuildOutcome;

    #[test]
    fn what_could_not_be_removed_has_the_last_word() {
        let outcome = |failed: bool, left: &[&str], interrupted| Outcome {
            builds: vec![BuildOutcome {
                name: "x".to_owned(),
                took: Duration::ZERO,
                artifacts: Vec::new(),
                error: failed.then(|| anyhow::Error::msg("no")),
            }],
            took: Duration::ZERO,
            interrupted,
            left_behind: left.iter().map(ToString::to_string).collect(),
            untouched: vec!["x: kept on purpose".to_owned()],
        };
        assert_eq!(exit_of(&outcome(false, &[], false)), Exit::Success);
        assert_eq!(exit_of(&outcome(true, &[], false)), Exit::Failure);
        assert_eq!(exit_of(&outcome(false, &[], true)), Exit::Failure);
        assert_eq!(exit_of(&outcome(true, &["x: machine i-1"], true)), Exit::LeftBehind);
    }
}
