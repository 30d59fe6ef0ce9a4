//! Enhanced networking, which an AMI takes over from its instance.

use async_trait::async_trait;
use aws_sdk_ec2::types::{AttributeBooleanValue, AttributeValue};

use crate::aws::allow::Regions;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::machine::stop_instance::Stopped;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Sets `ena_support` and `sriov_support` on the stopped instance, where they are given.
pub(crate) struct SetAttributes {
    machine: Machine,
    id: String,
}

impl SetAttributes {
    pub(crate) fn new(machine: &Machine, stopped: &Stopped) -> Self {
        Self { machine: machine.clone(), id: stopped.id.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let modify = || at.on_ours("instance", &["ModifyInstanceAttribute"]);
        settings.networking.is_set().then(modify).into_iter().collect()
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
        let networking = &self.machine.settings.networking;
        let ec2 = self.machine.build.ec2(cx);
        let request = ec2.modify_instance_attribute().instance_id(&self.id);
        if networking.sriov_support {
            cx.ui.say("Enabling enhanced networking (SR-IOV)");
            let simple = AttributeValue::builder().value("simple").build();
            let request = request.clone().sriov_net_support(simple);
            ec2.call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
        }
        if let Some(ena) = networking.ena_support {
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
