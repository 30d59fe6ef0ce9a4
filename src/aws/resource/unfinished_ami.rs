//! An AMI that a build has not finished, found by its tag alone.

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{BUILD_TAG, Mark, by_id_or_build, has_tag, of_any_build};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image;
use crate::aws::instance;
use crate::aws::proof;
use crate::aws::resource::ami::{origin, remove_with};
use crate::aws::resource::ami_copy::AmiCopy;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::instance::is_at_work_on;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::aws::resource::s3_bundle::S3Bundle;
use crate::aws::resource::volume_snapshot;
use crate::permission::Permission;

/// An unfinished AMI.
pub static KIND: Kind = Kind {
    key: "unfinished",
    label: "AMI",
    order: Order::First,
    is_product: false,
    read: read::<UnfinishedAmi>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// An AMI that has our tag still: it was made of an instance that EC2 still knows and that the build has
/// started or gone on with, of a snapshot that has our tag, too, or of a bundle whose name the build chose; or is a copy of such an AMI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedAmi {
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for UnfinishedAmi {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("with the tag {BUILD_TAG}={}", self.token)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let (ec2, token) = (&search.ec2, self.token.as_str());
        let abroad = |region: &str| search.account.ec2_in(region, search.cancel);
        let mut best = Found::Nothing;
        for image in image::matching(ec2, by_id_or_build("image-id", search.id, token)).await? {
            let is_ours = is_of_build(ec2, abroad, &image, token).await?;
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
        let id = target.id;
        removal
            .ui
            .say(format!("Deregistering {id} and deleting its snapshots: it was never finished"));
        let image = image::by_id(&target.ec2, id).await?;
        remove_with(Vec::new(), removal, target).await?;
        if let Some(bundle) = image.as_ref().and_then(|image| bundle(image, &self.token)) {
            bundle.delete(&removal.account.s3(removal.cancel), removal.ui).await?;
        }
        Ok(())
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        let mut all = AmiCopy::permissions(at);
        all.push(at.look(&["DescribeInstances"]));
        all
    }
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let ec2 = area.ec2();
    let abroad = |region: &str| area.ec2_in(region);
    let each = image::matching(&ec2, vec![of_any_build()]).await?.into_iter();
    let each = each.map(async |image| {
        let Some(mark) = Mark::of(image.tags()) else { return Ok(None) };
        let is_proven = is_of_build(&ec2, abroad, &image, &mark.token).await?;
        let ours = UnfinishedAmi { token: mark.token.clone() };
        Ok(Tagged::new(image.image_id, mark, is_proven, ours))
    });
    let all: Vec<_> = try_join_all(each).await?;
    Ok(all.into_iter().flatten().collect())
}

/// Whether EC2 knows that the build of `token` made `image`. `abroad` asks in another region.
async fn is_of_build(
    ec2: &Ec2,
    abroad: impl Fn(&str) -> Ec2,
    image: &Image,
    token: &str,
) -> Result<bool, ApiError> {
    if let Some(source) = image.source_image_id() {
        let there = image.source_image_region().map_or_else(|| ec2.clone(), &abroad);
        let Some(source) = image::by_id(&there, source).await? else { return Ok(false) };
        return Ok(is_made_of_ours(&there, &source, token).await? && is_tagged(image, token));
    }
    is_made_of_ours(ec2, image, token).await
}

/// Whether `image` was made of an instance or a snapshot of the build of `token`.
async fn is_made_of_ours(ec2: &Ec2, image: &Image, token: &str) -> Result<bool, ApiError> {
    if !is_tagged(image, token) {
        return Ok(false);
    }
    if bundle(image, token).is_some() {
        return Ok(true);
    }
    let Some(instance) = origin(ec2, image).await? else {
        return volume_snapshot::is_one_of_build(ec2, &image::snapshots(image), token).await;
    };
    let found = instance::by_id(ec2, &instance).await?;
    Ok(found.is_some_and(|found| is_at_work_on(&found, token)))
}

/// The bundle that `image` was registered from, if the build of `token` chose its name.
fn bundle(image: &Image, token: &str) -> Option<S3Bundle> {
    S3Bundle::at(image.image_location()?, token)
}

/// Whether `image` has the tag of the build of `token`, and is not older.
fn is_tagged(image: &Image, token: &str) -> bool {
    has_tag(image.tags(), token) && proof::is_of_build(token, image::creation(image))
}
