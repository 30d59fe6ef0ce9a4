//! `imgbake cleanup`: removes what runs that died, or could not remove everything, left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::front::{self, Language, PlanOptions, Planned, TemplateArguments, VariableArguments};
use super::{Exit, Session};
use crate::component::{Cleaner, CleanupContext};
use crate::event::Ui;
use crate::journal::Journal;
use crate::journal::store::{Found, Holder, journals};
use crate::reach::Reach;
use crate::registry;
use crate::report::listing;
use crate::scratch;
use crate::source::SourceMap;

/// `imgbake cleanup [flags]`
#[derive(Args, Clone, Debug, Default)]
pub struct Arguments {
    /// Shows what would be removed, and removes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Removes also what runs had finished that died before they could say so.
    #[arg(long)]
    pub delete_finished: bool,
    /// Removes also the machines that `build -keep-failed` has kept, though their time is not over.
    #[arg(long)]
    pub delete_kept: bool,
    /// Only after this run.
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Where the journals are; otherwise IMGBAKE_STATE_DIR, or XDG's directory for state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The template whose credentials are used; otherwise those that AWS's own tools find.
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<PathBuf>,
    /// Values for variables of the template.
    #[command(flatten)]
    pub variables: VariableArguments,
}

/// Why there is no place for journals.
pub(super) const NO_JOURNALS: &str =
    "nobody says where the journals are: set HOME, or give -state-dir";

/// The directory of the journals, if there is any place for them.
pub(super) fn journal_dir(session: &Session, given: Option<&Path>) -> Option<PathBuf> {
    let state = given.map(Path::to_owned).or_else(|| session.environment.state_dir())?;
    Some(session.environment.cwd.join(state).join("journal"))
}

/// How the run is called in the names of journals.
pub(super) fn run_name(session: &Session) -> String {
    // Sorts by age; and a run may be given the id of another one.
    let started = session.environment.started.strftime("%Y%m%dT%H%M%SZ");
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{started}-{}", &random[..8])
}

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let options = CleanupOptions { deadline: Instant::now(), spares_kept: false };
    run_as(session, ui, arguments, options)
}

/// How journals are gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CleanupOptions {
    /// Until when runs that are still alive are waited for: they may be undoing what they did.
    pub deadline: Instant,
    /// Whether what was left on purpose stays.
    pub spares_kept: bool,
}

/// As [`run`], in another manner.
pub(crate) fn run_as(
    session: &Session,
    ui: &Ui,
    arguments: &Arguments,
    options: CleanupOptions,
) -> Exit {
    let Some(dir) = journal_dir(session, arguments.state_dir.as_deref()) else {
        ui.error(format!("Error: {NO_JOURNALS}"));
        return Exit::Failure;
    };
    if arguments.run.is_none() {
        sweep(session, ui, arguments);
    }
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
    let Some(cleaners) = cleaners(session, ui, arguments) else { return Exit::Failure };
    let all = CleanupRun { ui, cleaners: &cleaners, arguments, options };
    on_runtime(ui, all.clean(&found))
}

/// Removes the private directories that killed runs have left on this machine.
fn sweep(session: &Session, ui: &Ui, arguments: &Arguments) {
    let own = session.environment.state_dir();
    let states = arguments.state_dir.iter().cloned().chain(own);
    let private = states.flat_map(|state| scratch::of_dead(&scratch::in_state(&state)));
    for dead in private.chain(scratch::temporary_of_dead()) {
        if arguments.dry_run {
            ui.say(format!("would remove the private directory {}", dead.display()));
        } else if let Err(error) = std::fs::remove_dir_all(&dead) {
            ui.error(format!("Error: cannot remove {}: {error}", dead.display()));
        } else {
            ui.say(format!("removed the private directory {}", dead.display()));
        }
    }
}

/// The stack of each thread, as large as that of the thread that the program starts in: a build is one
/// future, with all that its steps await.
const STACK: usize = 8 << 20;

/// Threads that work is done on.
pub(super) fn runtime() -> io::Result<Runtime> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.thread_stack_size(STACK).enable_all().build()
}

/// Awaits `work` on threads of its own.
pub(super) fn on_runtime(ui: &Ui, work: impl Future<Output = Exit>) -> Exit {
    match runtime() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            ui.error(format!("Error: the program's threads cannot be started: {error}"));
            Exit::Failure
        }
    }
}

/// Those who clean up: as the template's builds, or as whom the environment says.
fn cleaners(session: &Session, ui: &Ui, arguments: &Arguments) -> Option<Vec<Box<dyn Cleaner>>> {
    let cx = CleanupContext {
        environment: session.environment.clone(),
        redactor: session.redactor.clone(),
        ui: ui.clone(),
        dry_run: arguments.dry_run,
    };
    let Some(template) = arguments.template.clone() else { return Some(registry::cleaners(&cx)) };
    let template = TemplateArguments {
        only: Vec::new(),
        except: Vec::new(),
        variables: arguments.variables.clone(),
        config_type: Language::default(),
        template,
        reach: Reach::default(),
    };
    let options = PlanOptions { ask_data_sources: true, ..PlanOptions::default() };
    let mut sources = SourceMap::default();
    let planned = front::plan(session, ui, &template, options, &mut sources);
    let Planned { plan, .. } = session.shown(ui, planned, &sources)?;
    let builds = plan.builds.iter().map(|build| build.builder.cleaner(&cx));
    let after = plan.builds.iter().flat_map(|build| build.post_processors.iter().flatten());
    let after = after.map(|planned| planned.first.cleaner(&cx));
    let cleaners: Vec<_> = builds.chain(after).flatten().collect();
    if cleaners.is_empty() {
        ui.error("Error: no build of the template makes anything that could be left behind");
        return None;
    }
    Some(cleaners)
}

