//! `imgbake completion`: what a shell needs to complete the words of a command line.
//!
//! The scripts ask the program itself, with what was typed, so that they offer what it really
//! takes. Those that clap can generate know only flags with two dashes; ours have one.

pub mod candidates;
pub mod install;

use clap::{Args, ValueEnum};

use super::Exit;
use crate::event::{Message, Ui};

/// `imgbake completion SHELL`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The shell that the script is for.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(imgbake completion bash)`
    Bash,
    /// `source <(imgbake completion zsh)`
    Zsh,
    /// `imgbake completion fish | source`
    Fish,
}

impl Shell {
    fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completion/imgbake.bash"),
            Self::Zsh => include_str!("completion/imgbake.zsh"),
            Self::Fish => include_str!("completion/imgbake.fish"),
        }
    }
}

pub(super) fn run(ui: &Ui, arguments: &Arguments) -> Exit {
    ui.send(Message::Text(arguments.shell.script().to_owned()));
    Exit::Success
}
