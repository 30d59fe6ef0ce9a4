//! What a channel says in a region, and said.

use jiff::Timestamp;

use crate::aws::parameter::{self, Version};
use crate::channel::note::{Note, PUT_BACK, ROLLED_BACK};
use crate::channel::{Channels, Region};

/// An AMI in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The AMI; empty if somebody has written something else, which may be a secret.
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
        let ami = Some(version.value).filter(|value| amis_in(value).any(|ami| ami == value));
        Self { ami: ami.unwrap_or_default(), at: version.at, who: version.by, note }
    }
}

impl Release {
    /// In one line, for people. Anybody may have written it.
    pub fn words(&self) -> String {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        let Self { ami, who, note, .. } = self;
        let ami = if ami.is_empty() { "(no AMI)" } else { ami };
        let words = format!("{ami}  {at}  {}  {} ({who})", note.release, note.words());
        words.replace(char::is_control, " ")
    }
}

/// The ids of AMIs in what a parameter says: an id, a list of them, or JSON.
pub fn amis_in(value: &str) -> impl Iterator<Item = &str> {
    let words = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.strip_prefix("ami-").is_some_and(|id| !id.is_empty()))
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

/// What a channel said in `history` that came to stay: without what failed in another region, and was put
/// back.
fn settled(history: &[Release]) -> Vec<&Release> {
    let mut settled: Vec<&Release> = Vec::new();
    for release in history {
        if release.note.by == PUT_BACK {
            settled.pop();
            if settled.last().is_some_and(|before| before.ami == release.ami) {
                continue;
            }
        }
        settled.push(release);
    }
    settled
}

/// The release that a channel goes back to from the one that it has now. One that was rolled back to lies
/// where it came first: the next rollback goes on from there, and not forward again.
pub fn before(history: &[Release]) -> Option<&Release> {
    let mut line: Vec<&Release> = Vec::new();
    for release in settled(history) {
        let earlier = line.iter().rposition(|one| one.ami == release.ami);
        match earlier {
            Some(at) if release.note.by == ROLLED_BACK => line.truncate(at + 1),
            Some(at) if at + 1 == line.len() => line[at] = release,
            _ => line.push(release),
        }
    }
    line.pop();
    line.into_iter().rev().find(|release| !release.ami.is_empty())
}

/// The release `name` in `history`, as it was last.
pub fn named<'a>(history: &'a [Release], name: &str) -> Option<&'a Release> {
    let is_it = |release: &&Release| release.note.release == name && !release.ami.is_empty();
    settled(history).into_iter().rev().find(is_it)
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

    /// A history of AMIs, each with what brought it.
    fn history_of(all: &[(&str, &str)]) -> Vec<Release> {
        let release = |(ami, by): &(&str, &str)| {
            let note =
                Note { release: format!("r-{ami}"), by: (*by).to_owned(), ..Note::default() };
            Release { ami: (*ami).to_owned(), at: None, who: String::new(), note }
        };
        all.iter().map(release).collect()
    }

    #[track_caller]
    fn goes_back(all: &[(&str, &str)], to: Option<&str>) {
        let history = history_of(all);
        assert_eq!(before(&history).map(|one| one.ami.as_str()), to, "{all:?}");
    }

    #[test]
    fn a_channel_goes_back_along_its_releases() {
        goes_back(&[], None);
        goes_back(&[("1", "published")], None);
        goes_back(&[("1", "published"), ("2", "published"), ("2", "published")], Some("1"));
        let mut all = vec![("1", "published"), ("2", "published"), ("3", "published")];
        goes_back(&all, Some("2"));
        all.push(("2", ROLLED_BACK));
        goes_back(&all, Some("1"));
        all.push(("1", ROLLED_BACK));
        goes_back(&all, None);
        all.push(("4", "promoted from beta"));
        goes_back(&all, Some("1"));
        goes_back(&[("1", ""), ("", ""), ("2", "published")], Some("1"));
        goes_back(&[("1", "published"), ("2", "published"), ("1", "published")], Some("2"));
    }

    #[test]
    fn what_was_put_back_never_was_a_release() {
        let all = [("3", "published"), ("4", "published"), ("5", "published"), ("4", PUT_BACK)];
        goes_back(&all, Some("3"));
        let history = history_of(&all);
        assert_eq!(named(&history, "r-5"), None);
        assert_eq!(named(&history, "r-4").map(|one| one.ami.as_str()), Some("4"));
    }

    #[test]
    fn amis_are_found_in_whatever_a_parameter_says() {
        let found = |text| amis_in(text).collect::<Vec<_>>();
        assert_eq!(found("ami-0123\n"), ["ami-0123"]);
        assert_eq!(found("ami-1,ami-2"), ["ami-1", "ami-2"]);
        assert_eq!(found(r#"{"us": "ami-0abc"}"#), ["ami-0abc"]);
        assert_eq!(found("hunter2 ami- my-ami-1"), Vec::<&str>::new());
    }
}
