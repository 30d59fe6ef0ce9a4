//! The machine: started, awaited, and in the end terminated with all its volumes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, IamInstanceProfileSpecification, Instance,
    InstanceNetworkInterfaceSpecification, InstanceStateName, InstanceType, ResourceType,
    ShutdownBehavior as ApiShutdownBehavior, TagSpecification,
};

use crate::aws::error::{ApiError, Called as _};
use crate::aws::image::filter;
use crate::aws::retry::{again_on, until_known};
use crate::aws::tags::{specification, tag};
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon_ebs::block_device::mappings;
use crate::builder::amazon_ebs::run::{Interface, ShutdownBehavior};
use crate::builder::amazon_ebs::steps::{INSTANCE_PATIENCE, Network, SourceAmi, render_tags};
use crate::builder::amazon_ebs::{Job, Settings};
use crate::communicator::{Announcement, HostKey, Target, TemporaryKey};
use crate::component::BuildContext;
use crate::retry;
use crate::step::{Ending, Step};

/// The tag that finds this build's instance again, even if EC2's answer was lost.
const TOKEN_TAG: &str = "imgbake:build";
/// The tag that says which run an instance belongs to.
const RUN_TAG: &str = "imgbake:run";

/// Starts the instance and waits until it runs.
pub(crate) struct RunInstance {
    job: Job,
    source: SourceAmi,
    network: Network,
    key_name: Option<String>,
    groups: Vec<String>,
    tried: AtomicBool,
    unanswered: AtomicBool,
    id: OnceLock<String>,
}

/// The machine, running.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Its id.
    pub id: String,
    host: String,
}

impl Running {
    /// Where to connect to, and how to know the machine.
    pub(crate) fn target(&self, key: Option<Arc<TemporaryKey>>, host_key: Announcement) -> Target {
        let host_key = HostKey::Announced(host_key);
        Target { host: self.host.clone(), port: None, key, host_key }
    }
}

impl RunInstance {
    pub(crate) fn new(
        job: &Job,
        source: &SourceAmi,
        network: &Network,
        key_name: Option<String>,
        groups: Vec<String>,
    ) -> Self {
        Self {
            job: job.clone(),
            source: source.clone(),
            network: network.clone(),
            key_name,
            groups,
            tried: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            id: OnceLock::new(),
        }
    }

    fn settings(&self) -> &Settings {
        &self.job.settings
    }

