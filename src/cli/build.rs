//! `imgbake build`: a template's builds, all at the same time.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use tokio::sync::mpsc::UnboundedReceiver;

use super::cleanup::{journal_dir, run_name, runtime};
use super::front::{self, PlanOptions, Planned, TemplateArguments};
use super::signals::{self, LAST_WORDS};
use super::{Exit, Session, refuse};
use crate::component::{KeepFailed, OnError, SkipUnchanged};
use crate::config::GoDuration;
use crate::event::Ui;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::report::page::{Draft, Recorder};
use crate::report::{Reporter, listing};
use crate::run::{self, Outcome, RunRequest};
use crate::secret::Redactor;
use crate::source::SourceMap;
use crate::stop::{Cause, Stop};

/// `imgbake build [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Finishes the AMI that a killed run of the same build was waiting for, instead of baking it again.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = true)]
    pub adopt: bool,
    /// Keeps the machine's state before each provisioner, too, where the builder can: the next run goes back
    /// to the last one before what has failed or changed.
    #[arg(long, requires = "keep_failed")]
    pub checkpoints: bool,
    /// How long an interrupted run may clean up; what is left then, `imgbake cleanup` removes. 0: as
    /// long as it takes. Otherwise IMGBAKE_CLEANUP_TIMEOUT, or 20s.
    #[arg(long, value_parser = GoDuration::parse_length, value_name = "DURATION")]
    pub cleanup_timeout: Option<GoDuration>,
    /// Colours; without this flag only on a terminal.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub color: Option<bool>,
    /// One build at a time, waiting for Enter after each step and before each cleanup.
    #[arg(long)]
    pub debug: bool,
    /// Says what has changed since the image of this build was made, and bakes nothing.
    #[arg(long)]
    pub explain_changes: bool,
    /// Removes what stands in the way of the new artifact.
    #[arg(long)]
    pub force: bool,
    /// Leaves out installed plugins whose version is no release, like `1.2.3-dev`.
    #[arg(long)]
    pub ignore_prerelease_plugins: bool,
    /// Keeps a machine on which a provisioner has failed, stopped, for this long, e.g. 2h or 1d. The next
    /// run with this flag goes on there, if all that was done before is unchanged.
    #[arg(long, value_parser = GoDuration::parse_time_to_live, value_name = "DURATION")]
    pub keep_failed: Option<GoDuration>,
    /// Bakes again what is older, e.g. 36h or 7d: packages age, though the template does not.
    #[arg(long, value_parser = GoDuration::parse_age, value_name = "AGE", requires = "skip_unchanged")]
    pub max_age: Option<GoDuration>,
    /// What happens to a build's machine when a step fails.
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnErrorFlag,
    /// How many builds run at a time; below 1: all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub parallel_builds: i64,
    /// Writes what happened to this file, when the run ends: a page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Lists the packages of each image as CycloneDX and SPDX in this directory, and says which have changed:
    /// since its machine was started, and since the SBOM that is there already.
    #[arg(long, value_name = "DIR")]
    pub sbom: Option<PathBuf>,
    /// Bakes nothing where an image was made from the same: that one is the artifact. Else says what has
    /// changed, and replaces the image of the same build in the output directory of `qemu`.
    #[arg(long)]
    pub skip_unchanged: bool,
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

/// How builds are run, whoever asks for it.
#[derive(Clone, Debug, Default)]
pub struct RunSettings {
    /// How many run at a time; `None` is all of them.
    pub parallel: Option<usize>,
    /// One at a time, waiting for Enter after each step.
    pub debug: bool,
    /// What happens to a build's machine when a step fails.
    pub on_error: OnError,
    /// Whether an image that was made from the same is enough.
    pub skip_unchanged: Option<SkipUnchanged>,
    /// Where it is written what is inside the images.
    pub sbom: Option<PathBuf>,
    /// The image to test; then nothing is built.
    pub tested: Option<String>,
    /// Whether a machine on which a provisioner has failed stays.
    pub keep_failed: Option<KeepFailed>,
    /// Where the journal is kept, if not in the usual place.
    pub state_dir: Option<PathBuf>,
    /// When all that still run are cancelled.
    pub time_limit: Option<Duration>,
    /// How long an interrupted run may clean up; `None` is as long as it takes.
    pub cleanup: Option<Duration>,
}

