//! Enhanced networking, which an AMI takes over from its instance.

use async_trait::async_trait;
use aws_sdk_ec2::types::{AttributeBooleanValue, AttributeValue};

use crate::aws::allow::Regions;
use crate::builder::amazon::ebs::{Job, Settings};
use crate::builder::amazon::steps::Running;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Sets `ena_support` and `sriov_support` on the stopped instance, where they are given.
pub(crate) struct SetAttributes {
    job: Job,
    id: String,
}

impl SetAttributes {
    pub(crate) fn new(job: &Job, instance: &Running) -> Self {
        Self { job: job.clone(), id: instance.id.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
        let ami = &settings.ami;
        let is_set = ami.sriov_support || ami.ena_support.is_some();
        let modify = || at.on_ours("instance", &["ModifyInstanceAttribute"]);
        is_set.then(modify).into_iter().collect()
    }
}

#[async_trait]
impl Step for SetAttributes {
    type Output = ();

    fn name(&self) -> &'static str {
        "set the instance's attributes"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let ami = &self.job.settings.ami;
        let ec2 = self.job.ec2(cx);
        let request = ec2.modify_instance_attribute().instance_id(&self.id);
        if ami.sriov_support {
            cx.ui.say("Enabling enhanced networking (SR-IOV)");
            let simple = AttributeValue::builder().value("simple").build();
            let request = request.clone().sriov_net_support(simple);
            ec2.call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
        }
        if let Some(ena) = ami.ena_support {
            cx.ui.say(format!(
                "{} enhanced networking (ENA)",
                if ena { "Enabling" } else { "Disabling" }
            ));
            let value = AttributeBooleanValue::builder().value(ena).build();
            let request = request.ena_support(value);
            ec2.call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
        }
        Ok(())
    }
}
