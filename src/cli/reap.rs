//! `imgbake reap`: removes what runs have left anywhere in the cloud, found by its tags: those of
//! machines that are gone, too, with their journals.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::cleanup::{NO_JOURNALS, journal_dir, on_runtime, run_name};
use super::{Exit, Session};
use crate::component::{Cleaner, CleanupContext, Wanted};
use crate::config::GoDuration;
use crate::event::Ui;
use crate::journal::store::journals;
use crate::journal::{Entry, Journal, Thing};
use crate::registry;
use crate::report::listing;

/// `imgbake reap -older-than DURATION [flags]`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Only what builds have made that began this long ago: longer than any build takes, e.g. `6h`.
    /// What belongs to a run that is alive on this machine is left alone in any case.
    #[arg(long, value_name = "DURATION", value_parser = GoDuration::parse)]
    pub older_than: GoDuration,
    /// Shows what would be removed, and removes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// A region to search, instead of the one that AWS's own tools use. May be repeated.
    #[arg(long, value_name = "REGION")]
    pub region: Vec<String>,
    /// Where the journals are; otherwise IMGBAKE_STATE_DIR, or XDG's directory for state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let Some(dir) = journal_dir(session, arguments.state_dir.as_deref()) else {
        ui.error(format!("Error: {NO_JOURNALS}"));
        return Exit::Failure;
    };
    let alive = match alive(&dir) {
        Ok(alive) => alive,
        Err(error) => {
            let dir = dir.display();
            ui.error(format!("Error: it is not known which runs are alive in {dir}: {error}"));
            return Exit::Failure;
        }
    };
    let before = session.environment.started.checked_sub(arguments.older_than.get());
    let Ok(before) = before else {
        ui.error("Error: nothing is as old as -older-than");
        return Exit::Failure;
    };
    let wanted = Wanted { places: arguments.region.clone(), before, alive };
    let cx = CleanupContext {
        environment: session.environment.clone(),
        redactor: session.redactor.clone(),
        ui: ui.clone(),
        dry_run: arguments.dry_run,
    };
    let journal = Journal::in_dir(&dir, &run_name(session));
    on_runtime(ui, reap(ui, &registry::cleaners(&cx), &wanted, &journal, arguments.dry_run))
}

/// What runs have written down that are alive on this machine.
fn alive(dir: &Path) -> io::Result<Vec<Arc<Thing>>> {
    let mut alive = Vec::new();
    for found in journals(dir)? {
        alive.extend(found.of_living()?.unwrap_or_default());
    }
    Ok(alive)
}

async fn reap(
    ui: &Ui,
    cleaners: &[Box<dyn Cleaner>],
    wanted: &Wanted,
    journal: &Journal,
    dry_run: bool,
) -> Exit {
    let (mut exit, mut is_empty) = (Exit::Success, true);
    for cleaner in cleaners {
        let found = match cleaner.search(wanted).await {
            Ok(found) if found.is_empty() => continue,
            Ok(found) => found,
            // What one of them cannot search, the next may.
            Err(error) => {
                ui.error(format!("Error: {error:#}"));
                exit = Exit::Failure;
                continue;
            }
        };
        is_empty = false;
        if dry_run {
            ui.say("Would be removed:");
            found.iter().for_each(|one| ui.say(format!("--> {}: {}", one.build, one.thing)));
        } else if let Err(error) = write_down(journal, found).await {
            ui.error(format!("Error: the journal cannot be written: {error}"));
            return Exit::Failure;
        } else {
            cleaner.clean(journal).await;
        }
    }
    if is_empty && exit == Exit::Success {
        ui.say("Nothing is left that is old enough.");
    }
    listing::list(ui, "These could not be removed:", &journal.left_behind());
    match journal.close() {
        None => exit,
        Some(run) => {
            ui.error(format!("`imgbake cleanup -run {run}` tries again"));
            Exit::LeftBehind
        }
    }
}

/// Even what is being removed may be left by a run that is killed.
async fn write_down(journal: &Journal, found: Vec<Entry>) -> io::Result<()> {
    for entry in found {
        journal.intend(&entry.build, vec![entry.thing]).await?;
    }
    Ok(())
}
