//! Which shell reads what is sent to a machine. One of Windows gives `cmd` to whoever logs in by SSH, unless
//! its owner has chosen another (`DefaultShell`). What we say is for `cmd`, and each of the others would
//! change it first: `$name` is a variable to PowerShell, and its version 5 does not know `&&`.

use super::{encoded_powershell, powershell_variables};

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
pub enum LoginShell {
    /// Windows' own.
    Cmd,
    /// Of any version.
    PowerShell,
    /// Any of them; on Windows, too.
    Posix,
}

impl LoginShell {
    /// What each shell answers differently: `cmd` replaces `%OS%`, PowerShell `$PSHOME`, and a POSIX shell
    /// leaves nothing of that.
    pub const QUESTION: &str = "echo imgbake-shell=$PSHOME=%OS%";

    /// The one that has answered so to [`QUESTION`](Self::QUESTION); `None` if that is no answer.
    pub fn of(answer: &str) -> Option<Self> {
        let (_, answer) = answer.split_once("imgbake-shell=")?;
        Some(match answer {
            answer if answer.starts_with("$PSHOME=") => Self::Cmd,
            answer if answer.starts_with('=') => Self::Posix,
            _ => Self::PowerShell,
        })
    }

    /// The line for it that has `cmd` run `text`. What goes through another shell has nothing in it that
    /// this one reads itself.
    pub fn line_for_cmd(self, text: &str) -> String {
        match self {
            Self::Cmd => format!("cmd /d /c \"{}\"", kept_from_outer(text)),
            // By itself, it ends with 0 or 1.
            Self::PowerShell => in_cmd(text) + "; exit $LASTEXITCODE",
            Self::Posix => in_cmd(text),
        }
    }
}

fn in_cmd(text: &str) -> String {
    encoded_powershell(&(powershell_variables(&[("command", text)]) + IN_CMD))
}

/// `text` as it stands in quotes in a line for `cmd`: they turn each of its own quoted parts into one
/// without, where `cmd` would act on these signs.
fn kept_from_outer(text: &str) -> String {
    let (mut kept, mut is_quoted) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            '&' | '|' | '<' | '>' | '^' if is_quoted => kept.push('^'),
            _ => {}
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_has_in_quotes_reaches_the_inner_cmd_as_it_is() {
        for (text, line) in [
            ("del \"a\" && dir", "cmd /d /c \"del \"a\" && dir\""),
            ("powershell \"& { 'a' | b }\"", "cmd /d /c \"powershell \"^& { 'a' ^| b }\"\""),
            ("set \"U=a&b^c\" && u.bat", "cmd /d /c \"set \"U=a^&b^^c\" && u.bat\""),
        ] {
            assert_eq!(LoginShell::Cmd.line_for_cmd(text), line);
        }
    }

    #[test]
    fn each_shell_is_known_by_its_answer() {
        let powershell = Some(LoginShell::PowerShell);
        for (answer, shell) in [
            ("imgbake-shell=$PSHOME=Windows_NT\r\n", Some(LoginShell::Cmd)),
            ("imgbake-shell=C:\\Windows\\System32\\WindowsPowerShell\\v1.0=%OS%\r\n", powershell),
            ("hello\nimgbake-shell=C:\\Program Files\\PowerShell\\7=%OS%\n", powershell),
            ("imgbake-shell==%OS%\n", Some(LoginShell::Posix)),
            ("", None),
        ] {
            assert_eq!(LoginShell::of(answer), shell, "{answer}");
        }
        let sh = std::process::Command::new("sh").args(["-c", LoginShell::QUESTION]).output();
        let answer = String::from_utf8(sh.unwrap().stdout).unwrap();
        assert_eq!(LoginShell::of(&answer), Some(LoginShell::Posix), "{answer}");
    }
}
