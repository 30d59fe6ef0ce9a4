//! A volume that a build makes by itself, and attaches to the instance that it runs on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::attachment::{self, Waiting};
use crate::aws::build_tags::{BUILD_TAG, by_id_or_build};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read};
use crate::aws::resource::volume;
use crate::permission::Permission;

/// Such a volume. `imgbake reap` finds those that are left as loose volumes; one that is attached may
/// be in use.
pub static KIND: Kind = Kind {
    key: "own_volume",
    label: "volume",
    order: Order::Last,
    is_product: false,
    read: read::<OwnVolume>,
    reap: Reap::No,
};

/// The volume that has our tag, attached to this instance or to none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnVolume {
    /// The instance.
    pub instance: String,
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for OwnVolume {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("with the tag {BUILD_TAG}={}", self.token)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Instance(&self.instance))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        Ok(find(&search.ec2, self, search.id).await?)
    }

    /// Takes it off the instance first.
    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let Removal { ui, cancel, patience, .. } = *removal;
        let waiting = Waiting { ui, cancel, patience, memory: &removal.account.memory };
        attachment::detach(&target.ec2, waiting, target.id).await?;
        ui.say(format!("Deleting the volume {}", target.id));
        Ok(volume::delete(&target.ec2, target.id).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeVolumes"]),
            at.on(&["instance"], &["DetachVolume"]),
            at.on_ours("volume", &["DeleteVolume", "DetachVolume"]),
        ]
    }
}

/// The volume that the build of `ours` has made; the one of this `id`, if that is known.
pub async fn find(ec2: &Ec2, ours: &OwnVolume, id: Option<&str>) -> Result<Found, ApiError> {
    let filters = by_id_or_build("volume-id", id, &ours.token);
    let request = ec2.describe_volumes().set_filters(Some(filters));
    let answer = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    Ok(Found::best(answer.volumes().iter().map(|found| {
        let mut attachments = found.attachments().iter();
        let is_here = attachments.all(|one| one.instance_id() == Some(&ours.instance));
        Found::new(found.volume_id(), is_here && proof::volume(found, &ours.token, None))
    })))
}