/// How long an interrupted run may clean up if nobody says.
const CLEANUP: GoDuration = GoDuration::from_secs(20);

/// How long an interrupted run may clean up: as `given`, or as the environment says; `None` is as long as
/// it takes.
pub(super) fn cleanup_limit(
    given: Option<GoDuration>,
    session: &Session,
) -> Result<Option<Duration>, String> {
    const VARIABLE: &str = "IMGBAKE_CLEANUP_TIMEOUT";
    let limit = match (given, session.environment.get(VARIABLE)) {
        (Some(given), _) => given,
        (None, Some(text)) => {
            GoDuration::parse_length(text).map_err(|wrong| format!("Error: {VARIABLE}: {wrong}"))?
        }
        (None, None) => CLEANUP,
    };
    Ok((!limit.is_zero()).then(|| limit.get()))
}

impl Arguments {
    /// What `-skip-unchanged` and `-explain-changes` ask for. With `-force` nothing is skipped, but what
    /// is made is found by the next run.
    fn skip_unchanged(&self) -> Option<SkipUnchanged> {
        let only_explains = self.explain_changes;
        let max_age = self.max_age.map(|age| age.get());
        (only_explains || self.skip_unchanged).then_some(SkipUnchanged { max_age, only_explains })
    }

    fn keep_failed(&self) -> Option<KeepFailed> {
        let time = self.keep_failed?.get();
        Some(KeepFailed { time, checkpoints: self.checkpoints })
    }
}

