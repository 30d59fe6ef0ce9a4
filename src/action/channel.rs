//! `command: publish`, `promote`, `rollback`, `retire`: where users find an image.

use super::inputs::{ChannelInputs, Command};
use super::{Action, manifest};
use crate::cli::Exit;
use crate::cli::channel::{self, ImageArguments, PREFIX, Promote, Publish, Retire, Rollback};
use crate::event::Ui;

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let ChannelInputs { image, channel, from, artifact, keep, older_than, grace } =
        action.inputs.channel.clone().unwrap_or_default();
    // The region is in the environment.
    let prefix = PREFIX.to_owned();
    let image = ImageArguments { image, prefix, region: Vec::new(), iam_policy: false };
    let session = &action.session;
    match action.inputs.command {
        Command::Publish => {
            let artifact = artifact.unwrap_or_else(|| manifest::FILE.to_owned());
            let build = action.inputs.only.first().cloned();
            let arguments = Publish { image, channel, build, commit: None, artifact };
            channel::publish(session, ui, &arguments)
        }
        Command::Promote => {
            let arguments = Promote { image, from, to: channel, untested: false };
            channel::promote(session, ui, &arguments)
        }
        Command::Rollback => {
            channel::rollback(session, ui, &Rollback { image, channel, release: None })
        }
        Command::Retire => {
            let (dry_run, state_dir) = (action.inputs.dry_run, action.state_dir.clone());
            let arguments =
                Retire { image, keep, older_than, grace, shared: false, dry_run, state_dir };
            channel::retire(session, ui, &arguments)
        }
        // The others do something else.
        _ => Exit::Failure,
    }
}
