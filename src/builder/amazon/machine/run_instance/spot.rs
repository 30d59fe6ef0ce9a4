//! A spot instance: a launch template says what it is, and a fleet of one finds where it can run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::operation::create_launch_template::CreateLaunchTemplateOutput;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, CreateFleetError, DefaultTargetCapacityType,
    FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest,
    FleetLaunchTemplateSpecificationRequest, FleetType, Instance, InstanceMetadataOptionsRequest,
    InstanceType, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType,
    SpotOptionsRequest, Tag, TagSpecification, TargetCapacitySpecificationRequest,
};

use super::ladder::Rung;
use super::launch::Launch;
use super::on_demand::PARTS;
use crate::aws::allow::Regions;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::name;
use crate::aws::resource::{Resource as _, instance, launch_template};
use crate::aws::tags::specification;
use crate::builder::amazon::build::render_tags;
use crate::builder::amazon::machine::find_network::Place;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::machine::spot::AllocationStrategy;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::retry::{self, Backoff};

/// What the instance is started from, as long as the build runs.
pub(super) struct LaunchTemplate {
    name: String,
    pub(super) made: Arc<Thing>,
}

/// How often a fleet is asked for that does not know something yet, and the waits in between.
const TRIES: usize = 11;
const WAITS: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 2.0, longest: Duration::from_secs(30) };

impl LaunchTemplate {
    /// The template that `machine` will be started from.
    pub(super) fn new(machine: &Machine) -> Self {
        let name = format!("packer-fleet-launch-template-{}", name::time_ordered_id());
        let made = launch_template::LaunchTemplate {
            name: name.clone(),
            token: machine.build.token.clone(),
        };
        Self {
            made: Arc::new(made.thing(&machine.build.account, machine.build.account.region())),
            name,
        }
    }
}

