//! The inputs about images and channels, and which command takes which input.

use super::{Command, Reader, Texts};
use crate::config::GoDuration;

/// Which image and channel are meant, and what goes.
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
    /// Where; what the release says, or the step's own region, if none is given.
    pub regions: Vec<String>,
    /// What the names of the parameters of channels begin with.
    pub prefix: Option<String>,
    /// The release that a channel goes back to.
    pub release: Option<String>,
    /// Whether AMIs are promoted, too, that have passed no test.
    pub untested: bool,
    /// Whether AMIs go, too, that are shared with other accounts.
    pub shared: bool,
}

/// The inputs that only some commands take, with these; and those of them that need it.
const TAKEN: &[(&str, &[Command], &[Command])] = {
    use Command::{
        Build, Channels, Cleanup, History, Merge, Promote, Publish, Reap, Retire, Rollback, Test,
        Validate,
    };
    &[
        ("image", &[], &[Publish, Promote, Rollback, Retire, Channels, Test]),
        ("channel", &[], &[Publish, Promote, Rollback]),
        ("from-channel", &[], &[Promote]),
        ("artifact", &[Publish], &[]),
        ("keep", &[Retire], &[]),
        ("older-than", &[Retire], &[Reap]),
        ("grace", &[Retire], &[]),
        ("regions", &[Publish, Promote, Rollback, Retire, Channels, Reap], &[]),
        ("prefix", &[Publish, Promote, Rollback, Retire, Channels, History], &[]),
        ("release", &[Rollback], &[]),
        ("untested", &[Promote], &[]),
        ("shared", &[Retire], &[]),
        ("parallel", &[Build], &[]),
        ("timeout", &[Build, Test], &[]),
        ("skip-unchanged", &[Build], &[]),
        ("max-age", &[Build], &[]),
        ("explain-changes", &[Build], &[]),
        ("sbom", &[Build], &[]),
        ("report", &[Build], &[]),
        ("keep-failed", &[Build], &[]),
        ("checkpoints", &[Build], &[]),
        ("upload", &[Build, Merge], &[]),
        ("force", &[Build], &[]),
        ("lint", &[Validate], &[]),
        ("delete-kept", &[Cleanup], &[]),
        ("manifests", &[History], &[Merge]),
        ("matrix", &[Merge], &[]),
    ]
};

/// The text of an input, if it says anything: `false` is what a switch says anyway.
pub(super) fn said(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.eq_ignore_ascii_case("false")).then_some(text)
}

impl Reader {
    /// None is read and then ignored.
    fn check_taken(&mut self, command: Command) {
        for (name, takes, needs) in TAKEN {
            let is_given = self.given.contains(*name);
            if needs.contains(&command) && !is_given {
                self.refuse(name, format!("say it for `command: {command}`"));
            } else if is_given && !takes.contains(&command) && !needs.contains(&command) {
                self.refuse(name, format!("it is not for `command: {command}`"));
            }
        }
    }

    pub(super) fn channel(
        &mut self,
        command: Option<Command>,
        texts: &Texts,
    ) -> Option<ChannelInputs> {
        self.check_taken(command?);
        let text = |text: &Option<String>| text.as_deref().and_then(said).map(str::to_owned);
        Some(ChannelInputs {
            image: text(&texts.image).unwrap_or_default(),
            channel: text(&texts.channel).unwrap_or_default(),
            from: text(&texts.from_channel).unwrap_or_default(),
            artifact: text(&texts.artifact),
            keep: self.number("keep", texts.keep.as_deref()),
            older_than: self.age("older-than", texts.older_than.as_deref()),
            grace: self.age("grace", texts.grace.as_deref()),
            regions: super::list(texts.regions.as_deref()),
            prefix: text(&texts.prefix),
            release: text(&texts.release),
            untested: self.boolean("untested", texts.untested.as_deref()),
            shared: self.boolean("shared", texts.shared.as_deref()),
        })
    }
}
