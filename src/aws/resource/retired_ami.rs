//! An AMI that `imgbake retire` deregisters: its snapshots go with it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::image;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::{Found, deregistered};
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, read};
use crate::aws::resource::snapshot;
use crate::permission::Permission;

/// The deregistration of an AMI that has done its service. It leaves no tags: only a journal knows
/// of it.
pub static KIND: Kind = Kind {
    key: "retired",
    label: "retired AMI",
    order: Order::Last,
    is_product: false,
    read: read::<RetiredAmi>,
    reap: Reap::No,
};

/// An AMI that is deregistered. While it is there, nothing has happened: whoever wants it gone looks
/// again who uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredAmi {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its snapshots, which nobody needs without it.
    pub snapshots: Vec<String>,
}

#[async_trait]
impl Resource for RetiredAmi {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("{} (`{}`)", self.id, self.name)
    }

    /// No build of this run made it.
    fn tokens(&self) -> Vec<&str> {
        Vec::new()
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        Ok(deregistered(&search.ec2, &self.id).await?)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        for id in &self.snapshots {
            let Removal { ui, is_of_dead_run, .. } = *removal;
            if snapshot::may_go(&target.ec2, ui, id, &self.id, is_of_dead_run).await? {
                image::delete_snapshot(&target.ec2, id).await?;
            }
        }
        Ok(())
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "DescribeSnapshots"]),
            at.everywhere(&["image"], &["DeregisterImage"]),
            at.everywhere(&["snapshot"], &["DeleteSnapshot"]),
        ]
    }
}
