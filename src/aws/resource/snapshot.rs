//! A snapshot that outlives its AMI.

use async_trait::async_trait;
use aws_sdk_ec2::types::{Filter, Snapshot as Described};
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::delete_snapshot;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read, unless_empty};
use crate::event::Ui;
use crate::permission::Permission;

/// A snapshot. It goes with its AMI, so nothing looks for it alone.
pub static KIND: Kind = Kind {
    key: "snapshot",
    label: "snapshot",
    order: Order::Last,
    is_product: false,
    read: read::<Snapshot>,
    reap: Reap::No,
};

/// A snapshot that EC2 made for our AMI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The AMI.
    pub image: String,
    /// The value of the build's tag.
    #[serde(default)]
    pub token: String,
}

#[async_trait]
impl Resource for Snapshot {
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
        let Some(id) = search.id else { return Ok(Found::Nothing) };
        let Some(found) = own(&search.ec2, id).await? else { return Ok(Found::Nothing) };
        let is_ours = search.any(|token| proof::snapshot(&found, &self.image, token));
        Ok(Found::new(Some(id), is_ours))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        Ok(delete(&target.ec2, removal.ui, target.id).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeSnapshots"]), at.everywhere(&["snapshot"], &["DeleteSnapshot"])]
    }
}

/// The snapshot `id`, which is behind the AMI `image` of the build of `token`.
pub async fn find(ec2: &Ec2, image: &str, token: &str, id: &str) -> Result<Found, ApiError> {
    let Some(found) = own(ec2, id).await? else { return Ok(Found::Nothing) };
    Ok(Found::new(Some(id), proof::snapshot(&found, image, token)))
}

/// Deletes a snapshot; it is no error if it is gone already.
pub async fn delete(ec2: &Ec2, ui: &Ui, id: &str) -> Result<(), ApiError> {
    ui.say(format!("Deleting the snapshot {id}"));
    delete_snapshot(ec2, id).await
}

/// Whether the snapshot `id` may go with the AMI `image`: where only a file says that it is its own
/// (`is_of_dead_run`), EC2 must say so, too.
pub async fn may_go(
    ec2: &Ec2,
    ui: &Ui,
    id: &str,
    image: &str,
    is_of_dead_run: bool,
) -> Result<bool, ApiError> {
    let may = !is_of_dead_run || is_made_for(ec2, id, image).await?;
    if !may {
        ui.say(format!("Leaving {id} alone: EC2 did not make it for {image}"));
    }
    Ok(may)
}

/// Whether EC2 made the snapshot `id` for the AMI `image`, or it is gone.
pub async fn is_made_for(ec2: &Ec2, id: &str, image: &str) -> Result<bool, ApiError> {
    Ok(own(ec2, id).await?.is_none_or(|found| proof::is_snapshot_for(&found, image)))
}

/// How much of it is done, in percent, if EC2 says so.
pub fn percent(snapshot: &Described) -> Option<u8> {
    snapshot.progress()?.trim_end_matches('%').parse().ok()
}

/// The account's own snapshots that fit `wanted`.
pub async fn matching(ec2: &Ec2, wanted: Filter) -> Result<Vec<Described>, ApiError> {
    let request = ec2.describe_snapshots().owner_ids("self").filters(wanted);
    let answer = ec2.call("DescribeSnapshots", |_| request.clone().send()).await?;
    Ok(answer.snapshots.unwrap_or_default())
}

/// The account's own snapshot `id`, if it is there.
pub async fn own(ec2: &Ec2, id: &str) -> Result<Option<Described>, ApiError> {
    let request = ec2.describe_snapshots().snapshot_ids(id).owner_ids("self");
    match ec2.call("DescribeSnapshots", |_| request.clone().send()).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => Ok(found?.snapshots.unwrap_or_default().into_iter().next()),
    }
}
