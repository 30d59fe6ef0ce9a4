//! `imgbake explain`: what a diagnostic's code, a component, an option or a function is.

use clap::{Args, ValueEnum};

use super::{Exit, Session};
use crate::event::{Message, Ui};
use crate::explain::{self, Known, Unknown};

/// `imgbake explain [flags] [TOPIC]`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// A code (`T201`), a component (`amazon-ebs`), an option (`amazon-ebs.ami_name`) or a function
    /// (`upper`). Without it, everything that can be explained is listed.
    pub topic: Option<String>,
}

/// The words of `-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let Some(topic) = &arguments.topic else {
        let Session { registry, environment, .. } = session;
        let contents = explain::contents(Known { registry, environment });
        return say(ui, arguments.format, &contents, || explain::contents_text(&contents));
    };
    let Session { registry, environment, .. } = session;
    let component = topic.split('.').next().unwrap_or(topic);
    let registry = &registry.knowing(component, environment);
    match explain::find(topic, Known { registry, environment }) {
        Ok(pages) => say(ui, arguments.format, &pages, || {
            pages.iter().map(explain::text).collect::<Vec<_>>().join("\n\n")
        }),
        Err(Unknown { meant }) => {
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`imgbake explain` lists what there is".to_owned(),
            };
            let text = format!("Error: nothing is called `{topic}`: {help}\n");
            ui.send(Message::Diagnostics(text));
            Exit::Failure
        }
    }
}

fn say(
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
