//! `windows-restart`: restarts the machine and waits until it is there again.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner};
use crate::config::GoDuration;
use crate::guest;
use crate::guest::shell::quote_powershell;
use crate::provisioner::remote::Remote;
use crate::retry;

/// The options of `windows-restart`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestartOptions {
    /// What restarts the machine.
    #[default(r#"shutdown /r /f /t 0 /c "packer restart""#.to_owned())]
    pub restart_command: String,
    /// A command that must run once the machine is back; whatever its status is.
    pub restart_check_command: Option<String>,
    /// For how long the machine is waited for.
    #[default(GoDuration::from_secs(300))]
    pub restart_timeout: GoDuration,
    /// Waits until no key of `registry_keys` is there, too: what installs after a restart sets them.
    pub check_registry: bool,
    /// Keys of the registry that say that another restart is pending.
    #[default(PENDING.map(str::to_owned).to_vec())]
    pub registry_keys: Vec<String>,
}

/// What says that another restart is pending.
const PENDING: [&str; 3] = [
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\PackagesPending",
    r"HKLM:SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootInProgress",
];

/// Says that the machine restarts in a minute, and thereby whether it is restarting already.
const TEST: &str = r#"shutdown /r /f /t 60 /c "packer restart test""#;
/// Takes [`TEST`] back.
const ABORT: &str = "shutdown /a";
/// What [`TEST`] answers while the machine shuts down.
const SHUTTING_DOWN: [u32; 3] = [1115, 1190, 1717];
/// What answers when the machine is back.
const BACK: &str = r#"powershell -NoProfile -NonInteractive -Command "[Console]::Out.WriteLine($env:COMPUTERNAME + ' restarted.')""#;
/// What [`BACK`] prints.
const RESTARTED: &str = "restarted.";
/// Between two looks at a machine that shuts down.
const WHILE_DOWN: Duration = Duration::from_secs(10);
/// Between two looks at a machine that comes back.
const WHILE_STARTING: Duration = Duration::from_secs(5);

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct WindowsRestart(RestartOptions);

impl Component for WindowsRestart {
    const TYPE: &'static str = "windows-restart";
    const ABOUT: &'static str = "Restarts a Windows machine and waits until it is there again.";
    type Options = (RestartOptions,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if options.check_registry && options.registry_keys.is_empty() {
            check.missing("registry_keys", "say which keys must not be there");
        }
        Some(Self(options))
    }
}

#[async_trait]
impl Provisioner for WindowsRestart {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Restarting Machine");
        let remote = Remote::patient(cx, self.0.restart_timeout);
        let own = &self.0.restart_command;
        let command = match *own == RestartOptions::default().restart_command {
            true => Command::Ours(own),
            false => Command::Template(own),
        };
        match remote.run("restart the machine", command).await? {
            Exit::Disconnected | Exit::Status(0 | 1115 | 1190) => {}
            Exit::Status(status) => bail!("`restart_command` exited with status {status}"),
        }
        cx.ui.say("Waiting for machine to restart...");
        let waiting = tokio::time::timeout(self.0.restart_timeout.get(), self.wait(cx));
        let waited = retry::or_cancelled(&cx.cancel, waiting).await?;
        waited.with_context(|| {
            format!("the machine is not back within {} (`restart_timeout`)", self.0.restart_timeout)
        })??;
        cx.ui.say("Machine successfully restarted, moving on");
        Ok(())
    }
}

impl WindowsRestart {
    async fn wait(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        until_down(cx).await;
        if let Some(command) = &self.0.restart_check_command {
            until_shown(cx, command).await;
        }
        while !self.is_back(cx).await {
            tokio::time::sleep(WHILE_STARTING).await;
        }
        Ok(())
    }

    /// Whether the machine has restarted, and does not want to again.
    async fn is_back(&self, cx: &ProvisionContext) -> bool {
        if !printed(cx, BACK).await.is_some_and(|text| text.contains(RESTARTED)) {
            return false;
        }
        if !self.0.check_registry {
            return true;
        }
        for key in &self.0.registry_keys {
            let key = quote_powershell(key);
            let probe = format!(
                r#"powershell -NoProfile -NonInteractive -Command "[Console]::Out.WriteLine((Test-Path {key}))""#
            );
            if !printed(cx, &probe).await.is_some_and(|text| text.contains("False")) {
                return false;
            }
        }
        true
    }
}

/// Runs `command` of the template as soon as the machine takes it, and shows what it prints: it may take its
/// time and have much to say.
async fn until_shown(cx: &ProvisionContext, command: &str) {
    while cx.communicator.run_shown(Command::Template(command), &cx.ui).await.is_err() {
        tokio::time::sleep(WHILE_STARTING).await;
    }
}

/// Runs `command` as soon as the machine takes it, whatever its status is.
async fn until_run(cx: &ProvisionContext, command: Command<'_>) {
    while cx.communicator.run_captured(command).await.is_err() {
        tokio::time::sleep(WHILE_STARTING).await;
    }
}

/// Waits until the machine is down, or is up again already.
async fn until_down(cx: &ProvisionContext) {
    loop {
        match cx.communicator.run_captured(TEST).await {
            Ok((Exit::Status(status), _)) if SHUTTING_DOWN.contains(&status) => {
                tokio::time::sleep(WHILE_DOWN).await;
            }
            Ok((Exit::Status(0), _)) => {
                // It is up; what was to restart it once more is taken back.
                return until_run(cx, Command::Ours(ABORT)).await;
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// What `command` prints, if it runs.
async fn printed(cx: &ProvisionContext, command: &str) -> Option<String> {
    let (_, output) = cx.communicator.run_captured(command).await.ok()?;
    Some(guest::harmless(&output.stdout))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn a_command_that_does_not_restart_is_an_error() {
        let machine = Machine::answering([Answer::Exit(5)]);
        let (cx, _said) = fake::context(machine.clone());
        let restart = fake::prepare::<WindowsRestart>(json!({"restart_command": "x"})).unwrap();
        let error = restart.provision(&cx).await.unwrap_err().to_string();
        assert_eq!(error, "`restart_command` exited with status 5");
        assert_eq!(machine.log(), ["login x"]);
    }
}
