//! What a build makes in EC2, as its journal says it: enough to find it again, and to know that it
//! is ours. No credential is part of it.

use anyhow::{Context as _, ensure};
use aws_sdk_ec2::types::Tag;
use serde::{Deserialize, Serialize};

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::name::time_of;
use crate::aws::old_image::OldImage;
use crate::aws::tags::{self, tag};
use crate::journal::Thing;

/// The tag that finds what a build makes, even if EC2's answer was lost.
pub const BUILD_TAG: &str = "imgbake:build";
/// The tag that says which run a thing belongs to.
pub const RUN_TAG: &str = "imgbake:run";

/// What a temporary security group says of itself.
pub const GROUP_DESCRIPTION: &str = "Temporary group for imgbake";

/// The tags of what is ours for a while.
pub fn own_tags(run: &str, token: &str) -> [Tag; 2] {
    [tag(RUN_TAG, run), tag(BUILD_TAG, token)]
}

/// Takes the tags of what is ours for a while off what stays. Where the credentials may not do
/// that, the tag says that it is nobody's garbage.
pub async fn hand_over(ec2: &Ec2, ids: &[String]) -> Result<(), ApiError> {
    match tags::remove(ec2, ids, &[RUN_TAG, BUILD_TAG]).await {
        Err(error) if error.meaning == Meaning::Denied => {
            tracing::info!(%error, "our tags stay");
            tags::put(ec2, ids, &[tag(BUILD_TAG, "finished")]).await
        }
        removed => removed,
    }
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The account's number; `None` if nobody asked STS.
    pub account: Option<String>,
    /// The region.
    pub region: String,
    /// The URL of the API, if it is not AWS's own.
    pub endpoint: Option<String>,
}

/// What an AMI is made from: whoever is to make the same can finish it instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The number of the build's fingerprint.
    pub number: String,
    /// The source AMI.
    pub source: String,
    /// The value of [`BUILD_TAG`] of the build that made it first.
    pub token: String,
}

