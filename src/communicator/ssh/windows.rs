//! Commands for a machine of Windows, whatever shell it gives to whoever logs in.

use std::time::Duration;

use anyhow::ensure;

use super::{Ssh, exec};
use crate::component::{Command, Exit};
use crate::guest::Capture;
use crate::guest::shell::LoginShell;
use crate::peer::Allowance;

/// What the answer to the question may be, with what a profile prints before it.
const ANSWER: Allowance =
    Allowance::new("the answer to which shell there is", 64 * 1024, Duration::from_secs(60));

/// Asks the machine for its shell. One that gives no answer has Windows' own, as most do.
pub(super) async fn ask(ssh: &Ssh) -> anyhow::Result<LoginShell> {
    let mut said = Capture::default();
    let asked = exec::run_line(ssh, LoginShell::QUESTION.to_owned(), None, &mut said);
    let exit = ANSWER.in_time(asked).await??;
    ensure!(
        exit != Exit::Disconnected,
        "the connection was lost when the machine was asked for its shell"
    );
    ANSWER.check(said.printed())?;
    let shell = LoginShell::of(&String::from_utf8_lossy(&said.stdout)).unwrap_or(LoginShell::Cmd);
    tracing::info!("commands of {} are read by {shell:?}", ssh.server.host);
    Ok(shell)
}

/// `command` as one line for `shell`. The template's is for what the machine has.
pub(super) fn line(shell: LoginShell, command: Command<'_>) -> String {
    match command {
        Command::Template(text) => text.to_owned(),
        Command::Ours(text) => shell.line_for_cmd(text),
    }
}
