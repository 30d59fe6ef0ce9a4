//! What a channel says in a region, and said.

use jiff::Timestamp;

use crate::aws::parameter::{self, Version};
use crate::channel::note::Note;
use crate::channel::{Channels, Region};

/// An AMI in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The AMI.
    pub ami: String,
    /// When it came.
    pub at: Option<Timestamp>,
    /// Who brought it: an ARN.
    pub who: String,
    /// What else is known.
    pub note: Note,
}

impl From<Version> for Release {
    fn from(version: Version) -> Self {
        let note = Note::parse(&version.description);
        Self { ami: version.value, at: version.at, who: version.by, note }
    }
}

impl Release {
    /// In words, for people.
    pub fn words(&self) -> String {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        let Self { ami, who, note, .. } = self;
        format!("{ami}  {at}  {}  {} ({who})", note.release, note.words())
    }
}

/// All that `channel` said in `region`, the newest last; nothing, if there is no such channel.
///
/// # Errors
/// If Systems Manager cannot be asked.
pub async fn history(
    region: &Region,
    channels: &Channels,
    channel: &str,
) -> anyhow::Result<Vec<Release>> {
    let name = channels.parameter(channel)?;
    let versions = parameter::history(&region.ssm(), &name).await?;
    Ok(versions.into_iter().map(Release::from).collect())
}

/// The release before the one that a channel has now: with another AMI.
pub fn before(history: &[Release]) -> Option<&Release> {
    let (now, earlier) = history.split_last()?;
    earlier.iter().rev().find(|release| release.ami != now.ami)
}

/// The channels of an image in `region`.
///
/// # Errors
/// If Systems Manager cannot be asked.
pub async fn all(region: &Region, channels: &Channels) -> anyhow::Result<Vec<String>> {
    let found = parameter::below(&region.ssm(), &channels.path()).await?;
    let own = found.iter().filter_map(|(name, _)| channels.channel(name));
    Ok(own.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_before_has_another_ami() {
        let release = |ami: &str| Release {
            ami: ami.to_owned(),
            at: None,
            who: String::new(),
            note: Note::default(),
        };
        let all = ["ami-1", "ami-2", "ami-2"].map(release);
        assert_eq!(before(&all).map(|one| one.ami.as_str()), Some("ami-1"));
        assert_eq!(before(&all[..1]), None);
        assert_eq!(before(&[]), None);
    }
}