impl RunSettings {
    /// As the arguments say, or the environment; an error is what is wrong with that.
    fn of(arguments: &Arguments, session: &Session) -> Result<Self, String> {
        Ok(Self {
            parallel: usize::try_from(arguments.parallel_builds).ok().filter(|limit| *limit > 0),
            debug: arguments.debug,
            on_error: arguments.on_error.into(),
            skip_unchanged: arguments.skip_unchanged(),
            sbom: arguments.sbom.clone(),
            tested: None,
            keep_failed: arguments.keep_failed(),
            state_dir: arguments.state_dir.clone(),
            time_limit: None,
            cleanup: cleanup_limit(arguments.cleanup_timeout, session)?,
        })
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Baked {
    /// The exit code.
    pub exit: Exit,
    /// What came of the builds; `None` if nobody waited for them, or they could not be started.
    pub outcome: Option<Outcome>,
    /// The run that `imgbake cleanup` is told, if something is left.
    pub left: Option<String>,
}

impl Baked {
    /// Whether somebody waits for the end of the program.
    fn was_interrupted(&self) -> bool {
        let cause = self.outcome.as_ref().and_then(|outcome| outcome.stopped);
        self.exit == Exit::Interrupted || cause == Some(Cause::Interrupted)
    }
}

/// Loads, plans, runs and reports.
pub fn run(session: &Session, arguments: &Arguments) -> Exit {
    let cwd = &session.environment.cwd;
    let draft = match arguments.report.as_ref().map(|path| Draft::create(cwd, path)).transpose() {
        Ok(draft) => draft,
        Err(error) => return refuse(format!("Error: -report: {error:#}\n")),
    };
    let kept = draft.as_ref().map(|_| Recorder::default());
    let exit = reported(session, kept.clone(), |ui| baked(session, arguments, ui));
    if let Some(Err(error)) = draft.zip(kept).map(|(draft, kept)| draft.write_recorded(&kept, cwd))
    {
        // The images are there, and nobody is to bake them again for that.
        refuse(format!("Warning: -report: {error:#}\n"));
    }
    exit
}

/// Does `work`, which says why there is nothing to run where it returns `None`, and reports what came of
/// it; what happens is kept for a `page` if there shall be one.
pub(super) fn reported(
    session: &Session,
    page: Option<Recorder>,
    work: impl FnOnce(&Ui) -> Option<Baked>,
) -> Exit {
    let (environment, redactor) = (&session.environment, session.redactor.clone());
    let reporter = Reporter::start_keeping(page, session.style, environment, redactor);
    let ui = reporter.ui();
    session.environment.speak_through(ui.clone());
    let Some(baked) = work(ui) else {
        let _ = reporter.finish();
        return Exit::Failure;
    };
    baked.outcome.iter().for_each(|outcome| listing::show(outcome, ui));
    if let Some(run) = &baked.left {
        let keeps = baked.outcome.as_ref().is_some_and(|outcome| !outcome.kept.is_empty());
        let flag = if keeps { " -delete-kept" } else { "" };
        ui.error(format!("`imgbake cleanup -run {run}{flag}` removes what is left"));
    }
    match baked.was_interrupted() {
        // Whoever interrupts does not wait for a reader who may never come.
        true => reporter.finish_within(LAST_WORDS),
        // Images are the result, and not what is said of them.
        false => drop(reporter.finish()),
    }
    baked.exit
}

/// What came of the builds; `None` after saying why there are none.
fn baked(session: &Session, arguments: &Arguments, ui: &Ui) -> Option<Baked> {
    let how = RunSettings::of(arguments, session).map_err(|wrong| ui.error(wrong)).ok()?;
    let (plan, sources) = plan(session, arguments, ui)?;
    Some(bake(plan, sources, session, &how, ui))
}

/// The front half; `None` after saying what is wrong.
fn plan(session: &Session, arguments: &Arguments, ui: &Ui) -> Option<(Plan, SourceMap)> {
    let options = PlanOptions {
        warn_undeclared: arguments.warn_on_undeclared_var,
        force: arguments.force,
        debug: arguments.debug,
        ask_data_sources: true,
        builds: true,
        fingerprints: arguments.adopt
            || arguments.skip_unchanged().is_some()
            || arguments.keep_failed.is_some(),
    };
    let mut sources = SourceMap::default();
    let planned = arguments
        .template
        .one()
        .and_then(|template| front::plan(session, ui, &template, options, &mut sources));
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

/// Runs `plan`, made from `sources`, on threads of its own.
pub fn bake(
    plan: Plan,
    sources: SourceMap,
    session: &Session,
    how: &RunSettings,
    ui: &Ui,
) -> Baked {
    if let Some(Err(error)) = how.sbom.as_deref().map(run::make_sbom_directory) {
        ui.error(format!("Error: {error:#}"));
        return Baked { exit: Exit::Failure, outcome: None, left: None };
    }
    let request = RunRequest {
        parallel_builds: how.parallel,
        debug: how.debug,
        on_error: how.on_error,
        skip_unchanged: how.skip_unchanged,
        sbom: how.sbom.clone(),
        tested: how.tested.clone(),
        keep_failed: how.keep_failed,
        environment: session.environment.clone(),
        sources: Arc::new(sources),
        journal: journal(session, how, ui),
    };
    let failed = |what: &str, error: io::Error| {
        ui.error(format!("{what}: {error}"));
        Baked { exit: Exit::Failure, outcome: None, left: None }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed("cannot start the threads that run builds", error),
    };
    let watched = match signals::heard() {
        Ok(signals) => Watched { signals, how, ui },
        Err(error) => return failed("cannot listen for signals", error),
    };
    let redactor = session.redactor.clone();
    let outcome = runtime.block_on(watched.run(plan, &request, redactor));
    let left = match outcome {
        Some(_) => {
            // What is untouched otherwise is so by accident.
            if how.on_error != OnError::Cleanup {
                request.journal.leave_untouched();
            }
            request.journal.close()
        }
        // Builds still run, and may have more to write.
        None => request.journal.run_to_clean_up(),
    };
    // After a second interruption builds still run; nobody waits for them.
    runtime.shutdown_background();
    Baked { exit: outcome.as_ref().map_or(Exit::Interrupted, exit_of), outcome, left }
}

/// The journal of the run.
fn journal(session: &Session, how: &RunSettings, ui: &Ui) -> Journal {
    let Some(dir) = journal_dir(session, how.state_dir.as_deref()) else {
        ui.error("There is no place for a journal, and without one nobody can clean up after a run that is killed: set HOME, or give -state-dir");
        return Journal::default();
    };
    Journal::in_dir(&dir, &run_name(session))
}

/// A run that can be interrupted, and has an end.
struct Watched<'a> {
    signals: UnboundedReceiver<&'static str>,
    how: &'a RunSettings,
    ui: &'a Ui,
}

impl Watched<'_> {
    /// Runs the plan. The first signal or the end of its time stops it; the second signal says
    /// what is left, and gives up.
    async fn run(
        mut self,
        plan: Plan,
        request: &RunRequest,
        redactor: Redactor,
    ) -> Option<Outcome> {
        let (ui, stop) = (self.ui, Stop::default());
        let mut run = pin!(run::execute(plan, request, ui.clone(), redactor, stop.clone()));
        let mut time_is_up = pin!(after(self.how.time_limit));
        let mut interrupted = false;
        loop {
            // First the deed: what is said after a cancellation was cancelled.
            tokio::select! {
                outcome = &mut run => return Some(outcome),
                limit = &mut time_is_up, if stop.cause().is_none() => {
                    stop.at_time_limit();
                    ui.error(format!("The time limit of {limit} is over: cancelling the builds"));
                }
                Some(name) = self.signals.recv() => {
                    if interrupted {
                        ui.error(format!("Giving up after receiving {name} again"));
                        listing::list(ui, "These may still exist:", &request.journal.entry_texts());
                        listing::list(ui, "These are finished, and stay:", &request.journal.product_texts());
                        return None;
                    }
                    interrupted = true;
                    stop.interrupt(self.how.cleanup);
                    ui.error(format!("Cancelling build after receiving {name}"));
                    if let Some(budget) = self.how.cleanup.map(GoDuration::from) {
                        ui.say(format!("Cleaning up takes {budget} at most"));
                    }
                }
            }
        }
    }
}

/// Waits for the end of a time limit; for ever if there is none.
async fn after(limit: Option<Duration>) -> GoDuration {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
    GoDuration::from(limit.unwrap_or_default())
}

/// How the program ends after a run.
fn exit_of(outcome: &Outcome) -> Exit {
    if !outcome.left_behind.is_empty() {
        Exit::LeftBehind
    } else if outcome.stopped.is_some() || outcome.builds.iter().any(|build| build.error.is_some())
    {
        Exit::Failure
    } else {
        Exit::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::BuildOutcome;

    #[test]
    fn what_could_not_be_removed_has_the_last_word() {
        let outcome = |failed: bool, left: &[&str], interrupted: bool| Outcome {
            builds: vec![BuildOutcome {
                name: "x".to_owned(),
                took: Duration::ZERO,
                artifacts: Vec::new(),
                error: failed.then(|| anyhow::Error::msg("no")),
                fault: None,
            }],
            took: Duration::ZERO,
            stopped: interrupted.then_some(Cause::Interrupted),
            kept: Vec::new(),
            left_behind: left.iter().map(ToString::to_string).collect(),
            untouched: vec!["x: kept on purpose".to_owned()],
        };
        assert_eq!(exit_of(&outcome(false, &[], false)), Exit::Success);
        assert_eq!(exit_of(&outcome(true, &[], false)), Exit::Failure);
        assert_eq!(exit_of(&outcome(false, &[], true)), Exit::Failure);
        assert_eq!(exit_of(&outcome(true, &["x: machine i-1"], true)), Exit::LeftBehind);
    }
}
