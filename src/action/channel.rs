//! `command: publish`, `promote`, `rollback`, `retire`, `channels`: where users find an image.

use super::inputs::{ChannelInputs, Command};
use super::{Action, manifest};
use crate::cli::Exit;
use crate::cli::channel::{self, ImageArguments, List, PREFIX, Promote, Publish, Retire, Rollback};
use crate::event::Ui;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let inputs = action.inputs.channel.clone().unwrap_or_default();
    let ChannelInputs { image, channel, from, artifact, keep, older_than, grace, .. } = inputs;
    let prefix = inputs.prefix.unwrap_or_else(|| PREFIX.to_owned());
    let image = ImageArguments { image, prefix, region: inputs.regions, iam_policy: false };
    let session = &action.session;
    match action.inputs.command {
        Command::Publish => {
            let artifact = artifact.unwrap_or_else(|| manifest::FILE.to_owned());
            let build = action.inputs.only.first().cloned();
            let arguments = Publish { image, channel, build, commit: None, artifact };
            channel::publish(session, ui, &arguments)
        }
        Command::Promote => {
            let arguments = Promote { image, from, to: channel, untested: inputs.untested };
            channel::promote(session, ui, &arguments)
        }
        Command::Rollback => {
            let release = inputs.release;
            channel::rollback(session, ui, &Rollback { image, channel, release })
        }
        Command::Retire => {
            let (dry_run, state_dir) = (action.inputs.dry_run, action.state_dir.clone());
            let shared = inputs.shared;
            let arguments = Retire { image, keep, older_than, grace, shared, dry_run, state_dir };
            channel::retire(session, ui, &arguments)
        }
        Command::Channels => channel::list(session, ui, &List { image }),
        // The others do something else.
        _ => Exit::Failure,
    }
}
