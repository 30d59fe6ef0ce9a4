//! The snapshots that EC2 keeps ready, so that instances of a build's AMI start fast.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::has_tag;
use crate::aws::image;
use crate::aws::proof;
use crate::aws::resource::ami::tagged_origin;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read, unless_empty};
use crate::permission::Permission;

/// Fast launch. EC2 disables it when its AMI goes, so nothing looks for it alone.
pub static KIND: Kind = Kind {
    key: "fast_launch",
    label: "fast launch",
    order: Order::First,
    is_product: true,
    read: read::<FastLaunch>,
    reap: Reap::No,
};

/// Fast launch of our AMI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FastLaunch {
    /// The AMI.
    pub image: String,
    /// The value of the build's tag.
    #[serde(default)]
    pub token: String,
}

#[async_trait]
impl Resource for FastLaunch {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("of {}", self.image)
    }

    fn tokens(&self) -> Vec<&str> {
        unless_empty(&self.token).collect()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Image(&self.image))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let ec2 = &search.ec2;
        let request = ec2.describe_fast_launch_images().image_ids(&self.image);
        let answer = ec2.call("DescribeFastLaunchImages", |_| request.clone().send()).await?;
        let Some(found) = answer.fast_launch_images().first() else { return Ok(Found::Nothing) };
        let Some(image) = image::by_id(ec2, &self.image).await? else {
            return Ok(Found::certain(found.image_id.clone()));
        };
        let is_ours = match search.is_finished {
            true => search.any(|token| proof::is_of_build(token, image::creation(&image))),
            false => search.any(|token| has_tag(image.tags(), token)),
        };
        let is_ours = is_ours
            || search.is_of_early_version
                && tagged_origin(search, ec2, &self.image).await?.is_some();
        Ok(Found::new(found.image_id(), is_ours))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Disabling fast launch of {}", self.image));
        let request = target.ec2.disable_fast_launch().image_id(&self.image).force(true);
        Ok(target.ec2.remove("DisableFastLaunch", |_| request.clone().send()).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.everywhere(&["image"], &["DisableFastLaunch"]),
            at.look(&["DescribeFastLaunchImages"]),
        ]
    }
}
