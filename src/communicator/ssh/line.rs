//! What is sent for a command: it depends on the shell that the machine has.

use super::options::TransferMethod;
use super::transfer::{Probed, ShellKind};
use super::words::{NO_SHELL, it_says};
use super::{Ssh, command, windows};
use crate::component::Command;
use crate::retry::Permanent;

/// The text to send to `ssh` for `command`. Fails if the machine has no POSIX shell: something else could
/// accept the text and report success. With `scp` we find that out at the first transfer, so nothing is
/// probed here.
pub(super) async fn of(ssh: &Ssh, command: Command<'_>) -> anyhow::Result<String> {
    if ssh.is_windows() {
        let shell = ssh.windows_shell.get_or_try_init(|| windows::ask(ssh)).await?;
        return Ok(windows::line(*shell, command));
    }
    let probed = match ssh.method {
        TransferMethod::Sftp => Some(ssh.probed().await?),
        TransferMethod::Scp => ssh.probed_shell.get(),
    };
    let Some(Probed { shell: ShellKind::Missing, said, takes_all }) = probed else {
        return Ok(command::line(command));
    };
    match command {
        // Its author knows what the machine has instead.
        Command::Template(text) if !takes_all => Ok(text.to_owned()),
        _ => anyhow::bail!(Permanent(format!("{NO_SHELL}{}", it_says(said)))),
    }
}
