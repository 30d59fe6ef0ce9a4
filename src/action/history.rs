//! `command: history`: what was baked from the templates before, as a table in the log.

use super::Action;
use crate::cli::Exit;
use crate::cli::answer::Format;
#[cfg(feature = "aws")]
use crate::cli::channel::PREFIX;
use crate::cli::history;
use crate::event::Ui;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    #[cfg(feature = "aws")]
    let prefix = action.inputs.channel.as_ref().and_then(|inputs| inputs.prefix.clone());
    let mut exit = Exit::Success;
    for pattern in &action.inputs.templates {
        let arguments = history::Arguments {
            format: Format::Human,
            manifest: action.inputs.manifests.clone(),
            #[cfg(feature = "aws")]
            prefix: prefix.clone().unwrap_or_else(|| PREFIX.to_owned()),
            iam_policy: false,
            template: action.template(pattern),
        };
        exit = exit.max(history::run(&action.session, ui, &arguments));
    }
    exit
}
