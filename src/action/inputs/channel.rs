//! The inputs about channels.

use super::{Command, Reader, Texts};
use crate::config::GoDuration;

/// Which channel is changed, or whose old AMIs go.
#[derive(Clone, Debug, Default)]
pub struct ChannelInputs {
    /// The image.
    pub image: String,
    /// The channel that changes.
    pub channel: String,
    /// The channel whose AMIs are promoted.
    pub from: String,
    /// The AMIs that are published; those that the job has built if not given.
    pub artifact: Option<String>,
    /// How many of the newest AMIs stay.
    pub keep: Option<usize>,
    /// Only AMIs go that are older.
    pub older_than: Option<GoDuration>,
    /// How long they are deprecated before.
    pub grace: Option<GoDuration>,
}

/// Which command takes which input; whether it needs it.
const NEEDS: [(&str, Command, bool); 12] = [
    ("image", Command::Publish, true),
    ("image", Command::Promote, true),
    ("image", Command::Rollback, true),
    ("image", Command::Retire, true),
    ("channel", Command::Publish, true),
    ("channel", Command::Promote, true),
    ("channel", Command::Rollback, true),
    ("from-channel", Command::Promote, true),
    ("artifact", Command::Publish, false),
    ("keep", Command::Retire, false),
    ("older-than", Command::Retire, false),
    ("grace", Command::Retire, false),
];

impl Reader {
    pub(super) fn channel(
        &mut self,
        command: Option<Command>,
        texts: &Texts,
    ) -> Option<ChannelInputs> {
        let given = [
            ("image", &texts.image),
            ("channel", &texts.channel),
            ("from-channel", &texts.from_channel),
            ("artifact", &texts.artifact),
            ("keep", &texts.keep),
            ("older-than", &texts.older_than),
            ("grace", &texts.grace),
        ];
        let command = command?;
        for (name, text) in given {
            let takes = NEEDS.iter().find(|(input, of, _)| *input == name && *of == command);
            match (takes, text) {
                (Some((_, _, true)), None) => {
                    self.refuse(name, format!("say it for `command: {command}`"));
                }
                (None, Some(_)) => {
                    self.refuse(name, format!("it is not for `command: {command}`"));
                }
                _ => {}
            }
        }
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
        let artifact = texts.artifact.as_ref().map(|_| text(&texts.artifact));
        let inputs = ChannelInputs {
            image: text(&texts.image),
            channel: text(&texts.channel),
            from: text(&texts.from_channel),
            artifact,
            keep: self.number("keep", texts.keep.as_deref()),
            older_than: self.age("older-than", texts.older_than.as_deref()),
            grace: self.age("grace", texts.grace.as_deref()),
        };
        NEEDS.iter().any(|(_, of, _)| *of == command).then_some(inputs)
    }
}
