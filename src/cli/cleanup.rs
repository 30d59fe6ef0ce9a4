//! `imgbake cleanup`: removes what runs that died, or could not remove everything, left behind.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Session};
use crate::aws::access::Access;
use crate::aws::cleanup::Cleaner;
use crate::event::Ui;
use crate::journal::Journal;
use crate::journal::store::{Found, Holder, journals};
use crate::report::listing;

/// `imgbake cleanup [flags]`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Shows what would be removed, and removes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Only after this run.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Where the journals are; otherwise IMGBAKE_STATE_DIR, or XDG's directory for state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The directory of the journals, if there is any place for them.
pub(super) fn journal_dir(session: &Session, given: Option<&Path>) -> Option<PathBuf> {
    let state = given.map(Path::to_owned).or_else(|| session.environment.state_dir())?;
    Some(session.environment.cwd.join(state).join("journal"))
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let Some(dir) = journal_dir(session, arguments.state_dir.as_deref()) else {
        ui.error("Error: nobody says where the journals are: set HOME, or give -state-dir");
        return Exit::Failure;
    };
    let mut found = match journals(&dir) {
        Ok(found) => found,
        Err(error) => {
            ui.error(format!("Error: the journals in {} cannot be read: {error}", dir.display()));
            return Exit::Failure;
        }
    };
    if let Some(run) = &arguments.run {
        found.retain(|found| found.run == *run);
        if found.is_empty() {
            ui.error(format!("Error: there is no journal of a run `{run}` in {}", dir.display()));
            return Exit::Failure;
        }
    }
    if found.is_empty() {
        ui.say("There is nothing to clean up.");
        return Exit::Success;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(format!("Error: the threads that clean up cannot be started: {error}"));
            return Exit::Failure;
        }
    };
    runtime.block_on(clean_all(session, ui, arguments.dry_run, &found))
}

/// Cleans up after one run after the other; what stands in the way of one does not stop the others.
async fn clean_all(session: &Session, ui: &Ui, dry_run: bool, all: &[Found]) -> Exit {
    let cleaner = Cleaner {
        access: Access::default(),
        environment: session.environment.clone(),
        redactor: session.redactor.clone(),
        ui: ui.clone(),
    };
    let mut exit = Exit::Success;
    for found in all {
        let run = &found.run;
        match found.take_over() {
            Ok(Holder::Somebody) => {
                ui.say(format!("The run {run} is still alive: it is left alone."));
            }
            Ok(Holder::Us(journal)) => {
                let left = match dry_run {
                    true => show(ui, &cleaner, run, &journal).await,
                    false => clean(ui, &cleaner, run, &journal).await,
                };
                exit = if left { Exit::LeftBehind } else { exit };
            }
            Err(error) => {
                ui.error(format!("Error: the journal of the run {run} cannot be used: {error}"));
                exit = Exit::LeftBehind;
            }
        }
    }
    exit
}

/// Whether something is left.
async fn clean(ui: &Ui, cleaner: &Cleaner, run: &str, journal: &Journal) -> bool {
    ui.say(format!("Cleaning up after the run {run}"));
    cleaner.clean(journal).await;
    listing::list(ui, "These could not be removed:", &journal.left_behind());
    let left = journal.close().is_some();
    if !left {
        ui.say(format!("Nothing is left of the run {run}."));
    }
    left
}

/// Whether something could not be looked up.
async fn show(ui: &Ui, cleaner: &Cleaner, run: &str, journal: &Journal) -> bool {
    let found = cleaner.would_remove(journal).await;
    match found.as_slice() {
        [] => ui.say(format!("Nothing is left of the run {run}.")),
        found => {
            ui.say(format!("Would be removed after the run {run}:"));
            found.iter().for_each(|one| ui.say(format!("--> {one}")));
        }
    }
    let unknown = journal.left_behind();
    listing::list(ui, "These could not be looked up:", &unknown);
    !unknown.is_empty()
}
