//! Helper programs that run to their end: `qemu-img`, `xorriso` ….

use std::process::{Output, Stdio};

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::guest::harmless;
use crate::retry::or_cancelled;

/// Runs `command` to its end and returns what it printed. An interruption kills it.
///
/// # Errors
/// If it cannot be started, or fails: with what it printed on standard error.
pub(super) async fn run(cancel: &CancellationToken, command: Command) -> anyhow::Result<Output> {
    let mut command = command;
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    tracing::debug!("running {:?}", command.as_std());
    // In a group of its own, a ctrl-C at the terminal does not reach it before us.
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let output = or_cancelled(cancel, command.output()).await?;
    let output = output.with_context(|| format!("cannot run `{name}`"))?;
    if !output.status.success() {
        bail!("`{name}` failed ({}): {}", output.status, text(&output.stderr));
    }
    Ok(output)
}

/// What a program printed, as one harmless text.
pub(super) fn text(printed: &[u8]) -> String {
    let lines: Vec<_> = printed.split(|&byte| byte == b'\n').map(harmless).collect();
    lines.join("\n").trim().to_owned()
}
