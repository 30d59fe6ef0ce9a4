//! How the program ends.

use std::process::ExitCode;

/// The exit codes. Scripts rely on them: a code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done; also help, and warnings without an error.
    Success = 0,
    /// Anything failed: bad arguments, a template that cannot be used, a build that failed or was
    /// interrupted.
    Failure = 1,
    /// `fmt -check`: at least one file would change.
    WouldFormat = 3,
    /// The builds ended, but something that they made could not be removed; it is listed.
    LeftBehind = 4,
    /// No command was given, or one that does not exist.
    NoCommand = 127,
    /// A second interruption ended the program before everything was removed.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
