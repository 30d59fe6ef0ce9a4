//! The program `vagrant`: called for one directory, and its answers read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use regex::Regex;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::env::Environment;
use crate::event::Ui;
use crate::guest::{Capture, harmless};
use crate::peer::Allowance;
use crate::script::child::{self, Input};

/// Answers are some lines; Ruby takes its time for them.
const ANSWER: Allowance =
    Allowance::new("the answer of `vagrant`", 1 << 20, Duration::from_secs(300));

/// The oldest version that takes the arguments that it is given here.
const OLDEST: [u64; 3] = [2, 0, 2];

/// The program, working in one directory.
#[derive(Clone, Debug)]
pub struct Program {
    environment: Arc<Environment>,
    directory: PathBuf,
}

/// How a machine is reached, as `vagrant ssh-config` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshConfig {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub key_file: Option<PathBuf>,
}

impl Program {
    pub fn new(environment: &Arc<Environment>, directory: &Path) -> Self {
        Self { environment: environment.clone(), directory: directory.to_owned() }
    }

    /// The directory whose machines it works on.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("vagrant");
        command.args(arguments).env_clear().envs(self.environment.vars());
        command.env("VAGRANT_CWD", &self.directory).current_dir(&self.environment.cwd);
        command
    }

    /// Runs it, and shows what it prints.
    pub async fn run(
        &self,
        arguments: &[&str],
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        self.run_command(self.command(arguments), arguments, ui, cancel).await
    }

    /// The same, started in its directory: that is where the plugin for libvirt leaves a new box.
    pub async fn run_inside(
        &self,
        arguments: &[&str],
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut command = self.command(arguments);
        command.current_dir(&self.directory);
        self.run_command(command, arguments, ui, cancel).await
    }

    async fn run_command(
        &self,
        command: Command,
        arguments: &[&str],
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        let ended = child::run(command, ui, cancel).await.context("cannot run `vagrant`")?;
        ensure!(ended.success(), "`vagrant {}` failed: {ended}", arguments.join(" "));
        Ok(())
    }

    /// What it prints, if it ends well.
    async fn answer(
        &self,
        arguments: &[&str],
        cancel: &CancellationToken,
    ) -> anyhow::Result<String> {
        let mut printed = Capture::default();
        let command = self.command(arguments);
        let run = child::run_into(command, Input::Nothing, &mut printed, cancel);
        let ended = ANSWER.in_time(run).await?.context("cannot run `vagrant`")?;
        ANSWER.check(printed.printed())?;
        if !ended.success() {
            let said = harmless(&printed.stderr);
            bail!("`vagrant {}` failed: {}", arguments.join(" "), said.trim());
        }
        Ok(harmless(&printed.stdout))
    }

    /// Refuses a program that is too old.
    pub async fn check_version(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let said = self.answer(&["--version"], cancel).await?;
        let version = version(&said);
        let version = version.with_context(|| format!("`vagrant --version` says {said:?}"))?;
        let [major, minor, patch] = OLDEST;
        ensure!(
            version >= OLDEST,
            "installed Vagrant version must be >={major}.{minor}.{patch}: {}",
            said.trim()
        );
        Ok(())
    }

    /// How `machine` is reached.
    pub async fn ssh_config(
        &self,
        machine: &str,
        cancel: &CancellationToken,
    ) -> anyhow::Result<SshConfig> {
        let said = self.answer(&["ssh-config", machine], cancel).await?;
        ssh_config(&said).with_context(|| format!("`vagrant ssh-config {machine}`"))
    }

    /// In which state `machine` is, in one word: `running`, `not_created`, …
    pub async fn state(&self, machine: &str, cancel: &CancellationToken) -> anyhow::Result<String> {
        let said = self.answer(&["status", machine, "--machine-readable"], cancel).await?;
        let state = said.lines().find_map(|line| {
            let fields: Vec<&str> = line.trim().split(',').collect();
            matches!(fields.as_slice(), [_, _, "state", _]).then(|| fields[3].to_owned())
        });
        state.with_context(|| format!("`vagrant status {machine}` names no state"))
    }
}

/// The first version number in `text`.
fn version(text: &str) -> Option<[u64; 3]> {
    let found = Regex::new(r"(\d+)\.(\d+)(?:\.(\d+))?").ok()?.captures(text)?;
    let number = |at: usize| found.get(at).map_or(Some(0), |text| text.as_str().parse().ok());
    Some([number(1)?, number(2)?, number(3)?])
}

/// What the lines of an SSH configuration say; of several keys the last.
fn ssh_config(text: &str) -> anyhow::Result<SshConfig> {
    let value = |wanted: &str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
        let mut values = lines.filter(|(name, _)| *name == wanted).map(|(_, value)| value.trim());
        values.next_back().filter(|value| !value.is_empty())
    };
    let port = value("Port").context("it names no port")?;
    Ok(SshConfig {
        host: value("HostName").context("it names no host")?.to_owned(),
        port: port.parse().with_context(|| format!("{port:?} is no port"))?,
        user: value("User").context("it names no user")?.to_owned(),
        key_file: value("IdentityFile").map(|path| PathBuf::from(path.trim_matches('"'))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_the_program_are_read() {
        assert_eq!(version("Vagrant 2.3.4\n"), Some([2, 3, 4]));
        assert_eq!(version("Installed Version: 2.2\n"), Some([2, 2, 0]));
        assert_eq!(version("what?"), None);
        let text = "Host source\n  HostName 127.0.0.1\n  User vagrant\n  Port 2222\n\
                    \x20 UserKnownHostsFile /dev/null\n  IdentityFile \"/a b/private_key\"\n";
        let wanted = SshConfig {
            host: "127.0.0.1".into(),
            port: 2222,
            user: "vagrant".into(),
            key_file: Some("/a b/private_key".into()),
        };
        assert_eq!(ssh_config(text).unwrap(), wanted);
        for missing in ["HostName", "User", "Port"] {
            let text = text.replace(&format!("  {missing} "), "  X ");
            assert!(ssh_config(&text).is_err(), "{missing}");
        }
    }
}
