//! A copy of a build's AMI, in another region or with another key.

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::ami::{named, remove_with, tagged_origin};
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read, unless_empty};
use crate::permission::Permission;

/// A copy. `imgbake reap` finds those that are left as unfinished AMIs.
pub static KIND: Kind = Kind {
    key: "copy",
    label: "AMI",
    order: Order::First,
    is_product: true,
    read: read::<AmiCopy>,
    reap: Reap::No,
};

/// An AMI of this name that is a copy of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmiCopy {
    /// Its name.
    pub name: String,
    /// The AMI that it is a copy of.
    pub source: String,
    /// It is not older than this, in seconds since 1970.
    pub since: i64,
    /// The value of the build's tag.
    #[serde(default)]
    pub token: String,
}

#[async_trait]
impl Resource for AmiCopy {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_handed_over(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        format!("`{}`", self.name)
    }

    fn tokens(&self) -> Vec<&str> {
        unless_empty(&self.token).collect()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Image(&self.source))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let mut best = Found::Nothing;
        for image in named(&search.ec2, &self.name, search.id).await? {
            let is_ours = match search.is_finished {
                true => proof::finished_copy(&image, &self.source, self.since),
                false if search.is_of_early_version => self.is_of_our_ami(search, &image).await?,
                false => proof::copy(&image, &self.source, &self.token, self.since),
            };
            if best.take(Found::new(image.image_id(), is_ours)) {
                break;
            }
        }
        Ok(best)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let region = target.region;
        removal.ui.say(format!("Removing the copy in {region}: the build failed"));
        remove_with(Vec::new(), removal, target).await
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "DescribeSnapshots"]),
            at.everywhere(&["image"], &["DeregisterImage"]),
            at.everywhere(&["snapshot"], &["DeleteSnapshot"]),
        ]
    }
}

impl AmiCopy {
    /// Whether `image` was made by the call that the line is about, of an AMI of an instance of the
    /// build: the first versions gave copies no tag.
    async fn is_of_our_ami(&self, search: &Search<'_>, image: &Image) -> Result<bool, ApiError> {
        let is_tagged = search.any(|token| proof::copy(image, &self.source, token, self.since));
        if is_tagged && image.source_image_id().is_some() {
            return Ok(true);
        }
        if !proof::finished_copy(image, &self.source, self.since) {
            return Ok(false);
        }
        // The AMI may be in another region; where EC2 does not say in which, it is one of the build.
        let regions = match image.source_image_region() {
            Some(region) => vec![region.to_owned()],
            None => search.regions.clone(),
        };
        for region in regions {
            let there = search.account.ec2_in(&region, search.cancel);
            if tagged_origin(search, &there, &self.source).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The copy of `source` that a call of the build of `token` has made: it has our name.
pub async fn find(
    ec2: &Ec2,
    (name, source, since): (&str, &str, i64),
    token: &str,
) -> Result<Option<String>, ApiError> {
    let named = named(ec2, name, None).await?.into_iter();
    let mut ours = named.filter(|image| proof::copy(image, source, token, since));
    Ok(ours.find_map(|image| image.image_id))
}
