//! Instances and their volumes.

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, Reservation, Volume};

use crate::aws::error::{ApiError, Called as _};
use crate::aws::image::filter;

/// The instance `id`, if the API knows it.
pub async fn by_id(ec2: &aws_sdk_ec2::Client, id: &str) -> Result<Option<Instance>, ApiError> {
    let request = ec2.describe_instances().instance_ids(id);
    match request.send().await.called("DescribeInstances") {
        Ok(answer) => Ok(first(answer.reservations)),
        Err(error) if error.is_unknown() => Ok(None),
        Err(error) => Err(error),
    }
}

/// An instance that all of `filters` fit.
pub async fn matching(
    ec2: &aws_sdk_ec2::Client,
    filters: Vec<Filter>,
) -> Result<Option<Instance>, ApiError> {
    let request = ec2.describe_instances().set_filters(Some(filters));
    Ok(first(request.send().await.called("DescribeInstances")?.reservations))
}

fn first(reservations: Option<Vec<Reservation>>) -> Option<Instance> {
    reservations?.into_iter().flat_map(|found| found.instances.unwrap_or_default()).next()
}

/// The state of an instance.
pub fn state(instance: &Instance) -> InstanceStateName {
    let name = instance.state().and_then(|state| state.name().cloned());
    name.unwrap_or(InstanceStateName::Pending)
}

/// The volumes of the instance `id`.
pub async fn volumes(ec2: &aws_sdk_ec2::Client, id: &str) -> Result<Vec<Volume>, ApiError> {
    let request = ec2.describe_volumes().filters(filter("attachment.instance-id", [id]));
    Ok(request.send().await.called("DescribeVolumes")?.volumes.unwrap_or_default())
}