/// What it is, and what only ours has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A key pair of this name that has our tag.
    KeyPair {
        /// Its name.
        name: String,
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// A security group of this name that has our tag.
    SecurityGroup {
        /// Its name.
        name: String,
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// The instance that has our tag.
    Instance {
        /// The value of [`BUILD_TAG`], and how the client tokens begin that it is asked for with.
        token: String,
        /// The devices whose volumes stay if the build ends well.
        keeps: Vec<String>,
        /// The devices that it is started with; `None` if nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        devices: Option<Vec<String>>,
    },
    /// An instance profile and a role of this name that have our tag.
    Profile {
        /// Its name.
        name: String,
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// A launch template of this name that has our tag.
    LaunchTemplate {
        /// Its name.
        name: String,
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// A session of Systems Manager with our instance.
    Session {
        /// The instance.
        instance: String,
        /// Why it was started, as the session says: nobody else has this reason.
        reason: String,
    },
    /// A volume that outlives our instance.
    Volume {
        /// The instance.
        instance: String,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
    },
    /// An AMI of this name that was made of our instance.
    Image {
        /// Its name.
        name: String,
        /// The instance.
        instance: String,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
        /// What it is made from, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// An AMI of this name that was made of our instance, only to be copied.
    Intermediary {
        /// Its name.
        name: String,
        /// The instance.
        instance: String,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
        /// What it is made from, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// An AMI of this name that is a copy of ours.
    Copy {
        /// Its name.
        name: String,
        /// The AMI that it is a copy of.
        source: String,
        /// It is not older than this, in seconds since 1970.
        since: i64,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
    },
    /// That an AMI is not registered any more which ours replaces: it is put back, unless the build
    /// ended well.
    Replaced(Box<OldImage>),
    /// The snapshots that EC2 keeps ready for instances of our AMI.
    FastLaunch {
        /// The AMI.
        image: String,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
    },
    /// An AMI that has our tag still: it was not finished.
    Unfinished {
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// A volume that has our tag still and belongs to no instance: the one that it was made for is
    /// gone.
    Loose {
        /// The value of [`BUILD_TAG`].
        token: String,
    },
    /// A snapshot that outlives our AMI.
    Snapshot {
        /// The AMI.
        image: String,
        /// The value of [`BUILD_TAG`].
        #[serde(default)]
        token: String,
    },
}

/// What the journal keeps of a thing in EC2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clue {
    /// What it is.
    pub ec2: Made,
    /// Where it is.
    pub r#in: Place,
}

impl Clue {
    /// What the journal keeps of `thing`.
    ///
    /// # Errors
    /// When it is nothing in EC2, or nothing that we would make.
    pub fn of(thing: &Thing) -> anyhow::Result<Self> {
        let clue = thing.clue().cloned().unwrap_or_default();
        let clue: Self =
            serde_json::from_value(clue).with_context(|| format!("{thing} is nothing in EC2"))?;
        clue.ec2.check().with_context(|| format!("the journal names nothing of ours: {thing}"))?;
        Ok(clue)
    }
}

impl Made {
    /// This in `region`, before it is there.
    pub fn thing(self, account: &Account, region: &str) -> Thing {
        let (kind, name) = self.words();
        let is_product =
            matches!(self, Self::Image { .. } | Self::Copy { .. } | Self::FastLaunch { .. });
        let clue = Clue { ec2: self, r#in: account.place(region) };
        // Strings and numbers always have a JSON form.
        let clue = serde_json::to_value(clue).unwrap_or_default();
        let thing = Thing::new(kind, name).at(region).found_by(clue);
        if is_product { thing.as_product() } else { thing }
    }

    /// Its kind, and how it is called before its id is known.
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::KeyPair { name, .. } => ("key pair", name.clone()),
            Self::SecurityGroup { name, .. } => ("security group", name.clone()),
            Self::Instance { token, .. } => {
                ("instance", format!("with the tag {BUILD_TAG}={token}"))
            }
            Self::Profile { name, .. } => ("instance profile", name.clone()),
            Self::LaunchTemplate { name, .. } => ("launch template", name.clone()),
            Self::Session { instance, .. } => ("session", format!("with {instance}")),
            Self::Volume { instance, .. } => ("volume", format!("of {instance}")),
            Self::Image { name, .. } | Self::Copy { name, .. } => ("AMI", format!("`{name}`")),
            Self::Intermediary { name, .. } => ("intermediary AMI", format!("`{name}`")),
            Self::Replaced(old) => ("deregistration", format!("of {} (`{}`)", old.id, old.name)),
            Self::FastLaunch { image, .. } => ("fast launch", format!("of {image}")),
            Self::Unfinished { token } => ("AMI", format!("with the tag {BUILD_TAG}={token}")),
            Self::Loose { token } => ("volume", format!("with the tag {BUILD_TAG}={token}")),
            Self::Snapshot { image, .. } => ("snapshot", format!("of {image}")),
        }
    }

    /// What it is made from, if it is an AMI that another run can finish.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Image { origin, .. } | Self::Intermediary { origin, .. } => origin.as_ref(),
            _ => None,
        }
    }

    /// The value of [`BUILD_TAG`] of the build that makes it, if that is known.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::KeyPair { token, .. }
            | Self::SecurityGroup { token, .. }
            | Self::Instance { token, .. }
            | Self::Profile { token, .. }
            | Self::LaunchTemplate { token, .. }
            | Self::Volume { token, .. }
            | Self::Image { token, .. }
            | Self::Intermediary { token, .. }
            | Self::Copy { token, .. }
            | Self::FastLaunch { token, .. }
            | Self::Unfinished { token }
            | Self::Loose { token }
            | Self::Snapshot { token, .. } => Some(token),
            Self::Session { .. } | Self::Replaced(_) => None,
        }
    }

    /// All values of [`BUILD_TAG`] that it may have: an AMI that was adopted has had another.
    pub fn tokens(&self) -> Vec<&str> {
        let before = self.origin().map(|origin| origin.token.as_str());
        self.token().into_iter().chain(before).collect()
    }

    /// Refuses what we would never have written: whoever forges a journal could have us look for
    /// anything.
    fn check(&self) -> anyhow::Result<()> {
        for token in self.tokens() {
            ensure!(time_of(token).is_some(), "`{token}` marks nothing of ours");
        }
        let (prefix, id) = match self {
            Self::Volume { instance, .. }
            | Self::Session { instance, .. }
            | Self::Image { instance, .. }
            | Self::Intermediary { instance, .. } => ("i-", instance),
            Self::Copy { source: image, .. }
            | Self::FastLaunch { image, .. }
            | Self::Snapshot { image, .. } => ("ami-", image),
            _ => return Ok(()),
        };
        let digits = id.strip_prefix(prefix).unwrap_or_default();
        let is_id = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_alphanumeric());
        ensure!(is_id, "`{id}` is no id that begins with `{prefix}`");
        Ok(())
    }

    /// Whether things that need others to be gone first are of this kind: groups and volumes wait
    /// for their instances, snapshots for their AMIs, and old AMIs for their name.
    pub fn goes_last(&self) -> bool {
        matches!(
            self,
            Self::SecurityGroup { .. }
                | Self::Volume { .. }
                | Self::Loose { .. }
                | Self::Replaced(_)
                | Self::Snapshot { .. }
        )
    }
}