    async fn request(&self, cx: &BuildContext) -> anyhow::Result<RunInstancesFluentBuilder> {
        let run = &self.settings().run;
        let profile = &run.iam_instance_profile;
        let profile = IamInstanceProfileSpecification::builder().name(profile).build();
        let profile = (!run.iam_instance_profile.is_empty()).then_some(profile);
        let request = self
            .job
            .account
            .ec2()
            .run_instances()
            .client_token(&self.job.token)
            .image_id(self.source.id())
            .instance_type(InstanceType::from(run.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .set_key_name(self.key_name.clone())
            .set_iam_instance_profile(profile)
            .set_user_data(run.encoded_user_data().await?)
            .set_block_device_mappings(self.disks())
            .set_tag_specifications(Some(self.tags(cx)?))
            .metadata_options(run.metadata_options.request())
            .ebs_optimized(run.ebs_optimized)
            .instance_initiated_shutdown_behavior(match run.shutdown_behavior {
                ShutdownBehavior::Stop => ApiShutdownBehavior::Stop,
                ShutdownBehavior::Terminate => ApiShutdownBehavior::Terminate,
            });
        let zone = self.network.zone.as_deref();
        let request = self.settings().hardware.ask_for(request, &run.instance_type, zone);
        Ok(self.with_network(request))
    }

    fn with_network(&self, request: RunInstancesFluentBuilder) -> RunInstancesFluentBuilder {
        let public = self.settings().run.associate_public_ip_address;
        match (&self.network.subnet, public) {
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

    fn disks(&self) -> Option<Vec<BlockDeviceMapping>> {
        mappings(&self.settings().ebs.launch_block_device_mappings)
    }

    fn tags(&self, cx: &BuildContext) -> anyhow::Result<Vec<TagSpecification>> {
        let mut own = self.job.run_tags(cx, &self.source)?;
        let interface = specification(ResourceType::NetworkInterface, &own);
        own.push(tag(RUN_TAG, &cx.facts.scope.environment.run_uuid));
        own.push(tag(TOKEN_TAG, &self.job.token));
        let ebs = &self.settings().ebs;
        let map = &ebs.run_volume_tags;
        let volumes = render_tags(cx, &self.source, "run_volume_tags", map, &ebs.run_volume_tag)?;
        let volumes = specification(ResourceType::Volume, &volumes);
        let instance = specification(ResourceType::Instance, &own);
        Ok([instance, interface, volumes].into_iter().flatten().collect())
    }

    async fn start(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let request = self.request(cx).await?;
        self.tried.store(true, Ordering::Relaxed);
        let call = || async {
            let called = request.clone().send().await.called("RunInstances");
            let unanswered = called.as_ref().is_err_and(ApiError::is_unanswered);
            self.unanswered.store(unanswered, Ordering::Relaxed);
            called
        };
        let answer = again_on(&cx.cancel, is_unknown_profile, call).await?;
        let id = answer.instances().first().and_then(|instance| instance.instance_id());
        let id = id.context("RunInstances answered no instance")?;
        Ok(self.id.get_or_init(|| id.to_owned()).clone())
    }

    async fn describe(&self, id: &str) -> Result<Option<Instance>, ApiError> {
        let request = self.job.account.ec2().describe_instances().instance_ids(id);
        match request.send().await.called("DescribeInstances") {
            Ok(answer) => Ok(first(answer.reservations)),
            Err(error) if error.is_unknown() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the instance is in the state that `look` wants to see.
    async fn wait<T>(
        &self,
        cx: &BuildContext,
        kind: &'static str,
        id: &str,
        look: impl Fn(Option<Instance>) -> anyhow::Result<Seen<T>>,
    ) -> anyhow::Result<T> {
        let memory = &self.job.account.memory;
        let patience = self.job.patience(cx, INSTANCE_PATIENCE);
        let look = &look;
        let wait = Wait { kind, what: id, patience, memory };
        wait.until(cx, || async move { look(self.describe(id).await?) }).await
    }

    /// The address to connect to. A public one may come a moment after the instance runs.
    async fn host(&self, cx: &BuildContext, mut instance: Instance) -> anyhow::Result<String> {
        if !self.settings().communicator.ssh_host.is_empty() {
            return Ok(String::new());
        }
        let id = instance.instance_id().unwrap_or_default().to_owned();
        let wanted = self.settings().run.ssh_interface;
        for look in 1..=3 {
            if let Some(host) = address(&instance, wanted, look == 3) {
                return Ok(host.to_owned());
            }
            retry::sleep(&cx.cancel, Duration::from_secs(1)).await?;
            let seen = retry::or_cancelled(&cx.cancel, self.describe(&id)).await??;
            instance = seen.with_context(|| format!("the instance {id} is gone"))?;
        }
        bail!("the instance {id} has no address to connect to (`ssh_interface` says which is used)")
    }

    /// The instance of an unanswered call. It may be seen only after a moment.
    async fn find(&self, cx: &BuildContext) -> anyhow::Result<Option<String>> {
        let looks = if self.unanswered.load(Ordering::Relaxed) { 6 } else { 1 };
        for look in 1..=looks {
            let request = self.job.account.ec2().describe_instances();
            let wanted = filter(format!("tag:{TOKEN_TAG}"), [&self.job.token]);
            let answer = request.filters(wanted).send().await.called("DescribeInstances")?;
            if let Some(instance) = first(answer.reservations) {
                return Ok(instance.instance_id);
            }
            if look < looks {
                retry::sleep(&cx.cancel, Duration::from_secs(1)).await?;
            }
        }
        Ok(None)
    }

    async fn terminate(&self, cx: &BuildContext, id: &str) -> anyhow::Result<()> {
        cx.ui.say(format!("Terminating the instance {id}"));
        let call = || async {
            let request = self.job.account.ec2().terminate_instances().instance_ids(id);
            request.send().await.called("TerminateInstances")
        };
        until_known(&cx.cancel, call).await?;
        self.wait(cx, "instance terminated", id, |instance| {
            let Some(instance) = instance else { return Ok(Seen::Ready(())) };
            Ok(match state(&instance) {
                InstanceStateName::Terminated => Seen::Ready(()),
                other => Seen::pending(other.as_str()),
            })
        })
        .await
    }

    /// The volumes of the instance and where they are attached.
    async fn volumes(&self, id: &str) -> Result<Vec<(String, String)>, ApiError> {
        let attached = filter("attachment.instance-id", [id]);
        let request = self.job.account.ec2().describe_volumes().filters(attached);
        let found = request.send().await.called("DescribeVolumes")?.volumes.unwrap_or_default();
        let found = found.into_iter().filter_map(|volume| {
            let device = volume.attachments().first()?.device()?.to_owned();
            Some((volume.volume_id?, device))
        });
        Ok(found.collect())
    }

    /// Deletes those of `volumes` that outlived the instance, unless the template keeps them.
    async fn delete_volumes(
        &self,
        cx: &BuildContext,
        volumes: Vec<(String, String)>,
        ending: Ending,
    ) -> anyhow::Result<()> {
        let disks = &self.settings().ebs.launch_block_device_mappings;
        let is_kept = |device: &str| {
            let disk = disks.iter().find(|disk| disk.device_name == device);
            let kept = disk.is_some_and(|disk| disk.delete_on_termination == Some(false));
            kept && ending == Ending::Done
        };
        for (id, device) in volumes {
            if is_kept(&device) {
                cx.ui.say(format!("Keeping the volume {id} ({device}) as the template says"));
                continue;
            }
            let call = || async {
                let request = self.job.account.ec2().delete_volume().volume_id(&id);
                match request.send().await.called("DeleteVolume") {
                    Err(error) if error.is_unknown() => Ok(()),
                    result => result.map(|_| ()),
                }
            };
            again_on(&cx.cancel, |error| error.is(&["VolumeInUse"]), call).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Step for RunInstance {
    type Output = Running;

    fn name(&self) -> &'static str {
        "run the instance"
    }

    fn makes(&self) -> Option<String> {
        let region = self.job.account.region();
        Some(match self.id.get() {
            Some(id) => format!("instance {id} in {region}"),
            None => format!("instance with the tag {TOKEN_TAG}={} in {region}", self.job.token),
        })
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Running> {
        cx.ui.say(format!("Starting an instance: {}", self.settings().run.instance_type));
        let id = self.start(cx).await?;
        cx.ui.say(format!("Instance: {id}"));
        let instance = self.wait(cx, "instance running", &id, |instance| {
            let Some(instance) = instance else { return Ok(Seen::pending("not known yet")) };
            match state(&instance) {
                InstanceStateName::Running => Ok(Seen::Ready(instance)),
                InstanceStateName::Pending => Ok(Seen::pending("pending")),
                other => {
                    bail!("the instance is {} instead of running{}", other.as_str(), why(&instance))
                }
            }
        });
        let instance = instance.await?;
        if cx.facts.debug {
            let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
            cx.ui.say(format!("Public DNS: {}", or_none(instance.public_dns_name())));
            cx.ui.say(format!("Public IP: {}", or_none(instance.public_ip_address())));
            cx.ui.say(format!("Private IP: {}", or_none(instance.private_ip_address())));
        }
        Ok(Running { id, host: self.host(cx, instance).await? })
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if !self.tried.load(Ordering::Relaxed) {
            return Ok(());
        }
        let id = match self.id.get() {
            Some(id) => Some(id.clone()),
            None => self.find(cx).await?,
        };
        let Some(id) = id else { return Ok(()) };
        // Afterwards nothing says any more which volumes were its.
        let volumes = self.volumes(&id).await;
        self.terminate(cx, &id).await?;
        self.delete_volumes(cx, volumes?, ending).await
    }
}

fn first(reservations: Option<Vec<aws_sdk_ec2::types::Reservation>>) -> Option<Instance> {
    reservations?.into_iter().flat_map(|found| found.instances.unwrap_or_default()).next()
}

/// The state of an instance.
pub(super) fn state(instance: &Instance) -> InstanceStateName {
    let name = instance.state().and_then(|state| state.name().cloned());
    name.unwrap_or(InstanceStateName::Pending)
}

/// What EC2 says of the reason for the state.
fn why(instance: &Instance) -> String {
    let reason = instance.state_reason().and_then(|reason| reason.message());
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// A new instance profile is not known everywhere at once.
fn is_unknown_profile(error: &ApiError) -> bool {
    error.is(&["InvalidParameterValue"]) && error.to_string().contains("iamInstanceProfile")
}

/// The address that `wanted` is about. Without a wish, the private one counts only at `last`.
fn address(instance: &Instance, wanted: Option<Interface>, last: bool) -> Option<&str> {
    let given = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
    let public = instance.public_ip_address().filter(|text| given(Some(text)));
    let private = instance.private_ip_address().filter(|text| given(Some(text)));
    let found = match wanted {
        Some(Interface::PublicIp) => public,
        Some(Interface::PrivateIp) => private,
        Some(Interface::PublicDns) => instance.public_dns_name(),
        Some(Interface::PrivateDns) => instance.private_dns_name(),
        Some(Interface::Ipv6) => instance.ipv6_address(),
        Some(Interface::SessionManager) => None,
        None if instance.vpc_id().is_some() => public.or(private.filter(|_| last)),
        None => instance.public_dns_name(),
    };
    found.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_address_counts_only_after_the_public_one_had_its_time() {
        let instance = Instance::builder().vpc_id("vpc-1").private_ip_address("10.0.0.1");
        let without = instance.clone().build();
        assert_eq!(address(&without, None, false), None);
        assert_eq!(address(&without, None, true), Some("10.0.0.1"));
        let with = instance.public_ip_address("198.51.100.1").build();
        assert_eq!(address(&with, None, false), Some("198.51.100.1"));
        assert_eq!(address(&with, Some(Interface::PrivateIp), false), Some("10.0.0.1"));
    }
}
