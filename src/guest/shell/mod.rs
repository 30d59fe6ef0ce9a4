//! The shell of a guest: the language that commands for it are written in.
//!
//! Provisioners ask it how a word is quoted, where temporary files go and how things are removed.
//! They ask no connector: the same shell may be behind several.

mod cmd;
mod login;
mod posix;
mod powershell;

use std::borrow::Cow;
use std::fmt;

pub use cmd::Cmd;
pub use login::LoginShell;
pub use posix::{Posix, in_quotes, quote, quote_path};
pub use powershell::{
    encoded_powershell, escape_powershell, powershell_variables, quote_powershell,
};

/// The language of a machine's commands.
pub trait Shell: fmt::Debug + Send + Sync {
    /// Whether it reads what POSIX says.
    fn is_posix(&self) -> bool {
        false
    }

    /// `text` as one word that is taken literally.
    fn word<'a>(&self, text: &'a str) -> Cow<'a, str>;

    /// The path of a file or a directory as one word.
    fn path<'a>(&self, path: &'a str) -> Cow<'a, str>;

    /// Where files go that nobody needs for long.
    fn temporary_directory(&self) -> &'static str;

    /// Whether a path says by its end that it is a directory.
    fn ends_as_directory(&self, path: &str) -> bool;

    /// Makes directories, with those that they are in. What is there already is left as it is.
    fn make_directories(&self, paths: &[&str]) -> String;

    /// Succeeds if `path` is a directory.
    fn is_directory(&self, path: &str) -> String;

    /// Removes files; one that is not there is no error.
    fn remove_files(&self, paths: &[&str]) -> String;

    /// Removes a directory with all that is in it, if it is there.
    fn remove_directory(&self, path: &str) -> String;

    /// Moves a file or a directory to a place where nothing is.
    fn move_to(&self, from: &str, to: &str) -> String;

    /// Runs all `commands`, whatever becomes of each.
    fn one_by_one(&self, commands: &[String]) -> String;

    /// Runs `command` in the directory `path`.
    fn in_directory(&self, path: &str, command: &str) -> String;

    /// All `paths`, each as one word, with spaces between.
    fn paths(&self, paths: &[&str]) -> String {
        paths.iter().map(|path| self.path(path)).collect::<Vec<_>>().join(" ")
    }
}
