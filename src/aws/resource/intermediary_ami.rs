//! An AMI that a build makes only to copy it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::resource::ami::Ami;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read};
use crate::permission::Permission;

/// An intermediary AMI. `imgbake reap` finds those that are left as unfinished AMIs.
pub static KIND: Kind = Kind {
    key: "intermediary",
    label: "intermediary AMI",
    order: Order::First,
    is_product: false,
    read: read::<IntermediaryAmi>,
    reap: Reap::No,
};

/// An AMI that goes when it is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntermediaryAmi(pub Ami);

#[async_trait]
impl Resource for IntermediaryAmi {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        Resource::name(&self.0)
    }

    fn tokens(&self) -> Vec<&str> {
        self.0.tokens()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        self.0.parent()
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        self.0.find(search).await
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let id = target.id;
        let parts = if self.0.snapshots.is_empty() { " and its snapshots" } else { "" };
        removal.ui.say(format!("Removing the intermediary AMI {id}{parts}"));
        self.0.remove_with_snapshots(removal, target).await
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        Ami::permissions(at)
    }
}
