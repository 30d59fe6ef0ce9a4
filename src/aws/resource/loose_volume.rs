//! A volume whose instance is gone.

use async_trait::async_trait;
use aws_sdk_ec2::types::{Filter, Volume as Described};
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{BUILD_TAG, Mark, of_any_build, of_build};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::aws::resource::volume;
use crate::permission::Permission;

/// A loose volume.
pub static KIND: Kind = Kind {
    key: "loose",
    label: "volume",
    order: Order::Last,
    is_product: false,
    read: read::<LooseVolume>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// A volume that has our tag still and is attached to no instance: the one that it was made for is
/// gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooseVolume {
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for LooseVolume {
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
        let loose = loose(&search.ec2, of_build(&self.token)).await?;
        let wanted =
            loose.iter().rfind(|volume| search.id.is_none_or(|id| volume.volume_id() == Some(id)));
        Ok(wanted.map_or(Found::Nothing, |volume| judge(volume, &self.token)))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Deleting the volume {}", target.id));
        Ok(volume::delete(&target.ec2, target.id).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        volume::Volume::permissions(at)
    }
}

/// The loose volumes of the build of `token`.
pub async fn find(ec2: &Ec2, token: &str) -> Result<Vec<Found>, ApiError> {
    Ok(loose(ec2, of_build(token)).await?.iter().map(|volume| judge(volume, token)).collect())
}

fn judge(volume: &Described, token: &str) -> Found {
    Found::new(volume.volume_id(), proof::volume(volume, token, None))
}

/// The volumes that are attached to no instance, of `whose` build.
async fn loose(ec2: &Ec2, whose: Filter) -> Result<Vec<Described>, ApiError> {
    let loose = filter("status", ["available"]);
    let request = ec2.describe_volumes().filters(whose).filters(loose);
    let answer = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    Ok(answer.volumes.unwrap_or_default())
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let volumes = loose(&area.ec2(), of_any_build()).await?.into_iter();
    let tagged = volumes.filter_map(|volume| {
        let mark = Mark::of(volume.tags())?;
        let is_proven = proof::volume(&volume, &mark.token, None);
        let ours = LooseVolume { token: mark.token.clone() };
        Tagged::new(volume.volume_id, mark, is_proven, ours)
    });
    Ok(tagged.collect())
}
