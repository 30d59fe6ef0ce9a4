//! Which shell a machine of Windows gives to whoever logs in: `cmd`, unless its owner has chosen another
//! (`DefaultShell`). What we say is for `cmd`, and each of the others would change it first: `$name` is a
//! variable to PowerShell, and its version 5 does not know `&&`.

use super::Ssh;
use crate::component::Command;
use crate::guest::Capture;
use crate::guest::shell::{encoded_powershell, powershell_variables};
use crate::peer::Allowance;

/// `cmd` replaces `%OS%`, PowerShell `$PSHOME`, and a POSIX shell leaves nothing of that.
const QUESTION: &str = "echo imgbake-shell=$PSHOME=%OS%";

/// What the answer to [`QUESTION`] may be, whatever a profile prints before it included.
const ANSWER: Allowance = Allowance::new(
    "the answer to which shell there is",
    64 * 1024,
    std::time::Duration::from_secs(60),
);

/// Runs `$command` in `cmd`, with our streams, and ends with its status. PowerShell itself would put quotes
/// where it thinks that they are needed.
const IN_CMD: &str = "$start = New-Object Diagnostics.ProcessStartInfo
$start.FileName = $env:ComSpec
$start.Arguments = '/d /s /c \"' + $command + '\"'
$start.UseShellExecute = $false
$process = [Diagnostics.Process]::Start($start)
$process.WaitForExit()
exit $process.ExitCode
";

/// The shell that takes our lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginShell {
    Cmd,
    /// PowerShell, or a POSIX shell: what goes to `cmd` through it must have nothing that it reads itself.
    Other,
}

/// Asks the machine.
pub(super) async fn ask(ssh: &Ssh) -> anyhow::Result<LoginShell> {
    let mut said = Capture::default();
    let asked = super::exec::run_line(ssh, QUESTION.to_owned(), None, &mut said);
    ANSWER.in_time(asked).await??;
    ANSWER.check(said.printed())?;
    let shell = LoginShell::of(&String::from_utf8_lossy(&said.stdout));
    tracing::info!("commands of {} are read by {shell:?}", ssh.server.host);
    Ok(shell)
}

impl LoginShell {
    fn of(answer: &str) -> Self {
        match answer.split_once("imgbake-shell=") {
            Some((_, answer)) if !answer.starts_with("$PSHOME") => Self::Other,
            _ => Self::Cmd,
        }
    }

    /// `command` as one line for it. The template's is for what the machine has.
    pub(super) fn line(self, command: Command<'_>) -> String {
        match (command, self) {
            (Command::Template(text), _) => text.to_owned(),
            (Command::Ours(text), Self::Cmd) => format!("cmd /d /c \"{text}\""),
            (Command::Ours(text), Self::Other) => {
                encoded_powershell(&(powershell_variables(&[("command", text)]) + IN_CMD))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_is_known_by_its_answer() {
        for (answer, shell) in [
            ("imgbake-shell=$PSHOME=Windows_NT\r\n", LoginShell::Cmd),
            (
                "imgbake-shell=C:\\Windows\\System32\\WindowsPowerShell\\v1.0=%OS%\r\n",
                LoginShell::Other,
            ),
            ("hello\nimgbake-shell=C:\\Program Files\\PowerShell\\7=%OS%\n", LoginShell::Other),
            ("imgbake-shell==%OS%\n", LoginShell::Other),
            ("", LoginShell::Cmd),
        ] {
            assert_eq!(LoginShell::of(answer), shell, "{answer}");
        }
    }
}
