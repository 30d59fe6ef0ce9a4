//! The machine is stopped, so that its disks are at rest.

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::types::InstanceStateName;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::instance::{by_id, state};
use crate::aws::removal::INSTANCE_PATIENCE;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::ebs::{Job, Settings};
use crate::builder::amazon::steps::Running;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Stops the instance; or, with `disable_stop_instance`, waits until it has stopped itself. EC2 does
/// not stop spot instances: it reboots them when it makes the image.
pub(crate) struct StopInstance {
    job: Job,
    id: String,
    is_spot: bool,
}

impl StopInstance {
    pub(crate) fn new(job: &Job, instance: &Running) -> Self {
        Self { job: job.clone(), id: instance.id.clone(), is_spot: instance.is_spot }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
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
        let ec2 = self.job.ec2(cx).expecting([&self.id]);
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
    type Output = ();

    fn name(&self) -> &'static str {
        "stop the instance"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.is_spot {
            return Ok(());
        }
        if self.job.settings.run.disable_stop_instance {
            cx.ui.say(format!("Waiting for the instance {} to stop itself", self.id));
        } else {
            self.stop(cx).await?;
        }
        let patience = self.job.patience(cx, INSTANCE_PATIENCE);
        let memory = &self.job.account.memory;
        let wait = Wait { kind: "instance stopped", what: &self.id, patience, memory };
        let ec2 = self.job.ec2(cx);
        wait.until(&cx.ui, &cx.cancel, || self.look(&ec2)).await
    }
}
