//! Commands on this host, as the template wraps them.

use std::process::ExitStatus;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::builder::amazon::chroot::options::WrapperFields;
use crate::component::Facts;
use crate::config::Late;
use crate::event::Ui;
use crate::guest::{GuestOutput, ShowLines};
use crate::script::child::{self, Input};

/// Runs commands.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub facts: Arc<Facts>,
    pub wrapper: Late<WrapperFields>,
}

impl Local {
    /// Runs `command`, which has to work; what it prints is shown.
    pub async fn run(
        &self,
        command: &str,
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut lines = ShowLines::new(ui.clone());
        let ended = self.run_into(command, Input::Nothing, &mut lines, cancel).await;
        lines.finish().await;
        let status = ended?;
        ensure!(status.success(), "`{command}` failed ({status})");
        Ok(())
    }

    /// Runs `command`, reading `input`; what it prints goes to `output`.
    pub async fn run_into(
        &self,
        command: &str,
        input: Input,
        output: &mut dyn GuestOutput,
        cancel: &CancellationToken,
    ) -> anyhow::Result<ExitStatus> {
        let dot = [("Command".to_owned(), command.into())].into_iter().collect();
        let wrapped = self.wrapper.render(&self.facts.scope, &dot);
        let wrapped = wrapped.context("cannot render `command_wrapper`")?;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&wrapped);
        shell.env_clear().envs(self.facts.scope.environment.vars());
        let ended = child::run_into(shell, input, output, cancel).await;
        ended.with_context(|| format!("cannot run `{wrapped}`"))
    }
}