impl Launch {
    /// Has a fleet start one instance of the launch template, and says its id. That a fleet does not
    /// know yet what was just made, passes.
    pub(super) async fn start_spot(
        &self,
        cx: &BuildContext,
        template: &LaunchTemplate,
        rung: &Rung,
    ) -> anyhow::Result<String> {
        let request = self.fleet(cx, template, rung)?;
        let mut waits = WAITS.jittered().take(TRIES - 1);
        loop {
            let error = match self.one_of_fleet(cx, &request).await? {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            let wait = waits.next().filter(|_| error.is_not_found());
            let Some(wait) = wait else { return Err(error.into()) };
            tracing::info!(%error, "another fleet is asked for");
            retry::sleep(&cx.cancel, wait).await?;
        }
    }

    /// The instance that a fleet has started, or why it has started none.
    async fn one_of_fleet(
        &self,
        cx: &BuildContext,
        request: &CreateFleetFluentBuilder,
    ) -> anyhow::Result<Result<String, ApiError>> {
        // A fleet that found nothing would answer the same again to the same token.
        let request = request.clone().client_token(name::time_ordered_id());
        let ec2 = self.ec2(cx);
        let look = async || {
            Ok(instance::find(&ec2, &self.machine.build.token, None).await?.ours().map(Ok))
        };
        let answered = |answer: CreateFleetOutput| Some(started(&answer));
        ec2.make(&self.made(), "CreateFleet", |_| request.clone().send(), answered, look).await
    }

    /// Makes the launch template.
    pub(super) async fn make_template(
        &self,
        cx: &BuildContext,
        template: &LaunchTemplate,
    ) -> anyhow::Result<()> {
        let mut tags = self.spot_tags(cx)?;
        tags.extend(self.machine.build.own_tags(cx, &self.source)?);
        let tags = specification(ResourceType::LaunchTemplate, &tags);
        let ec2 = self.ec2(cx);
        let request = ec2
            .create_launch_template()
            .client_token(&self.machine.build.token)
            .launch_template_name(&template.name)
            .launch_template_data(self.template_data(cx).await?)
            .set_tag_specifications(tags.map(|tags| vec![tags]));
        let name =
            |answer: CreateLaunchTemplateOutput| answer.launch_template?.launch_template_name;
        let look = async || {
            Ok(launch_template::find(&ec2, &template.name, &self.machine.build.token).await?.ours())
        };
        let made = &template.made;
        let call = ec2.make(made, "CreateLaunchTemplate", |_| request.clone().send(), name, look);
        cx.journal.made(made, &call.await?);
        Ok(())
    }

    async fn template_data(&self, cx: &BuildContext) -> anyhow::Result<RequestLaunchTemplateData> {
        let run = &self.settings().run;
        let profile = |name| {
            LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(name).build()
        };
        let tags = self.tags(cx)?.into_iter().map(of_template);
        let disks = self.disks().map(|disks| disks.iter().map(disk_of_template).collect());
        let data = RequestLaunchTemplateData::builder()
            .image_id(self.source.id())
            .set_key_name(self.key_name.clone())
            .set_iam_instance_profile(self.profile.as_ref().map(profile))
            .set_user_data(run.encoded_user_data().await?)
            .set_block_device_mappings(disks)
            .set_tag_specifications(Some(tags.collect()))
            .metadata_options(metadata_of_template(&run.metadata_options.request()))
            .ebs_optimized(run.ebs_optimized);
        let mut types = self.settings().spot.types(&run.instance_type);
        types.extend(run.fallback_instance_types.iter().map(String::as_str));
        // A template needs one; the fleet has its own list, and one of places, too.
        let data = data.set_instance_type(types.first().map(|&kind| InstanceType::from(kind)));
        let data = self.settings().hardware.ask_for_spot(data, &types);
        let data = match run.associate_public_ip_address {
            Some(public) if self.network.place.subnet.is_some() => data.network_interfaces(
                LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
                    .device_index(0)
                    .associate_public_ip_address(public)
                    .set_groups(Some(self.groups.clone()))
                    .delete_on_termination(true)
                    .build(),
            ),
            _ => data.set_security_group_ids(Some(self.groups.clone())),
        };
        Ok(data.build())
    }

    /// A fleet of one spot instance, now or never.
    fn fleet(
        &self,
        cx: &BuildContext,
        template: &LaunchTemplate,
        rung: &Rung,
    ) -> anyhow::Result<CreateFleetFluentBuilder> {
        let spot = &self.settings().spot;
        let template = FleetLaunchTemplateSpecificationRequest::builder()
            .launch_template_name(&template.name)
            .version("1")
            .build();
        let config = FleetLaunchTemplateConfigRequest::builder()
            .launch_template_specification(template)
            .set_overrides(Some(self.choices(rung)))
            .build();
        let capacity = TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(1)
            .default_target_capacity_type(DefaultTargetCapacityType::Spot)
            .build();
        let strategy = |strategy: AllocationStrategy| {
            SpotOptionsRequest::builder().allocation_strategy(strategy.of_api()).build()
        };
        let tags = render_tags(cx, &self.source, "fleet_tags", &spot.fleet_tags, &spot.fleet_tag)?;
        let tags = specification(ResourceType::Fleet, &tags);
        Ok(self
            .machine
            .build
            .ec2(cx)
            .create_fleet()
            .r#type(FleetType::Instant)
            .launch_template_configs(config)
            .target_capacity_specification(capacity)
            .set_spot_options(spot.spot_allocation_strategy.map(strategy))
            .set_tag_specifications(tags.map(|tags| vec![tags])))
    }

    /// What the fleet may choose from: each type in each place, at the template's price.
    fn choices(&self, rung: &Rung) -> Vec<FleetLaunchTemplateOverridesRequest> {
        let spot = &self.settings().spot;
        let prioritized =
            spot.spot_allocation_strategy == Some(AllocationStrategy::CapacityOptimizedPrioritized);
        let choice = |priority: u16, kind: &str, place: &Place| {
            // A subnet is in a zone already.
            let zone = place.zone.clone().filter(|_| place.subnet.is_none());
            FleetLaunchTemplateOverridesRequest::builder()
                .instance_type(InstanceType::from(kind))
                .set_max_price(spot.highest_price().map(str::to_owned))
                .set_subnet_id(place.subnet.clone())
                .set_availability_zone(zone)
                .set_priority(prioritized.then(|| priority.into()))
                .build()
        };
        let types = (0..).zip(&rung.types);
        let all = types.flat_map(|(priority, kind)| {
            rung.places.iter().map(move |place| choice(priority, kind, place))
        });
        all.collect()
    }

    fn spot_tags(&self, cx: &BuildContext) -> anyhow::Result<Vec<Tag>> {
        let spot = &self.settings().spot;
        render_tags(cx, &self.source, "spot_tags", &spot.spot_tags, &spot.spot_tag)
    }

    /// Tags the spot request that the fleet has made, which it does not do itself.
    pub(super) async fn tag_request(
        &self,
        cx: &BuildContext,
        instance: &Instance,
    ) -> anyhow::Result<()> {
        let tags = self.spot_tags(cx)?;
        let Some(request) = instance.spot_instance_request_id().filter(|_| !tags.is_empty()) else {
            return Ok(());
        };
        let ec2 = self.machine.build.ec2(cx).expecting([request]);
        let tagging = ec2.create_tags().resources(request).set_tags(Some(tags));
        let tagged = ec2.call("CreateTags", |_| tagging.clone().send()).await;
        tagged.context("cannot tag the spot request")?;
        Ok(())
    }
}

/// What the account must allow for it.
pub(super) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
    let spot = &settings.spot;
    let services = ["spot.amazonaws.com", "ec2fleet.amazonaws.com"];
    let roles = Permission::new(["iam:CreateServiceLinkedRole"]).made_by_service();
    let mut all = vec![
        at.make("launch-template", &["CreateLaunchTemplate"]),
        at.on_ours("launch-template", &["CreateFleet"]),
        at.on(&["fleet"], &["CreateFleet"]),
        at.on(PARTS, &["CreateFleet"]),
        at.make("instance", &["CreateFleet"]),
        // What the fleet does itself.
        at.make("instance", &["RunInstances"]).made_by_service(),
        at.on(PARTS, &["RunInstances"]).made_by_service(),
        at.on(&["launch-template", "spot-instances-request"], &["RunInstances"]).made_by_service(),
        at.tag_with(
            &["fleet", "instance", "launch-template", "network-interface", "volume"],
            &["CreateFleet", "CreateLaunchTemplate", "RunInstances"],
        ),
        roles.when("StringEquals", "iam:AWSServiceName", services),
    ];
    all.extend(launch_template::LaunchTemplate::permissions(at));
    if !spot.spot_tags.is_empty() || !spot.spot_tag.is_empty() {
        all.push(at.on(&["spot-instances-request"], &["CreateTags"]));
    }
    all
}

