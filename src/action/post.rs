//! The end of the job: what a step that was cancelled or killed could not remove any more, is removed
//! now.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Action;
use crate::cli::{Exit, cleanup};
use crate::event::Ui;

/// Where the step said that its journals are: `STATE_…` of the end.
pub(super) const STATE_DIR: &str = "journals";

/// How long a step that was killed may still be undoing what it did: its container may outlive it.
/// After a cancellation the whole job has less than five minutes.
const PATIENCE: Duration = Duration::from_secs(150);

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let Some(dir) = action.files.saved(STATE_DIR) else {
        ui.say("There is nothing to clean up.");
        return Exit::Success;
    };
    let deadline = Instant::now() + PATIENCE;
    let arguments =
        cleanup::Arguments { state_dir: Some(PathBuf::from(dir)), ..cleanup::Arguments::default() };
    cleanup::run_until(&action.session, ui, &arguments, deadline)
}
