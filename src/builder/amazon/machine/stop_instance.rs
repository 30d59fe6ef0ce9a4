//! The machine is stopped, so that its disks are at rest.

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::types::InstanceStateName;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::instance::{by_id, state};
use crate::aws::removal::INSTANCE_PATIENCE;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::machine::run_instance::Running;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Stops the instance; or, with `disable_stop_instance`, waits until it has stopped itself. EC2 does
/// not stop spot instances: it reboots them when it makes the image.
pub(crate) struct StopInstance {
    machine: Machine,
    id: String,
    token: String,
    is_spot: bool,
}

/// A machine whose disks are at rest, or will be when EC2 reboots it to make an image.
#[derive(Clone, Debug)]
pub(crate) struct Stopped {
    /// Its id.
    pub id: String,
    /// The token of the build that has started it.
    pub token: String,
}

impl StopInstance {
    pub(crate) fn new(machine: &Machine, instance: &Running) -> Self {
        let Running { id, token, is_spot, .. } = instance.clone();
        Self { machine: machine.clone(), id, token, is_spot }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let mut all = Vec::new();
        if settings.may_be_on_demand() {
            all.push(at.look(&["DescribeInstances"]));
            if !settings.run.disable_stop_instance {
                all.push(at.on_ours("instance", &["StopInstances"]));
            }
        }
        all
    }

    async fn stop(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say(format!("Stopping the instance {}", self.id));
        let ec2 = self.machine.build.ec2(cx).expecting([&self.id]);
        let request = ec2.stop_instances().instance_ids(&self.id);
        ec2.call("StopInstances", |_| request.clone().send()).await?;
        Ok(())
    }

    async fn look(&self, ec2: &Ec2) -> anyhow::Result<Seen<()>> {
        match by_id(ec2, &self.id).await?.as_ref().map(state) {
            Some(InstanceStateName::Stopped) => Ok(Seen::Ready(())),
            Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown) | None => {
                bail!("the instance {} ended instead of stopping", self.id)
            }
            Some(other) => Ok(Seen::pending(other.as_str())),
        }
    }
}

#[async_trait]
impl Step for StopInstance {
    type Output = Stopped;

    fn name(&self) -> &'static str {
        "stop the instance"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Stopped> {
        let stopped = Stopped { id: self.id.clone(), token: self.token.clone() };
        if self.is_spot {
            return Ok(stopped);
        }
        if self.machine.settings.run.disable_stop_instance {
            cx.ui.say(format!("Waiting for the instance {} to stop itself", self.id));
        } else {
            self.stop(cx).await?;
        }
        let patience = self.machine.build.patience(cx, INSTANCE_PATIENCE);
        let memory = &self.machine.build.account.memory;
        let wait = Wait { kind: "instance stopped", what: &self.id, patience, memory };
        let ec2 = self.machine.build.ec2(cx);
        wait.until(&cx.ui, &cx.cancel, || self.look(&ec2)).await?;
        Ok(stopped)
    }
}
