//! A volume that outlives its instance.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read, unless_empty};
use crate::permission::Permission;

/// A volume. `imgbake reap` finds those that are left as loose volumes.
pub static KIND: Kind = Kind {
    key: "volume",
    label: "volume",
    order: Order::Last,
    is_product: false,
    read: read::<Volume>,
    reap: Reap::No,
};

/// A volume that came with our instance, and that EC2 keeps when that is terminated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The instance.
    pub instance: String,
    /// The value of the build's tag.
    #[serde(default)]
    pub token: String,
}

#[async_trait]
impl Resource for Volume {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("of {}", self.instance)
    }

    fn tokens(&self) -> Vec<&str> {
        unless_empty(&self.token).collect()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Instance(&self.instance))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let Some(id) = search.id else { return Ok(Found::Nothing) };
        let request = search.ec2.describe_volumes().volume_ids(id);
        let answer = match search.ec2.call("DescribeVolumes", |_| request.clone().send()).await {
            Err(error) if error.is_not_found() => return Ok(Found::Nothing),
            answer => answer?,
        };
        let Some(found) = answer.volumes().first() else { return Ok(Found::Nothing) };
        // Somebody may have attached it elsewhere: then it is not garbage any more.
        let mut attachments = found.attachments().iter();
        let is_free = attachments.all(|one| one.instance_id() == Some(&self.instance));
        let is_ours = is_free && search.any(|token| proof::volume(found, token, None));
        Ok(Found::new(found.volume_id(), is_ours))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Deleting the volume {}", target.id));
        Ok(delete(&target.ec2, target.id).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        // It may be one of an instance that is gone, and have none of our tags.
        vec![at.look(&["DescribeVolumes"]), at.on(&["volume"], &["DeleteVolume"])]
    }
}

/// Deletes a volume; it is no error if it is gone already.
pub async fn delete(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteVolume", |ec2| ec2.delete_volume().volume_id(id).send()).await
}