/// The instance that the fleet has started, or why there is none. One is enough: what else the
/// answer complains about, is about types that were not taken.
fn started(answer: &CreateFleetOutput) -> Result<String, ApiError> {
    let ids = answer.instances().iter().flat_map(|started| started.instance_ids());
    if let Some(id) = ids.into_iter().next() {
        return Ok(id.clone());
    }
    let errors = answer.errors();
    let codes = || errors.iter().filter_map(CreateFleetError::error_code);
    let code = codes().find(|code| is_about_capacity(code)).or(codes().next());
    let reasons: Vec<_> = errors.iter().map(reason).collect();
    let reasons = match reasons.as_slice() {
        [] => "the fleet started no instance, and EC2 does not say why".to_owned(),
        reasons => reasons.join("; "),
    };
    Err(ApiError::answered("CreateFleet", code.unwrap_or("NoInstance"), &reasons))
}

/// Whether another type, or another place, may do.
fn is_about_capacity(code: &str) -> bool {
    Meaning::of(code, "", 200) == Meaning::NoCapacity
}

/// `m5.large in us-east-1a: There is no Spot capacity … (InsufficientInstanceCapacity)`
fn reason(error: &CreateFleetError) -> String {
    let choice = error.launch_template_and_overrides().and_then(|tried| tried.overrides());
    let kind = choice.and_then(|choice| choice.instance_type()).map(|kind| kind.as_str());
    let zone = choice.and_then(|choice| choice.availability_zone());
    let tried = match (kind, zone) {
        (Some(kind), Some(zone)) => format!("{kind} in {zone}: "),
        (Some(one), None) | (None, Some(one)) => format!("{one}: "),
        (None, None) => String::new(),
    };
    let (code, text) = (error.error_code().unwrap_or("no code"), error.error_message());
    format!("{tried}{} ({code})", text.unwrap_or("no reason given"))
}

fn of_template(tags: TagSpecification) -> LaunchTemplateTagSpecificationRequest {
    LaunchTemplateTagSpecificationRequest::builder()
        .set_resource_type(tags.resource_type)
        .set_tags(tags.tags)
        .build()
}

fn disk_of_template(disk: &BlockDeviceMapping) -> LaunchTemplateBlockDeviceMappingRequest {
    let volume = disk.ebs().map(|volume| {
        LaunchTemplateEbsBlockDeviceRequest::builder()
            .set_delete_on_termination(volume.delete_on_termination())
            .set_volume_size(volume.volume_size())
            .set_volume_type(volume.volume_type().cloned())
            .set_iops(volume.iops())
            .set_throughput(volume.throughput())
            .set_encrypted(volume.encrypted())
            .set_kms_key_id(volume.kms_key_id().map(str::to_owned))
            .set_snapshot_id(volume.snapshot_id().map(str::to_owned))
            .build()
    });
    LaunchTemplateBlockDeviceMappingRequest::builder()
        .set_device_name(disk.device_name().map(str::to_owned))
        .set_virtual_name(disk.virtual_name().map(str::to_owned))
        .set_no_device(disk.no_device().map(str::to_owned))
        .set_ebs(volume)
        .build()
}

fn metadata_of_template(
    options: &InstanceMetadataOptionsRequest,
) -> LaunchTemplateInstanceMetadataOptionsRequest {
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .set_http_endpoint(options.http_endpoint().map(|word| word.as_str().into()))
        .set_http_tokens(options.http_tokens().map(|word| word.as_str().into()))
        .set_http_put_response_hop_limit(options.http_put_response_hop_limit())
        .set_instance_metadata_tags(
            options.instance_metadata_tags().map(|word| word.as_str().into()),
        )
        .build()
}
