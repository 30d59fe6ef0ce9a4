//! A copy of a build's AMI, in another region or with another key.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::ami::{named, remove_with};
use crate::aws::resource::context::{Removal, Search, Target};
use crate::aws::resource::kind::{Found, Kind, Order, Parent, Reap, Resource, read};
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

    fn name(&self) -> String {
        format!("`{}`", self.name)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Image(&self.source))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let asked = (self.name.as_str(), self.source.as_str(), self.since);
        Ok(find(&search.ec2, asked, &self.token, search.is_finished, search.id).await?)
    }

    async fn remove(&self, removal: &Removal<'_>, target: &Target<'_>) -> anyhow::Result<()> {
        let region = target.region;
        removal.ui.say(format!("Removing the copy in {region}: the build failed"));
        remove_with(Vec::new(), removal, target, &self.token).await
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "DescribeSnapshots"]),
            at.everywhere(&["image"], &["DeregisterImage"]),
            at.everywhere(&["snapshot"], &["DeleteSnapshot"]),
        ]
    }
}

/// The copy of `source` that has our name.
pub async fn find(
    ec2: &Ec2,
    (name, source, since): (&str, &str, i64),
    token: &str,
    is_finished: bool,
    id: Option<&str>,
) -> Result<Found, ApiError> {
    let named = named(ec2, name, id).await?;
    Ok(Found::best(named.iter().map(|image| {
        let is_ours = match is_finished {
            true => proof::finished_copy(image, source, since),
            false => proof::copy(image, source, token, since),
        };
        Found::new(image.image_id(), is_ours)
    })))
}
