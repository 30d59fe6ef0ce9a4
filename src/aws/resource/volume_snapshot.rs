//! A snapshot that a build makes of a volume of its machine.

use async_trait::async_trait;
use aws_sdk_ec2::types::Snapshot;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{Mark, has_tag, of_any_build, of_build};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, Tagged, read};
use crate::aws::resource::snapshot;
use crate::permission::Permission;

/// A snapshot of a volume.
pub static KIND: Kind = Kind {
    key: "volume_snapshot",
    label: "snapshot",
    order: Order::Last,
    is_product: true,
    read: read::<VolumeSnapshot>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// A snapshot of this volume that has our tag, unless it is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSnapshot {
    /// The volume.
    pub volume: String,
    /// The value of the build's tag.
    pub token: String,
    /// Whether an AMI is registered from it only to be copied: then it goes as that AMI does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_intermediary: bool,
}

#[async_trait]
impl Resource for VolumeSnapshot {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_handed_over(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        format!("of {}", self.volume)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Volume(&self.volume))
    }

    fn is_product(&self) -> bool {
        !self.is_intermediary
    }

    /// One that is finished has no tag any more: its id says which it is.
    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let mut all = snapshot::matching(&search.ec2, filter("volume-id", [&self.volume])).await?;
        all.retain(|one| search.id.is_none_or(|id| one.snapshot_id() == Some(id)));
        let is_known = search.is_finished && search.id.is_some();
        Ok(Found::best(all.iter().map(|one| {
            let is_marked = is_known || has_tag(one.tags(), &self.token);
            Found::new(one.snapshot_id(), is_marked && self.is_in_time(one))
        })))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        Ok(snapshot::delete(&target.ec2, removal.ui, target.id).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeSnapshots"]), at.on(&["snapshot"], &["DeleteSnapshot"])]
    }
}

impl VolumeSnapshot {
    /// Whether `snapshot` is not older than the build.
    fn is_in_time(&self, snapshot: &Snapshot) -> bool {
        proof::is_of_build(&self.token, proof::time(snapshot.start_time()))
    }
}

/// The id of the snapshot that a call of the build of `token` has made of `volume`.
pub async fn find(ec2: &Ec2, volume: &str, token: &str) -> Result<Option<String>, ApiError> {
    let tagged = snapshot::matching(ec2, of_build(token)).await?;
    let mut ours = tagged.into_iter().filter(|one| one.volume_id() == Some(volume));
    Ok(ours.find_map(|one| one.snapshot_id))
}

/// Whether the build of `token` has made one of the snapshots `ids`.
pub async fn is_one_of_build(ec2: &Ec2, ids: &[String], token: &str) -> Result<bool, ApiError> {
    let tagged = snapshot::matching(ec2, of_build(token)).await?;
    Ok(tagged.iter().any(|one| {
        let is_named = ids.iter().any(|id| one.snapshot_id() == Some(id));
        is_named && proof::is_of_build(token, proof::time(one.start_time()))
    }))
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let tagged =
        snapshot::matching(&area.ec2(), of_any_build()).await?.into_iter().filter_map(|one| {
            let mark = Mark::of(one.tags())?;
            let volume = one.volume_id().unwrap_or_default().to_owned();
            let ours = VolumeSnapshot { volume, token: mark.token.clone(), is_intermediary: false };
            let is_proven = ours.is_in_time(&one);
            Tagged::new(one.snapshot_id, mark, is_proven, ours)
        });
    Ok(tagged.collect())
}
