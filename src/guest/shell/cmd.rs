//! Windows' `cmd`.

use std::borrow::Cow;

use super::Shell;

/// `cmd.exe`, which reads one line.
#[derive(Clone, Copy, Debug)]
pub struct Cmd;

impl Shell for Cmd {
    /// In quotes, in which `cmd` still replaces `%NAME%`: it has no way to keep that from happening
    /// on a command line.
    fn word<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    }

    /// With backslashes: what follows a slash is an option to `cmd`'s own commands.
    fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        Cow::Owned(format!("\"{}\"", path.replace('/', "\\").replace('"', "")))
    }

    fn temporary_directory(&self) -> &'static str {
        "c:/Windows/Temp"
    }

    fn ends_as_directory(&self, path: &str) -> bool {
        path.ends_with(['/', '\\'])
    }

    fn make_directories(&self, paths: &[&str]) -> String {
        let make = |path: &&str| format!("if not exist {0} mkdir {0}", self.path(path));
        self.one_by_one(&paths.iter().map(make).collect::<Vec<_>>())
    }

    fn is_directory(&self, path: &str) -> String {
        let inside = format!("{}/", path.trim_end_matches(['/', '\\']));
        format!("if not exist {} exit 1", self.path(&inside))
    }

    fn remove_files(&self, paths: &[&str]) -> String {
        format!("del /f /q {} 2>nul", self.paths(paths))
    }

    fn remove_directory(&self, path: &str) -> String {
        format!("if exist {0} rmdir /s /q {0}", self.path(path))
    }

    fn move_to(&self, from: &str, to: &str) -> String {
        format!("move /y {} >nul", self.paths(&[from, to]))
    }

    /// Each in parentheses: what follows an `if` up to the end of the line belongs to it.
    fn one_by_one(&self, commands: &[String]) -> String {
        match commands {
            [one] => one.clone(),
            all => all.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" & "),
        }
    }

    fn in_directory(&self, path: &str, command: &str) -> String {
        format!("cd /d {} && {command}", self.path(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_backslashes_and_quotes() {
        assert_eq!(Cmd.path("c:/Windows/Temp/a b"), r#""c:\Windows\Temp\a b""#);
        assert_eq!(Cmd.remove_files(&["c:/a", r"c:\b"]), r#"del /f /q "c:\a" "c:\b" 2>nul"#);
        assert_eq!(Cmd.is_directory("c:/a/"), r#"if not exist "c:\a\" exit 1"#);
        let two = r#"(if not exist "c:\a" mkdir "c:\a") & (if not exist "c:\b" mkdir "c:\b")"#;
        assert_eq!(Cmd.make_directories(&["c:/a", "c:/b"]), two);
        assert!(Cmd.ends_as_directory(r"c:\a\") && !Cmd.ends_as_directory("c:/a"));
    }
}
