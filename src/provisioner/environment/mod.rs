//! A command with variables of its own, in a file of the machine: all users of a machine see the
//! command lines of its processes, and not every shell can say every value.
//!
//! The file removes itself as soon as the shell has read it: it may have secrets in it, and nobody may
//! be there at the end.

use std::collections::BTreeMap;

use crate::guest::shell::{Posix, Shell as _, in_quotes, powershell_variables};

/// Runs `$command` in `cmd` and ends with its status.
const RUN: &str = include_str!("run.ps1");

/// The text of the file `path`, and the command line that runs it.
pub(super) fn posix(
    path: &str,
    command: &str,
    variables: &BTreeMap<String, String>,
) -> (String, String) {
    let export =
        |(name, value): (&String, &String)| format!("export {name}={}\n", in_quotes(value));
    let exports: String = variables.iter().map(export).collect();
    let text = format!("{}\n{exports}{command}\n", Posix.remove_files(&[path]));
    (text, format!(". {}", Posix.path(path)))
}

/// The same for `cmd` of Windows.
pub(super) fn windows(
    path: &str,
    command: &str,
    variables: &BTreeMap<String, String>,
) -> (String, String) {
    let names: Vec<_> = variables.keys().map(|name| format!("env:{name}")).collect();
    let mut values: Vec<_> =
        names.iter().map(String::as_str).zip(variables.values().map(String::as_str)).collect();
    values.push(("command", command));
    let text = format!("\u{feff}{}{RUN}", powershell_variables(&values));
    let line =
        format!("powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File \"{path}\"");
    (text, line)
}

/// Whether `cmd` can set a variable to `value` in its command line, and changes nothing of it.
pub(super) fn cmd_can_say(value: &str) -> bool {
    !value.contains(|c: char| c.is_control() || "%\"!^".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_runs_the_command_with_its_variables_and_removes_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it's a file");
        let value = "a'b \"$HOME\" `id` !%\n\\ 🦀";
        let variables = BTreeMap::from([("ODD".to_owned(), value.to_owned())]);
        let (text, line) =
            posix(&path.display().to_string(), "printf %s \"$ODD\"; exit 3", &variables);
        std::fs::write(&path, text).unwrap();
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        assert_eq!(output.status.code(), Some(3));
        assert!(!path.exists());
    }
}
