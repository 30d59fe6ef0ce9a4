//! `imgbake explain`: what a diagnostic's code, a component, an option or a function is.

use clap::Args;

use super::answer::{self, Format};
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

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let Some(topic) = &arguments.topic else {
        let Session { registry, environment, .. } = session;
        let contents = explain::contents(Known { registry, environment });
        return answer::write(ui, arguments.format, &contents, || {
            explain::contents_text(&contents)
        });
    };
    let Session { registry, environment, .. } = session;
    let component = topic.split('.').next().unwrap_or(topic);
    let registry = &registry.with_installed(component, environment);
    match explain::find(topic, Known { registry, environment }) {
        Ok(pages) => answer::write(ui, arguments.format, &pages, || {
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
