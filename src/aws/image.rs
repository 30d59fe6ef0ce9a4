//! AMIs with their snapshots.

use aws_sdk_ec2::types::{Filter, Image};
use jiff::Timestamp;

use crate::aws::call::{Ec2, all_pages};
use crate::aws::error::ApiError;

/// A filter takes no more values.
pub const MOST_VALUES: usize = 200;

/// A filter of a `Describe…` call.
pub fn filter(
    name: impl Into<String>,
    values: impl IntoIterator<Item = impl Into<String>>,
) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// The account's own AMIs that are called `name`.
pub async fn own_by_name(ec2: &Ec2, name: &str) -> Result<Vec<Image>, ApiError> {
    matching(ec2, vec![filter("name", [name])]).await
}

/// The account's own AMIs that all of `filters` fit.
pub async fn matching(ec2: &Ec2, filters: Vec<Filter>) -> Result<Vec<Image>, ApiError> {
    let request = ec2.describe_images().owners("self").set_filters(Some(filters));
    let answer = ec2.call("DescribeImages", |_| request.clone().send()).await?;
    Ok(answer.images.unwrap_or_default())
}

/// All of the account's own AMIs.
pub async fn all_own(ec2: &Ec2) -> Result<Vec<Image>, ApiError> {
    all_pages(|token| async {
        let request = ec2.describe_images().owners("self").max_results(1000).set_next_token(token);
        let page = ec2.call("DescribeImages", |_| request.clone().send()).await?;
        Ok((page.images.unwrap_or_default(), page.next_token))
    })
    .await
}

/// The AMI `id`, if the API knows it.
pub async fn by_id(ec2: &Ec2, id: &str) -> Result<Option<Image>, ApiError> {
    match ec2.call("DescribeImages", |ec2| ec2.describe_images().image_ids(id).send()).await {
        Ok(answer) => Ok(answer.images.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// When an AMI was made.
pub fn creation(image: &Image) -> Option<Timestamp> {
    image.creation_date()?.parse().ok()
}

/// The snapshots behind `image`.
pub fn snapshots(image: &Image) -> Vec<String> {
    let disks = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    disks.filter_map(|disk| disk.snapshot_id()).map(str::to_owned).collect()
}

/// Has an AMI of ours be deregistered that the template wanted to be protected.
pub async fn lift_protection(ec2: &Ec2, image: &Image) -> Result<(), ApiError> {
    if !image.deregistration_protection().is_some_and(|state| state.starts_with("enabled")) {
        return Ok(());
    }
    let request = ec2.disable_image_deregistration_protection();
    let request = request.image_id(image.image_id().unwrap_or_default());
    ec2.remove("DisableImageDeregistrationProtection", |_| request.clone().send()).await
}

/// Removes an AMI; it is no error if it is gone already.
pub async fn deregister(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    ec2.remove("DeregisterImage", |ec2| ec2.deregister_image().image_id(id).send()).await
}

/// Removes a snapshot; it is no error if it is gone already.
pub async fn delete_snapshot(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteSnapshot", |ec2| ec2.delete_snapshot().snapshot_id(id).send()).await
}
