//! Elevated runs: over the network Windows gives a user no more than ordinary rights, so a scheduled
//! task runs the command.

use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::component::{Check, Command, Exit, ProvisionContext, Upload};
use crate::config::Late;
use crate::guest::shell::{Cmd, Shell as _, powershell_variables};
use crate::provisioner::fields::{MachineFields, rendered};
use crate::provisioner::remote::Remote;
use crate::secret::Secret;

/// Who runs commands with all rights of a user of Windows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Elevation {
    /// Runs commands by a scheduled task of this user of Windows, with all of the user's rights.
    pub elevated_user: Option<Late<MachineFields>>,
    /// The user's password; empty for a service account.
    #[schemars(extend("writeOnly" = true))]
    pub elevated_password: Option<Late<MachineFields>>,
}

/// Runs `$command` by a task `$name` of `$user`, shows what it prints and ends with its status.
const SCRIPT: &str = include_str!("elevated.ps1");

impl Elevation {
    /// Reports a password without its user.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let password = self.elevated_password.as_ref().map_or("", Late::raw);
        if !password.is_empty() && !self.is_wanted() {
            check.missing("elevated_user", "say whose password `elevated_password` is");
        }
    }

    /// Whether commands run elevated.
    pub(super) fn is_wanted(&self) -> bool {
        self.elevated_user.as_ref().is_some_and(|user| !user.raw().is_empty())
    }

    /// Runs `command`: elevated if that is wanted, else as the user who is logged in.
    pub(super) async fn run(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        command: Command<'_>,
    ) -> anyhow::Result<Exit> {
        let Some(user) = self.elevated_user.as_ref().filter(|_| self.is_wanted()) else {
            return remote.run("start it", command).await;
        };
        let user = rendered(cx, "elevated_user", user)?;
        let password = self.elevated_password.as_ref();
        let password = password.map(|text| rendered(cx, "elevated_password", text)).transpose()?;
        let password = password.unwrap_or_default();
        cx.redactor.register(&password);
        run_as(remote, &user, &Secret::new(password), command.text()).await
    }
}

/// Runs `command` by a task of `user`. The password is in a file that only goes to the machine, and
/// is removed there.
async fn run_as(
    remote: &Remote<'_>,
    user: &str,
    password: &Secret,
    command: &str,
) -> anyhow::Result<Exit> {
    let id = Uuid::new_v4();
    let path = format!("{}/packer-elevated-shell-{id}.ps1", Cmd.temporary_directory());
    let name = format!("packer-{id}");
    let values = [
        ("name", name.as_str()),
        ("user", user),
        ("password", password.expose()),
        ("command", command),
    ];
    let text = format!("\u{feff}{}{SCRIPT}", powershell_variables(&values));
    let from = Upload::Text { content: text.as_bytes(), mode: 0o600 };
    let run = async {
        remote.upload("upload the elevated run", from, &path).await?;
        let line = format!("powershell -executionpolicy bypass -file \"{path}\"");
        remote.run("start the elevated run", Command::Ours(&line)).await
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
    match run {
        Ok(Exit::Status(_)) => remote.clean_up_for_good(&removal).await,
        // Nobody waits for a machine that has gone: the run's end says so.
        _ => remote.clean_up_once(&removal).await,
    }
    run
}
