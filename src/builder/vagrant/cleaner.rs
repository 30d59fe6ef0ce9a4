//! Machines of Vagrant's that runs have left: ended as their templates said.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::options::Teardown;
use super::program::Program;
use crate::component::{CleanupContext, OneByOne};
use crate::event::Ui;
use crate::journal::{Entry, Thing};

/// What the journal says of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
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

/// Ends the machines of dead runs. What no journal names is not told from machines of people.
#[derive(Clone, Debug)]
pub struct VagrantCleaner {
    /// What it works with.
    pub cx: CleanupContext,
}

#[async_trait]
impl OneByOne for VagrantCleaner {
    /// The machine in which there still is something to end, with the program for it.
    type Found = (Program, Made);

    fn context(&self) -> &CleanupContext {
        &self.cx
    }

    fn has(&self, thing: &Thing) -> bool {
        thing.details().is_some_and(|details| details.get("vagrant").is_some())
    }

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

    async fn remove(&self, _: &Entry, (program, made): Self::Found) -> anyhow::Result<()> {
        end(&program, &made, &self.cx.ui, &CancellationToken::new()).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_of_an_earlier_version_is_understood_and_written_as_it_was() {
        let made = json!({"directory": "/a", "machine": "source", "teardown": "halt"});
        let read = Made::of(&Thing::new("x", "x").with_details(json!({ "vagrant": made })));
        let read = read.unwrap();
        let (directory, machine) = ("/a".into(), "source".to_owned());
        assert_eq!(read, Made { directory, machine, teardown: Teardown::Halt });
        assert_eq!(serde_json::to_value(&read).unwrap(), made);
    }

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
