//! `imgbake build`.

use clap::{Args, ValueEnum};

use super::front::TemplateArguments;
use super::{Exit, Session};
use crate::component::OnError;

/// `imgbake build [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Colours on a terminal.
    #[arg(long, default_value_t = true)]
    pub color: bool,
    /// One build at a time, waiting for Enter after each step and before each cleanup.
    #[arg(long)]
    pub debug: bool,
    /// Removes what stands in the way of the new artifact.
    #[arg(long)]
    pub force: bool,
    /// What happens to a build's machine when a step fails.
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnErrorFlag,
    /// How many builds run at a time; below 1: all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub parallel_builds: i64,
    /// The time in front of every line.
    #[arg(long)]
    pub timestamp_ui: bool,
    /// Warns of variables that a var file sets and nothing declares.
    #[arg(long)]
    pub warn_on_undeclared_var: bool,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// The words of `-on-error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnErrorFlag {
    /// Undo every step.
    #[default]
    Cleanup,
    /// Leave everything as it is.
    Abort,
    /// Ask at the terminal.
    Ask,
    /// Leave everything, but run the error-cleanup provisioner.
    RunCleanupProvisioner,
}

impl From<OnErrorFlag> for OnError {
    fn from(flag: OnErrorFlag) -> Self {
        match flag {
            OnErrorFlag::Cleanup => Self::Cleanup,
            OnErrorFlag::Abort => Self::Abort,
            OnErrorFlag::Ask => Self::Ask,
            OnErrorFlag::RunCleanupProvisioner => Self::RunCleanupProvisioner,
        }
    }
}

/// Loads, plans, runs and reports.
pub fn run(session: &Session, arguments: &Arguments) -> Exit {
    let _ = (session, arguments);
    Exit::Failure
}
