//! An instance at the list price.

use anyhow::Context as _;
use aws_sdk_ec2::operation::run_instances::RunInstancesOutput;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    IamInstanceProfileSpecification, InstanceNetworkInterfaceSpecification, InstanceType,
    ShutdownBehavior as ApiShutdownBehavior,
};

use super::ladder::Rung;
use super::launch::Launch;
use crate::aws::allow::Regions;
use crate::aws::resource::instance;
use crate::builder::amazon::machine::find_network::Place;
use crate::builder::amazon::machine::run::ShutdownBehavior;
use crate::builder::amazon::machine::settings::MachineSettings;
use crate::component::BuildContext;
use crate::permission::Permission;

impl Launch {
    /// Starts the instance in the `nth` way that is tried, and says its id.
    pub(super) async fn start_on_demand(
        &self,
        cx: &BuildContext,
        rung: &Rung,
        nth: usize,
    ) -> anyhow::Result<String> {
        // EC2 refuses a token that comes again with another request.
        let token = match nth {
            0 => self.machine.build.token.clone(),
            nth => format!("{}-{nth}", self.machine.build.token),
        };
        let request = self.request(cx, rung).await?.client_token(token);
        let ec2 = self.ec2(cx);
        let id = |answer: RunInstancesOutput| answer.instances?.into_iter().next()?.instance_id;
        let look = async || Ok(instance::find(&ec2, &self.machine.build.token, None).await?.ours());
        ec2.make(&self.made(), "RunInstances", |_| request.clone().send(), id, look).await
    }

    async fn request(
        &self,
        cx: &BuildContext,
        rung: &Rung,
    ) -> anyhow::Result<RunInstancesFluentBuilder> {
        let (kind, place) =
            rung.types.first().zip(rung.places.first()).context("nothing to try")?;
        let run = &self.settings().run;
        let profile = |name| IamInstanceProfileSpecification::builder().name(name).build();
        let request = self
            .machine
            .build
            .ec2(cx)
            .run_instances()
            .image_id(self.source.id())
            .instance_type(InstanceType::from(kind.as_str()))
            .min_count(1)
            .max_count(1)
            .set_key_name(self.key_name.clone())
            .set_iam_instance_profile(self.profile.as_ref().map(profile))
            .set_user_data(run.encoded_user_data().await?)
            .set_block_device_mappings(self.disks())
            .set_tag_specifications(Some(self.tags(cx)?))
            .metadata_options(run.metadata_options.request())
            .ebs_optimized(run.ebs_optimized)
            // What has no volume cannot stop.
            .set_instance_initiated_shutdown_behavior(self.source.is_on_ebs().then_some(
                match run.shutdown_behavior {
                    ShutdownBehavior::Stop => ApiShutdownBehavior::Stop,
                    ShutdownBehavior::Terminate => ApiShutdownBehavior::Terminate,
                },
            ));
        let zone = place.zone.as_deref();
        let request = self.settings().hardware.ask_for(request, kind, zone);
        Ok(self.placed(request, place))
    }

    fn placed(
        &self,
        request: RunInstancesFluentBuilder,
        place: &Place,
    ) -> RunInstancesFluentBuilder {
        let public = self.settings().run.associate_public_ip_address;
        match (&place.subnet, public) {
            (Some(subnet), Some(public)) => request.network_interfaces(
                InstanceNetworkInterfaceSpecification::builder()
                    .device_index(0)
                    .associate_public_ip_address(public)
                    .subnet_id(subnet)
                    .set_groups(Some(self.groups.clone()))
                    .delete_on_termination(true)
                    .build(),
            ),
            (subnet, _) => request
                .set_subnet_id(subnet.clone())
                .set_security_group_ids(Some(self.groups.clone())),
        }
    }
}

/// What such an instance is made of, beside itself.
pub(super) const PARTS: &[&str] =
    &["image", "key-pair", "network-interface", "security-group", "snapshot", "subnet", "volume"];

/// What the account must allow for it.
pub(super) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
    let mut all = vec![
        at.make("instance", &["RunInstances"]),
        at.on(PARTS, &["RunInstances"]),
        at.tag_with(&["instance", "network-interface", "volume"], &["RunInstances"]),
    ];
    all.extend(settings.hardware.parts().map(|part| at.on(&[part], &["RunInstances"])));
    all
}
