//! A machine is asked for its packages: one command, whatever keeps them.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::inventory::Inventory;
use super::listing;
use crate::component::{Command, Communicator};
use crate::guest::Capture;
use crate::guest::shell::encoded_powershell;
use crate::peer::Allowance;

/// 2,000 packages are half a megabyte, and take a second to list.
const ANSWER: Allowance =
    Allowance::new("the machine's list of packages", 32 << 20, Duration::from_secs(60));

/// Prints sections, each after a NUL: its kind on a line, then its text; `end` is the last one. All of
/// it is there for any user, and starts few processes: some machines are emulated.
const POSIX: &str = include_str!("ask.sh");

/// The same for Windows, as one line of JSON. `Win32_Product` would be the obvious thing to ask, but it
/// checks (and may repair) every program that it lists.
const WINDOWS: &str = include_str!("ask.ps1");

/// All that is installed on the machine at the end of `communicator`.
pub async fn of_machine(communicator: &dyn Communicator) -> anyhow::Result<Inventory> {
    let is_posix = communicator.shell().is_posix();
    let command = if is_posix { POSIX.to_owned() } else { encoded_powershell(WINDOWS) };
    let mut said = Capture::keeping(usize::try_from(ANSWER.bytes)?);
    let exit = communicator.run(Command::Ours(&command), &mut said);
    let exit = ANSWER.in_time(exit).await??;
    ANSWER.check(said.printed())?;
    if said.printed() == 0 {
        bail!("there is nobody to ask: the build has no connection to a machine that answers");
    }
    ensure!(exit.status() == 0, "listing packages ended with status {}", exit.status());
    if is_posix { listing::of_posix(&said.stdout) } else { listing::of_windows(&said.stdout) }
}
