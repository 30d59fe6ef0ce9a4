//! Instances and their volumes.

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, Reservation, Volume};

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;

/// The instance `id`, if the API knows it.
pub async fn by_id(ec2: &Ec2, id: &str) -> Result<Option<Instance>, ApiError> {
    let request = ec2.describe_instances().instance_ids(id);
    match ec2.call("DescribeInstances", |_| request.clone().send()).await {
        Ok(answer) => Ok(first(answer.reservations)),
        Err(error) if error.is_unknown() => Ok(None),
        Err(error) => Err(error),
    }
}

/// An instance that all of `filters` fit.
pub async fn matching(ec2: &Ec2, filters: Vec<Filter>) -> Result<Option<Instance>, ApiError> {
    let request = ec2.describe_instances().set_filters(Some(filters));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    Ok(first(answer.reservations))
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
pub async fn volumes(ec2: &Ec2, id: &str) -> Result<Vec<Volume>, ApiError> {
    let request = ec2.describe_volumes().filters(filter("attachment.instance-id", [id]));
    let answer = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    Ok(answer.volumes.unwrap_or_default())
}
