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
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// An instance that all of `filters` fit.
pub async fn matching(ec2: &Ec2, filters: Vec<Filter>) -> Result<Option<Instance>, ApiError> {
    let request = ec2.describe_instances().set_filters(Some(filters));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    Ok(first(answer.reservations))
}

/// All instances that all of `filters` fit.
pub async fn all_matching(ec2: &Ec2, filters: Vec<Filter>) -> Result<Vec<Instance>, ApiError> {
    let request = ec2.describe_instances().set_filters(Some(filters));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    let found = answer.reservations.unwrap_or_default().into_iter();
    Ok(found.flat_map(|found| found.instances.unwrap_or_default()).collect())
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

/// An instance that has ended, or is about to, although nobody of us has told it to; and why, as EC2
/// says it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the instance {id} is {state}{}{why}", if why.is_empty() { "" } else { ": " })]
pub struct Ended {
    id: String,
    state: &'static str,
    code: String,
    why: String,
}

impl Ended {
    /// How `instance` has ended, if it has.
    pub fn of(instance: &Instance) -> Option<Self> {
        let state = match state(instance) {
            InstanceStateName::ShuttingDown | InstanceStateName::Terminated => "terminated",
            InstanceStateName::Stopping | InstanceStateName::Stopped => "stopped",
            _ => return None,
        };
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let reason = instance.state_reason();
        Some(Self {
            id: owned(instance.instance_id()),
            state,
            code: owned(reason.and_then(|reason| reason.code())),
            why: owned(reason.and_then(|reason| reason.message())),
        })
    }

    /// Whether EC2 had started it before it saw that it could not.
    pub fn lacked_capacity(&self) -> bool {
        self.code == "Server.InsufficientInstanceCapacity"
    }

    /// Whether nobody of us can have stopped it.
    pub fn is_a_surprise(&self) -> bool {
        self.state == "terminated" || self.was_taken_back()
    }

    /// Whether it was a spot instance that EC2 needed for somebody else.
    pub fn was_taken_back(&self) -> bool {
        ["Server.SpotInstanceTermination", "Server.SpotInstanceShutdown"]
            .contains(&self.code.as_str())
    }
}
