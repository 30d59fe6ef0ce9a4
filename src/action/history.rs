//! `command: history`: what was baked from the templates before, as a table in the log.

use super::{Action, merge, refuse};
use crate::cli::Exit;
use crate::cli::answer::Format;
#[cfg(feature = "aws")]
use crate::cli::channel::PREFIX;
use crate::cli::history;
use crate::event::Ui;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let named = &action.inputs.manifests;
    let manifests = match merge::files(named) {
        Ok(files) if files.is_empty() && !named.is_empty() => Err(vec![merge::no_manifest()]),
        files => files,
    };
    let manifests = match manifests {
        Ok(files) => files,
        Err(wrong) => {
            refuse(ui, &wrong);
            return Exit::Failure;
        }
    };
    #[cfg(feature = "aws")]
    let prefix = action.inputs.channel.as_ref().and_then(|inputs| inputs.prefix.clone());
    let mut exit = Exit::Success;
    for pattern in &action.inputs.templates {
        let arguments = history::Arguments {
            format: Format::Human,
            manifest: manifests.clone(),
            #[cfg(feature = "aws")]
            prefix: prefix.clone().unwrap_or_else(|| PREFIX.to_owned()),
            iam_policy: false,
            template: action.template(pattern),
        };
        exit = exit.max(history::run(&action.session, ui, &arguments));
    }
    exit
}
