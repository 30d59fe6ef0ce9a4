//! Elevated runs: over the network Windows gives a user no more than ordinary rights, so a scheduled
//! task runs the command.

use uuid::Uuid;

use crate::component::{Command, Exit, Upload};
use crate::guest::shell::{Cmd, Shell as _, powershell_variables};
use crate::provisioner::remote::Remote;
use crate::secret::Secret;

/// Runs `$command` by a task `$name` of `$user`, shows what it prints and ends with its status.
const SCRIPT: &str = include_str!("elevated.ps1");

/// A command with all of a user's rights.
pub(super) struct Elevated<'a> {
    pub(super) user: &'a str,
    /// Empty for a service account.
    pub(super) password: &'a Secret,
    pub(super) command: &'a str,
}

impl Elevated<'_> {
    /// Runs it. The password is in a file that only goes to the machine, and is removed there.
    pub(super) async fn run(self, remote: &Remote<'_>) -> anyhow::Result<Exit> {
        let id = Uuid::new_v4();
        let path = format!("{}/packer-elevated-shell-{id}.ps1", Cmd.temporary_directory());
        let name = format!("packer-{id}");
        let values = [
            ("name", name.as_str()),
            ("user", self.user),
            ("password", self.password.expose()),
            ("command", self.command),
        ];
        let text = format!("\u{feff}{}{SCRIPT}", powershell_variables(&values));
        let from = Upload::Text { content: text.as_bytes(), mode: 0o600 };
        let run = async {
            remote.upload("upload the elevated run", from, &path).await?;
            let line = format!("powershell -executionpolicy bypass -file \"{path}\"");
            remote.run("start the elevated run", Command::Template(&line)).await
        };
        let run = run.await;
        let mut removal = Cmd.remove_files(&[&path]);
        if run.is_err() {
            // The script was ended before it could take the task away.
            let log = Cmd.remove_files(&[&format!("{}/{name}.out", Cmd.temporary_directory())]);
            removal = format!(
                "schtasks /end /tn {name} >nul 2>nul & \
                 schtasks /delete /f /tn {name} >nul 2>nul & {removal} & {log}"
            );
        }
        remote.clean_up(&removal).await;
        run
    }
}
