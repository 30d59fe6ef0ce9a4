//! Machines of Vagrant's that runs have left: ended as their templates said.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::options::Teardown;
use super::program::Program;
use crate::component::{Cleaner, CleanupContext, Wanted};
use crate::event::Ui;
use crate::journal::{Entry, Journal, Thing};

/// What the journal says of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// Where its Vagrantfile is.
    pub directory: PathBuf,
    pub machine: String,
    pub teardown: Teardown,
}

#[derive(Deserialize)]
struct Details {
    vagrant: Made,
}

impl Made {
    fn of(thing: &Thing) -> anyhow::Result<Self> {
        let details = thing.details().cloned().unwrap_or_default();
        let Details { vagrant } = Details::deserialize(details)
            .with_context(|| format!("{thing} is nothing that this version knows"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        ensure!(
            vagrant.machine.starts_with(|c: char| c.is_ascii_alphanumeric())
                && vagrant.machine.chars().all(is_name)
                && vagrant.directory.is_absolute(),
            "{thing} is called as no build calls anything"
        );
        Ok(vagrant)
    }
}

/// Ends a machine.
pub(super) async fn end(
    program: &Program,
    made: &Made,
    ui: &Ui,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let (said, arguments): (_, &[&str]) = match made.teardown {
        Teardown::Halt => ("halting", &["halt", &made.machine]),
        Teardown::Suspend => ("suspending", &["suspend", &made.machine]),
        Teardown::Destroy => ("destroying", &["destroy", "-f", &made.machine]),
    };
    ui.say(format!("{said} Vagrant box..."));
    program.run(arguments, ui, cancel).await
}

/// Ends the machines of dead runs.
#[derive(Clone, Debug)]
pub struct VagrantCleaner {
    /// What it works with.
    pub cx: CleanupContext,
}

impl VagrantCleaner {
    /// The machine that is `thing`, if there still is something to end, with the program for it.
    async fn find(&self, thing: &Thing) -> anyhow::Result<Option<(Program, Made)>> {
        let made = Made::of(thing)?;
        // Without its directory nobody knows it any more but its provider.
        ensure!(
            made.directory.is_dir(),
            "the directory is gone: `vagrant global-status --prune` shows what is left of it"
        );
        let program = Program::new(&self.cx.environment, &made.directory);
        let state = program.state(&made.machine, &CancellationToken::new()).await?;
        let is_ended = match made.teardown {
            Teardown::Destroy => state == "not_created",
            Teardown::Halt | Teardown::Suspend => state != "running",
        };
        Ok((!is_ended).then_some((program, made)))
    }

    async fn remove(&self, thing: &Thing) -> anyhow::Result<()> {
        let Some((program, made)) = self.find(thing).await? else { return Ok(()) };
        end(&program, &made, &self.cx.ui, &CancellationToken::new()).await
    }
}

#[async_trait]
impl Cleaner for VagrantCleaner {
    fn owns(&self, thing: &Thing) -> bool {
        thing.details().is_some_and(|details| details.get("vagrant").is_some())
    }

    async fn clean(&self, journal: &Journal) {
        for entry in self.own(journal.entries()) {
            journal.removed(&entry.thing, &self.remove(&entry.thing).await);
        }
    }

    /// A new box is a file; no machine is what a build is for.
    async fn keep(&self, _journal: &Journal) {}

    async fn would_remove(&self, journal: &Journal) -> Vec<String> {
        let mut found = Vec::new();
        for entry in self.own(journal.entries()) {
            match self.find(&entry.thing).await {
                Ok(Some(_)) => found.push(format!("{}: {}", entry.build, entry.thing)),
                Ok(None) => {}
                Err(error) => journal.stuck(&entry.thing, format!("{error:#}")),
            }
        }
        found
    }

    /// What no journal names is not told from machines of people.
    async fn search(&self, _wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_ended_that_no_build_starts() {
        let of = |machine: &str, directory: &str| {
            let made = json!({"directory": directory, "machine": machine, "teardown": "destroy"});
            Made::of(&Thing::new("x", "x").with_details(json!({ "vagrant": made })))
        };
        assert!(of("source", "/a").is_ok() && of("8df7860", "/a").is_ok());
        for (machine, directory) in [("-f", "/a"), ("", "/a"), ("a b", "/a"), ("source", "a")] {
            assert!(of(machine, directory).is_err(), "{machine} {directory}");
        }
    }
}
