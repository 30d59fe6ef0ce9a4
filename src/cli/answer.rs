//! What a command was asked for, written for people or for programs.

use clap::ValueEnum;

use super::Exit;
use crate::event::Ui;

/// The words of `-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// Writes `value`; people read `text` instead.
pub fn write(
    ui: &Ui,
    format: Format,
    value: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> Exit {
    match format {
        Format::Human => ui.say(text()),
        Format::Json => match serde_json::to_string_pretty(value) {
            Ok(json) => ui.say(json),
            Err(error) => {
                ui.error(format!("the answer cannot be written as JSON: {error}"));
                return Exit::Failure;
            }
        },
    }
    Exit::Success
}
