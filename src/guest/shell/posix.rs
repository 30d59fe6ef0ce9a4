//! `sh` and its relatives.

use std::borrow::Cow;

use super::Shell;

/// Any shell that reads what POSIX says.
#[derive(Clone, Copy, Debug)]
pub struct Posix;

impl Posix {
    /// Lets everybody run the file `path`.
    pub fn make_executable(self, path: &str) -> String {
        format!("chmod 0755 {}", self.path(path))
    }

    /// Runs `command`, then `after` in any case, and ends with the status of `command`.
    pub fn and_after(self, command: &str, after: &str) -> String {
        format!("{command}; status=$?; {after}; exit $status")
    }
}

impl Shell for Posix {
    fn is_posix(&self) -> bool {
        true
    }

    fn word<'a>(&self, text: &'a str) -> Cow<'a, str> {
        quote(text)
    }

    fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        quote_path(path)
    }

    fn temporary_directory(&self) -> &'static str {
        "/tmp"
    }

    fn ends_as_directory(&self, path: &str) -> bool {
        path.ends_with('/')
    }

    fn make_directories(&self, paths: &[&str]) -> String {
        format!("mkdir -p {}", self.paths(paths))
    }

    fn is_directory(&self, path: &str) -> String {
        format!("test -d {}", self.path(path))
    }

    fn remove_files(&self, paths: &[&str]) -> String {
        format!("rm -f {}", self.paths(paths))
    }

    fn remove_directory(&self, path: &str) -> String {
        format!("rm -rf {}", self.path(path))
    }

    fn move_to(&self, from: &str, to: &str) -> String {
        format!("mv {}", self.paths(&[from, to]))
    }

    fn one_by_one(&self, commands: &[String]) -> String {
        commands.join("; ")
    }

    fn in_directory(&self, path: &str, command: &str) -> String {
        format!("cd {} && {command}", self.path(path))
    }
}

/// `text` as one word that a POSIX shell takes literally; in quotes only where it needs them.
pub fn quote(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(in_quotes(text))
}

/// `text` as one word that a POSIX shell takes literally, always in quotes.
pub fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

/// A path on a machine as one word; a `~/` at its start stays the home directory.
pub fn quote_path(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("~/") {
        Some(rest) if !rest.is_empty() => Cow::Owned(format!("~/{}", quote(rest))),
        _ if path == "~" => Cow::Borrowed(path),
        _ => quote(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_word_stays_one_word() {
        assert_eq!(quote("/tmp/script_1.sh"), "/tmp/script_1.sh");
        assert_eq!(quote_path("~/a b"), "~/'a b'");
        for hostile in ["", "a b", "$(reboot)", "it's;rm -rf /", "-n\n*?"] {
            let script = format!("printf %s {}", quote(hostile));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), hostile);
        }
    }

    #[test]
    fn what_comes_after_a_command_changes_nothing_of_its_end() {
        let script = Posix.and_after("(exit 3)", "echo after");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "after\n");
    }
}
