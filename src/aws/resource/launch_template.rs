//! The launch template that a fleet starts a spot instance from.

use async_trait::async_trait;
use aws_sdk_ec2::types::LaunchTemplate as Described;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::of_any_build;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::permission::Permission;

/// A launch template.
pub static KIND: Kind = Kind {
    key: "launch_template",
    label: "launch template",
    order: Order::First,
    is_product: false,
    read: read::<LaunchTemplate>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// A launch template of this name that has our tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Its name.
    pub name: String,
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for LaunchTemplate {
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
        Ok(find(&search.ec2, &self.name, &self.token).await?)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Deleting the temporary launch template {}", self.name));
        let request = target.ec2.delete_launch_template().launch_template_name(&self.name);
        Ok(target.ec2.remove("DeleteLaunchTemplate", |_| request.clone().send()).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeLaunchTemplates"]),
            at.on_ours("launch-template", &["DeleteLaunchTemplate"]),
        ]
    }
}

/// The launch template `name` of the build of `token`.
pub async fn find(ec2: &Ec2, name: &str, token: &str) -> Result<Found, ApiError> {
    let wanted = filter("launch-template-name", [name]);
    let request = ec2.describe_launch_templates().filters(wanted);
    let answer = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let named = answer.launch_templates().iter();
    let named = named.filter(|one| one.launch_template_name() == Some(name));
    Ok(Found::best(named.map(|one| Found::new(Some(name), is_of_build(one, token)))))
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let ec2 = area.ec2();
    let request = ec2.describe_launch_templates().filters(of_any_build());
    let answer = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let tagged = answer.launch_templates().iter().filter_map(|template| {
        let name = template.launch_template_name.clone();
        let ours = |name, token| LaunchTemplate { name, token };
        Tagged::named(template.tags(), template.create_time(), name, ours)
    });
    Ok(tagged.collect())
}

/// Whether the build of `token` made this launch template.
fn is_of_build(template: &Described, token: &str) -> bool {
    proof::is_tagged_at_beginning(template.tags(), token, template.create_time())
}
