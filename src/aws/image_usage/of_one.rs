//! Who uses an AMI.

use aws_sdk_ec2::types::LaunchTemplateVersion;
use tokio::join;

use crate::aws::call::{Ec2, all_pages};
use crate::aws::error::ApiError;
use crate::aws::image::filter;

/// Who uses the AMI `id`: instances that run, and launch templates in their latest or their default
/// version, from which Auto Scaling groups start more.
pub async fn users_of_one(ec2: &Ec2, id: &str) -> Result<Vec<String>, ApiError> {
    let (instances, templates) = join!(instances(ec2, id), launch_templates(ec2, id));
    let mut users = instances?;
    users.extend(templates?);
    Ok(users)
}

async fn instances(ec2: &Ec2, id: &str) -> Result<Vec<String>, ApiError> {
    let running = filter("instance-state-name", ["pending", "running"]);
    let request = ec2.describe_instances().filters(filter("image-id", [id])).filters(running);
    let found = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    let all = found.reservations().iter().flat_map(|reservation| reservation.instances());
    Ok(all.filter_map(|one| Some(format!("the instance {}", one.instance_id()?))).collect())
}

async fn launch_templates(ec2: &Ec2, id: &str) -> Result<Vec<String>, ApiError> {
    let request = ec2
        .describe_launch_template_versions()
        .versions("$Latest")
        .versions("$Default")
        .filters(filter("image-id", [id]));
    let versions = all_pages(|token| async {
        let request = request.clone().set_next_token(token);
        let page = ec2.call("DescribeLaunchTemplateVersions", |_| request.clone().send()).await?;
        Ok((page.launch_template_versions.unwrap_or_default(), page.next_token))
    });
    let versions = versions.await?;
    let uses_it = |version: &&LaunchTemplateVersion| {
        version.launch_template_data().and_then(|data| data.image_id()) == Some(id)
    };
    let users = versions.iter().filter(uses_it).filter_map(|version| {
        let (name, number) = (version.launch_template_name()?, version.version_number()?);
        Some(format!("the launch template {name} (version {number})"))
    });
    let mut users: Vec<_> = users.collect();
    users.dedup();
    Ok(users)
}
