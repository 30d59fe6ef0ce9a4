//! The security group that lets a build reach its instance.

use async_trait::async_trait;
use aws_sdk_ec2::types::SecurityGroup as Described;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{Mark, has_tag, of_any_build};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::permission::Permission;

/// A security group.
pub static KIND: Kind = Kind {
    key: "security_group",
    label: "security group",
    order: Order::Last,
    is_product: false,
    read: read::<SecurityGroup>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// What a temporary security group says of itself.
pub const DESCRIPTION: &str = "Temporary group for imgbake";

/// A security group of this name that has our tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its name.
    pub name: String,
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for SecurityGroup {
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
        Ok(find(&search.ec2, &self.name, &self.token, search.id).await?)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Deleting the temporary security group {}", self.name));
        // The interface of a terminated instance lets go of its group only after a while.
        let request = target.ec2.delete_security_group().group_id(target.id);
        Ok(target.ec2.remove("DeleteSecurityGroup", |_| request.clone().send()).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeSecurityGroups"]),
            at.on_ours("security-group", &["DeleteSecurityGroup"]),
        ]
    }
}

/// The security group `name` of the build of `token`; the one of this `id`, if that is known.
pub async fn find(ec2: &Ec2, name: &str, token: &str, id: Option<&str>) -> Result<Found, ApiError> {
    let request = ec2.describe_security_groups().filters(filter("group-name", [name]));
    let answer = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    let named = answer.security_groups().iter();
    let named = named.filter(|group| id.is_none_or(|id| group.group_id() == Some(id)));
    Ok(Found::best(named.map(|group| Found::new(group.group_id(), is_of_build(group, token)))))
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let ec2 = area.ec2();
    let request = ec2.describe_security_groups().filters(of_any_build());
    let answer = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    let tagged = answer.security_groups.unwrap_or_default().into_iter().filter_map(|group| {
        let mark = Mark::of(group.tags())?;
        let is_proven = is_of_build(&group, &mark.token);
        let ours = SecurityGroup { name: group.group_name?, token: mark.token.clone() };
        Tagged::new(group.group_id, mark, is_proven, ours)
    });
    Ok(tagged.collect())
}

/// Whether the build of `token` made this group.
fn is_of_build(group: &Described, token: &str) -> bool {
    has_tag(group.tags(), token)
        && group.description() == Some(DESCRIPTION)
        && group.group_name().is_some_and(|name| proof::is_named_by(token, name))
}
