//! Channels: where the users of an image find it. A channel is a name such as `stable`; in each
//! region it is a parameter of Systems Manager, `/images/web/stable`, whose value is the AMI. Launch
//! templates, CloudFormation and Terraform read such parameters by themselves.
//!
//! ```text
//! publish ──▶ beta ──▶ promote ──▶ stable ──▶ rollback
//!                (tests passed)      │
//!                                    └──▶ retire: old AMIs that no channel and nobody else uses
//! ```
//!
//! All that is known of a channel stands in its parameters: who wrote which AMI and when, as Systems
//! Manager says it, and the commit and the run, as their descriptions say (see [`note`]). So any
//! machine with the same account can go on.
//!
//! | file | what is there |
//! |---|---|
//! | `releases` | what a channel says, and said |
//! | `artifact` | which AMIs are meant |
//! | `note` | what is written beside an AMI's id |
//! | `publish` | AMIs come to a channel: published, promoted, rolled back |
//! | `retire` | old AMIs go |
//! | `mark` | the tags of AMIs that were published or tested |
//! | `allow` | what an account must allow for all that |

pub mod allow;
pub mod artifact;
pub mod mark;
pub mod note;
pub mod publish;
pub mod releases;
pub mod retire;

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use crate::aws::access::{Access, is_region};
use crate::aws::account::{Account, Handle, Patience};
use crate::aws::call::{Ec2, Ssm};
use crate::env::Environment;
use crate::event::Ui;
use crate::secret::Redactor;

/// What these commands work with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The environment and the clock.
    pub environment: Arc<Environment>,
    /// Knows the credentials.
    pub redactor: Redactor,
    /// Where messages go.
    pub ui: Ui,
    /// Interrupts all that has not changed anything yet.
    pub cancel: CancellationToken,
}

/// An account, seen from one region.
#[derive(Clone, Debug)]
pub struct Region {
    account: Handle,
    cancel: CancellationToken,
}

impl Context {
    /// The account in the region `name`; if there is no name, in the one that AWS's own tools would
    /// take. `patience` says how long a network may fail.
    ///
    /// # Errors
    /// If the name is none of a region, or there is no region at all.
    pub async fn region(&self, name: Option<&str>, patience: Patience) -> anyhow::Result<Region> {
        ensure!(name.is_none_or(is_region), "`{}` is no region", name.unwrap_or_default());
        let access = Access { region: name.unwrap_or_default().to_owned(), ..Access::default() };
        let account = Account::open(&access, &self.environment, &self.redactor, patience).await?;
        let cancel = self.cancel.clone();
        account.check_credentials(&cancel).await?;
        Ok(Region { account, cancel })
    }

    /// The same in all of `names`.
    ///
    /// # Errors
    /// As [`region`](Self::region).
    pub async fn regions(
        &self,
        names: &[String],
        patience: Patience,
    ) -> anyhow::Result<Vec<Region>> {
        let mut regions = Vec::new();
        for name in names {
            let region = self.region(Some(name), patience).await;
            regions.push(region.with_context(|| format!("{name} cannot be used"))?);
        }
        Ok(regions)
    }
}

impl Region {
    /// Its name.
    pub fn name(&self) -> &str {
        self.account.region()
    }

    /// As this region, for what has to be done even if somebody interrupts the rest.
    fn uninterrupted(&self) -> Self {
        Self { account: self.account.clone(), cancel: CancellationToken::new() }
    }

    fn ec2(&self) -> Ec2 {
        self.account.ec2(&self.cancel)
    }

    fn ssm(&self) -> Ssm {
        self.account.ssm(&self.cancel)
    }
}

/// How many levels a prefix may have: a parameter has 15 at most, two of them ours.
const MOST_LEVELS: usize = 13;
/// How long it may be: a parameter's name has 1,011 characters at most, with its ARN.
const LONGEST_PREFIX: usize = 600;

/// The channels of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    prefix: String,
    image: String,
}

impl Channels {
    /// Those of `image`, whose parameters are below `prefix`, e.g. `/images`.
    ///
    /// # Errors
    /// If Systems Manager takes no such names.
    pub fn new(prefix: &str, image: &str) -> anyhow::Result<Self> {
        check_prefix(prefix)?;
        check("-image", image)?;
        Ok(Self { prefix: prefix.to_owned(), image: image.to_owned() })
    }

    /// The image.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What the parameters of all images begin with.
    fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the parameters of this image begin with.
    fn path(&self) -> String {
        format!("{}/{}", self.prefix, self.image)
    }

    /// The channel whose parameter is called so, if it is one of this image. What is below that is none.
    fn channel<'a>(&self, parameter: &'a str) -> Option<&'a str> {
        let name = parameter.strip_prefix(&self.path())?.strip_prefix('/')?;
        (!name.contains('/')).then_some(name)
    }

    /// The parameter of `channel`.
    ///
    /// # Errors
    /// If Systems Manager takes no such name.
    pub fn parameter(&self, channel: &str) -> anyhow::Result<String> {
        check("a channel", channel)?;
        Ok(format!("{}/{channel}", self.path()))
    }
}

/// Refuses what the parameters of images cannot begin with.
///
/// # Errors
/// If Systems Manager takes no such names.
pub fn check_prefix(prefix: &str) -> anyhow::Result<()> {
    let parts = prefix.strip_prefix('/').context("-prefix begins with `/`, e.g. `/images`")?;
    for part in parts.split('/') {
        check("-prefix", part)?;
    }
    ensure!(
        parts.split('/').count() <= MOST_LEVELS && prefix.len() <= LONGEST_PREFIX,
        "-prefix: Systems Manager takes no name that is so long, or has so many levels"
    );
    ensure!(
        !["aws", "ssm"].contains(&parts.split('/').next().unwrap_or_default()),
        "-prefix: parameters below `{prefix}` belong to AWS"
    );
    Ok(())
}

/// Refuses what cannot be a part of a parameter's name.
fn check(what: &str, name: &str) -> anyhow::Result<()> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    ensure!(
        begins_well && name.len() <= 100 && name.chars().all(is_letter),
        "{what}: `{name}` is no name; it begins with a letter or digit and has letters, digits, `.`, `-` \
         and `_`, up to 100 of them"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_parameters() {
        let web = Channels::new("/images", "web").unwrap();
        assert_eq!(web.parameter("stable").unwrap(), "/images/web/stable");
        assert_eq!(Channels::new("/a/b", "x.y-z_1").unwrap().path(), "/a/b/x.y-z_1");
        for (prefix, image) in [
            ("images", "web"),
            ("/", "web"),
            ("/aws/x", "web"),
            ("/images", ""),
            ("/images", "a/b"),
            ("/images", ".."),
            ("/images", "-rf"),
            (&*"/a".repeat(14), "web"),
        ] {
            assert!(Channels::new(prefix, image).is_err(), "{prefix} {image}");
        }
        assert!(web.parameter("a b").is_err());
        assert!(web.parameter("../other/stable").is_err());
        assert_eq!(web.channel("/images/web/stable"), Some("stable"));
        assert_eq!(web.channel("/images/web/nested/deep"), None);
        assert_eq!(web.channel("/images/webster/stable"), None);
    }
}
