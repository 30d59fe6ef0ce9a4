//! Does what a boot command says.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::keyboard::Keyboard;
use super::language::{Action, Command};
use super::options::Boot;
use crate::config::GoDuration;
use crate::event::Ui;
use crate::retry::SILENT_WAIT;
use crate::vm::machine::Machine;
use crate::vm::screen::Frame;

/// How often to look whether the screen has changed.
const LOOK: Duration = Duration::from_millis(250);

/// Sits at a machine.
pub struct Typist<'a> {
    machine: &'a Machine,
    keyboard: Keyboard<'a>,
    ui: &'a Ui,
    group_interval: Duration,
}

impl<'a> Typist<'a> {
    /// At `machine`, whose keyboard is a PS/2 one (`is_ps2`) or another.
    pub async fn at(machine: &'a Machine, boot: &Boot, is_ps2: bool, ui: &'a Ui) -> Self {
        let keyboard = Keyboard::of(machine.qmp(), boot.key_interval, is_ps2).await;
        Self { machine, keyboard, ui, group_interval: boot.group_interval }
    }

    /// Does all that `command` says.
    ///
    /// # Errors
    /// When the machine is gone, or what is waited for does not come.
    pub async fn run(&mut self, command: &Command) -> anyhow::Result<()> {
        // What the screen was before the last key.
        let mut before = None;
        let mut actions = command.actions.iter().peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Type(stroke, motion) => {
                    if matches!(actions.peek(), Some(Action::WaitForChange { .. })) {
                        before = Some(self.machine.frame().await?);
                    }
                    self.keyboard.stroke(*stroke, *motion).await?;
                    if !matches!(actions.peek(), Some(Action::Type(..))) {
                        sleep(self.group_interval).await;
                    }
                }
                Action::Wait(wait) => {
                    if *wait > SILENT_WAIT {
                        self.ui.say(format!("Waiting {}...", GoDuration::from(*wait)));
                    }
                    // That there is no machine any more matters to the next key, if there is one.
                    let _ = self.machine.while_there(sleep(*wait)).await;
                }
                Action::WaitForText { text, limit } => {
                    self.machine.while_there(self.until_printed(text, *limit)).await??;
                }
                Action::WaitForChange { limit } => {
                    self.machine.while_there(self.until_changed(before.take(), *limit)).await??;
                }
            }
        }
        Ok(())
    }

    /// Takes the hands off the keyboard. How many keys were typed at a guest that did not read them: some
    /// may be lost.
    pub async fn finish(self) -> usize {
        self.keyboard.finish().await
    }

    async fn until_printed(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let shown = GoDuration::from(limit);
        self.ui.say(format!("Waiting for `{text}` on the serial console, at most {shown}..."));
        let console = self.machine.console();
        if tokio::time::timeout(limit, console.printed(text)).await.is_ok() {
            return Ok(());
        }
        match console.last_lines(1).pop() {
            Some(line) => bail!(
                "the machine did not print `{text}` on its serial console within {shown}; its last \
                 line there: {line}"
            ),
            None => bail!(
                "the machine did not print `{text}` on its serial console within {shown}; it has \
                 printed nothing there"
            ),
        }
    }

    async fn until_changed(&self, before: Option<Frame>, limit: Duration) -> anyhow::Result<()> {
        let shown = GoDuration::from(limit);
        self.ui.say(format!("Waiting for a change on the screen, at most {shown}..."));
        let before = match before {
            Some(before) => before,
            None => self.machine.frame().await?,
        };
        let changed = async {
            while !self.machine.frame().await?.differs_from(&before) {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        let in_time = tokio::time::timeout(limit, changed).await;
        in_time.with_context(|| format!("the screen did not change within {shown}")).flatten()
    }
}
