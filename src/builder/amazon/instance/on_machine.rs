//! Commands on the machine, as the template writes them.

use crate::component::{BuildContext, Command, Communicator, Exit};
use crate::retry::or_cancelled;

/// Runs `command` on the machine: the status that it exits with. What it says is shown, and the command
/// itself only to who debugs.
pub(super) async fn run(
    cx: &BuildContext,
    connection: &dyn Communicator,
    command: &str,
) -> anyhow::Result<u32> {
    if cx.facts.debug {
        cx.ui.say(format!("Running: {command}"));
    }
    let run = connection.run_shown(Command::Template(command), &cx.ui);
    match or_cancelled(&cx.cancel, run).await?? {
        Exit::Status(status) => Ok(status),
        Exit::Disconnected => anyhow::bail!("the connection was lost"),
    }
}
