//! AMIs with their snapshots.

use aws_sdk_ec2::types::{Filter, Image};
use tokio_util::sync::CancellationToken;

use crate::aws::error::{ApiError, Called as _};
use crate::aws::retry::again_on;

/// A filter of a `Describe…` call.
pub fn filter(
    name: impl Into<String>,
    values: impl IntoIterator<Item = impl Into<String>>,
) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// The account's own AMIs that are called `name`.
pub async fn own_by_name(ec2: &aws_sdk_ec2::Client, name: &str) -> Result<Vec<Image>, ApiError> {
    let call = ec2.describe_images().owners("self").filters(filter("name", [name]));
    Ok(call.send().await.called("DescribeImages")?.images.unwrap_or_default())
}

/// The AMI `id`, if the API knows it.
pub async fn by_id(ec2: &aws_sdk_ec2::Client, id: &str) -> Result<Option<Image>, ApiError> {
    match ec2.describe_images().image_ids(id).send().await.called("DescribeImages") {
        Ok(answer) => Ok(answer.images.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_unknown() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The snapshots behind `image`.
pub fn snapshots(image: &Image) -> Vec<String> {
    let disks = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    disks.filter_map(|disk| disk.snapshot_id()).map(str::to_owned).collect()
}

/// Removes an AMI; it is no error if it is gone already.
pub async fn deregister(
    ec2: &aws_sdk_ec2::Client,
    id: &str,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let call = || async {
        match ec2.deregister_image().image_id(id).send().await.called("DeregisterImage") {
            Err(error) if error.is_unknown() => Ok(()),
            result => result.map(|_| ()),
        }
    };
    again_on(cancel, is_not_yet_allowed, call).await
}

/// Removes a snapshot; it is no error if it is gone already.
pub async fn delete_snapshot(
    ec2: &aws_sdk_ec2::Client,
    id: &str,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let call = || async {
        match ec2.delete_snapshot().snapshot_id(id).send().await.called("DeleteSnapshot") {
            Err(error) if error.is_unknown() => Ok(()),
            result => result.map(|_| ()),
        }
    };
    again_on(cancel, |error| error.is(&["InvalidSnapshot.InUse"]), call).await
}

/// Permissions of something just made take a moment to be known everywhere.
fn is_not_yet_allowed(error: &ApiError) -> bool {
    error.is(&["UnauthorizedOperation"])
}

/// Removes an AMI and the snapshots behind it.
pub async fn remove(
    ec2: &aws_sdk_ec2::Client,
    image: &Image,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let id = image.image_id().unwrap_or_default();
    deregister(ec2, id, cancel).await?;
    for snapshot in snapshots(image) {
        delete_snapshot(ec2, &snapshot, cancel).await?;
    }
    Ok(())
}
