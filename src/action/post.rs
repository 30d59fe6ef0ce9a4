//! The end of the job: what a step that was cancelled or killed could not remove any more, is removed
//! now. It needs the journals and credentials, and nothing else of what the step needed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use jiff::Timestamp;

use super::inputs::{self, Account, Command};
use super::{StepContext, annotate, owner, refuse};
use crate::cli::cleanup::{self, CleanupOptions};
use crate::cli::{Exit, Session};
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::github::Files;

/// Where the step said that its journals are, `STATE_…` of the end; empty if it has left nothing.
pub(super) const STATE_DIR: &str = "journals";

/// When the step said that it began, in milliseconds.
const STARTED: &str = "started";

const NOTHING: &str = "There is nothing to clean up.";

/// How long a step that was killed may still be undoing what it did: its container may outlive it.
/// After a cancellation the whole job has less than five minutes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Tells the end of the job when the step began, which may not come to its own end.
pub(super) fn remember_start(files: &Files, started: Timestamp) -> io::Result<()> {
    files.state(STARTED, &started.as_millisecond().to_string())
}

/// Tells the end of the job that the step came to its own.
pub(super) fn remember_end(files: &Files) -> io::Result<()> {
    files.state(STARTED, "")
}

pub(super) fn run(step_context: &StepContext, ui: &Ui) -> Exit {
    // Nobody looks for a mistake where none can be written down.
    let _ = step_context.start_log(ui);
    let exit = clean_up(step_context, ui);
    let started = step_context.files.saved(STARTED).and_then(|started| started.parse().ok());
    if let Some(started) = started.and_then(|started| Timestamp::from_millisecond(started).ok()) {
        owner::give_to_owner(step_context.context.workspace(&step_context.environment), started);
    }
    exit
}

fn clean_up(step_context: &StepContext, ui: &Ui) -> Exit {
    let Some(dir) = journals(step_context, ui) else { return Exit::Success };
    let exit = match session(step_context) {
        Ok(session) => {
            session.environment.speak_through(ui.clone());
            let arguments = cleanup::Arguments { state_dir: Some(dir), ..Default::default() };
            let deadline = Instant::now() + PATIENCE;
            cleanup::run_as(
                &session,
                ui,
                &arguments,
                CleanupOptions { deadline, spares_kept: true },
            )
        }
        Err(wrong) => {
            refuse(ui, &wrong);
            Exit::Failure
        }
    };
    if exit != Exit::Success {
        let what = "the end of the job could not remove all that the step has left: the log says what and why";
        annotate(ui, Severity::Error, "imgbake", format!("{what}; `command: cleanup` tries again"));
    }
    remove(step_context.own_dir().as_deref());
    exit
}

/// The directory whose journals tell what is left, if anything may be.
fn journals(step_context: &StepContext, ui: &Ui) -> Option<PathBuf> {
    match step_context.files.saved(STATE_DIR) {
        Some("") => {
            ui.say(NOTHING);
            None
        }
        Some(dir) if has_journals(Path::new(dir)) => Some(dir.into()),
        Some(dir) if Path::new(dir).is_dir() => {
            ui.say(NOTHING);
            None
        }
        Some(dir) => {
            let other = found_journals(step_context);
            if other.is_none() {
                let what = "nobody can know whether the step has left anything";
                let why = format!(
                    "{what}: its journals in `{dir}` are gone; `command: reap` finds by their tags what is left in an account"
                );
                annotate(ui, Severity::Warning, "imgbake", why);
            }
            other
        }
        // What it had to say may be lost.
        None if matches!(
            inputs::command(&step_context.environment),
            Some(Command::Build | Command::Test)
        ) =>
        {
            found_journals(step_context)
        }
        None => None,
    }
}

/// The directory where the step would have kept journals, if there are any.
fn found_journals(step_context: &StepContext) -> Option<PathBuf> {
    let dir = step_context.state_dir()?;
    has_journals(&dir).then_some(dir)
}

fn has_journals(dir: &Path) -> bool {
    fs::read_dir(dir.join("journal")).is_ok_and(|mut files| files.next().is_some())
}

/// With credentials as the step had them.
fn session(step_context: &StepContext) -> Result<Session, Vec<String>> {
    step_context.session(&Account::read(&step_context.environment)?, true)
}

/// Removes our directory in the runner's, once there is nothing in it.
pub(super) fn remove(own_dir: Option<&Path>) {
    if let Some(dir) = own_dir {
        // It stays as long as a journal is in it.
        let _ = fs::remove_dir(dir.join("journal"));
        let _ = fs::remove_dir(dir);
    }
}
