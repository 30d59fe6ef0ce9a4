//! The instance profile that an instance has while a build runs, and the role in it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{Mark, has_tag};
use crate::aws::error::ApiError;
use crate::aws::profile;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::permission::Permission;

/// An instance profile.
pub static KIND: Kind = Kind {
    key: "profile",
    label: "instance profile",
    order: Order::First,
    is_product: false,
    read: read::<InstanceProfile>,
    reap: Reap::InAccount(|area| Box::pin(all(area))),
};

/// An instance profile and a role of this name that have our tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Its name.
    pub name: String,
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for InstanceProfile {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let tags = profile::tags(&search.account.iam(search.cancel), &self.name).await?;
        Ok(Found::certain(has_tag(&tags, &self.token).then(|| self.name.clone())))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        _target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let name = &self.name;
        removal.ui.say(format!("Deleting the temporary instance profile {name} and its role"));
        profile::remove(&removal.account.iam(removal.cancel), name).await
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.temporary_roles(profile::REMOVAL_CALLS)]
    }
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let iam = area.account.iam(area.cancel);
    let mut tagged = Vec::new();
    for name in profile::called_as_ours(&iam).await? {
        let mark = Mark::of(&profile::tags(&iam, &name).await?);
        // Only builds choose such names.
        tagged.extend(mark.and_then(|mark| {
            let ours = InstanceProfile { name: name.clone(), token: mark.token.clone() };
            Tagged::new(Some(name), mark, true, ours)
        }));
    }
    Ok(tagged)
}