/// The cleaning up after all runs that were found.
struct CleanupRun<'a> {
    ui: &'a Ui,
    cleaners: &'a [Box<dyn Cleaner>],
    arguments: &'a Arguments,
    options: CleanupOptions,
}

/// How often to see whether a run is still alive.
const LOOK: Duration = Duration::from_secs(1);

impl CleanupRun<'_> {
    /// One run after the other; what stands in the way of one does not stop the others.
    async fn clean(&self, all: &[Found]) -> Exit {
        let mut exit = Exit::Success;
        for found in all {
            let run = &found.run;
            match self.take_over(found).await {
                Ok(Holder::Somebody) => {
                    self.ui.say(format!("The run {run} is still alive: it is left alone."));
                }
                Ok(Holder::Us(journal)) if self.spares(run, &journal) => {}
                Ok(Holder::Us(journal)) => {
                    if self.arguments.delete_finished {
                        journal.give_up_products();
                    }
                    let left = match self.arguments.dry_run {
                        true => show(self.ui, self.cleaners, run, &journal).await,
                        false => clean(self.ui, self.cleaners, run, &journal).await,
                    };
                    exit = if left { Exit::LeftBehind } else { exit };
                }
                Err(error) => {
                    self.ui.error(format!(
                        "Error: the journal of the run {run} cannot be used: {error}"
                    ));
                    exit = Exit::LeftBehind;
                }
            }
        }
        exit
    }

    /// Whether all that is left of the run shall stay.
    fn spares(&self, run: &str, journal: &Journal) -> bool {
        let on_purpose = match self.options.spares_kept {
            true => journal.take_left_on_purpose(),
            false => Vec::new(),
        };
        let heading = format!("These were left on purpose by the run {run}, and stay:");
        listing::list(self.ui, &heading, &on_purpose);
        let kept = match self.arguments.delete_kept {
            true => Vec::new(),
            false => journal.take_reserved(Timestamp::now()),
        };
        let heading = format!("The run {run} keeps these for another one to go on with:");
        listing::list(self.ui, &heading, &kept);
        let stays = !on_purpose.is_empty() || !kept.is_empty();
        stays && journal.entries().is_empty()
    }

    async fn take_over(&self, found: &Found) -> io::Result<Holder> {
        let mut said = false;
        loop {
            let holder = found.take_over()?;
            if matches!(holder, Holder::Us(_)) || Instant::now() >= self.options.deadline {
                return Ok(holder);
            }
            if !std::mem::replace(&mut said, true) {
                self.ui.say(format!("Waiting for the run {}, which is still alive", found.run));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Says of what no cleaner knows that it stays: another version or a plugin wrote it, or the
/// template that was given makes nothing of its kind.
fn leave_unknown(cleaners: &[Box<dyn Cleaner>], journal: &Journal) {
    for entry in journal.entries() {
        if !cleaners.iter().any(|cleaner| cleaner.owns(&entry.thing)) {
            journal.mark_failed(&entry.thing, UNKNOWN);
        }
    }
}

const UNKNOWN: &str = "nothing here knows how to remove it: use the version of imgbake or the plugin \
                       that made it, or leave out `-template`";

/// Whether something is left.
async fn clean(ui: &Ui, cleaners: &[Box<dyn Cleaner>], run: &str, journal: &Journal) -> bool {
    ui.say(format!("Cleaning up after the run {run}"));
    leave_unknown(cleaners, journal);
    // What one of them may not remove, the next may.
    for cleaner in cleaners {
        cleaner.clean(journal).await;
    }
    listing::list(ui, "These could not be removed:", &journal.left_behind());
    let something_is_kept = keep(ui, cleaners, journal).await;
    let left = journal.close().is_some();
    if !left {
        let what = if something_is_kept { "Nothing else" } else { "Nothing" };
        ui.say(format!("{what} is left of the run {run}."));
    }
    left
}

/// Says what the dead run had finished, which stays; whether there is anything.
async fn keep(ui: &Ui, cleaners: &[Box<dyn Cleaner>], journal: &Journal) -> bool {
    for cleaner in cleaners {
        cleaner.check_products(journal).await;
    }
    let kept = journal.product_entries().into_iter();
    let kept: Vec<_> =
        kept.map(|entry| format!("{}: {}", entry.build, entry.thing.in_full())).collect();
    const WORDS: &str = "These are finished, and stay: the next run of the same build adopts an AMI, \
                         `imgbake cleanup -delete-finished` removes them:";
    listing::list(ui, WORDS, &kept);
    !kept.is_empty()
}

/// Whether something could not be looked up.
async fn show(ui: &Ui, cleaners: &[Box<dyn Cleaner>], run: &str, journal: &Journal) -> bool {
    journal.freeze();
    leave_unknown(cleaners, journal);
    let mut found = Vec::new();
    for cleaner in cleaners {
        found.extend(cleaner.would_remove(journal).await);
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => ui.say(format!("Nothing is left of the run {run}.")),
        found => {
            ui.say(format!("Would be removed after the run {run}:"));
            found.iter().for_each(|one| ui.say(format!("--> {one}")));
        }
    }
    let unknown = journal.left_behind();
    listing::list(ui, "These could not be looked up:", &unknown);
    keep(ui, cleaners, journal).await;
    !unknown.is_empty()
}
