//! The machine: what it is, where it stands, what it may do.

use std::sync::LazyLock;

use serde_json::json;

use super::{Case, Scene, case, unconnected};
use crate::amazon_ebs::proxy::Fate;

/// A file of user data; it is there as long as the tests run.
static USER_DATA: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "#cloud-config\n").unwrap();
    file
});

pub(super) fn cases(scene: &Scene) -> Vec<Case> {
    let mut all = vec![large(scene), older(), reserved(), plain(), stopping_itself()];
    all.extend(networks(scene));
    all.extend([spot(scene), unfulfilled(), other_type(), on_demand()]);
    all.extend(profiles());
    all
}

fn large(scene: &Scene) -> Case {
    let license = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-1";
    let source = &scene.source;
    let options = json!({
        "source_ami": source, "source_ami_filter": null, "instance_type": "m6i.large",
        "availability_zone": "us-east-1b", "ebs_optimized": true,
        "shutdown_behavior": "terminate", "user_data": "#!/bin/sh\n",
        "placement": {"tenancy": "host", "host_id": "h-1"},
        "capacity_reservation_id": "cr-1", "enable_nitro_enclave": true,
        "license_specifications": [
            {"license_configuration_request": {"license_configuration_arn": license}},
        ],
        "metadata_options": {
            "http_tokens": "optional", "http_put_response_hop_limit": 2,
            "instance_metadata_tags": "enabled",
        },
        "run_tags": {"Of": "{{ .SourceAMI }}"}, "run_tag": [{"key": "Own", "value": "run"}],
        "run_volume_tags": {"Of": "{{ .BuildRegion }}"},
        "run_volume_tag": [{"name": "Disk", "value": "volume"}],
    });
    let target = "CapacityReservationSpecification.CapacityReservationTarget";
    let shows = format!(
        "source_ami: RunInstances ImageId = {source}
         instance_type: RunInstances InstanceType = m6i.large
         availability_zone: RunInstances Placement.AvailabilityZone = us-east-1b
         ebs_optimized: RunInstances EbsOptimized = true
         shutdown_behavior: RunInstances InstanceInitiatedShutdownBehavior = terminate
         user_data: RunInstances UserData = IyEvYmluL3NoCg==
         placement.tenancy: RunInstances Placement.Tenancy = host
         placement.host_id: RunInstances Placement.HostId = h-1
         capacity_reservation_id: RunInstances {target}.CapacityReservationId = cr-1
         enable_nitro_enclave: RunInstances EnclaveOptions.Enabled = true
         # EC2 takes no word on the credits of a machine that has none.
         enable_unlimited_credits: RunInstances without CreditSpecification
         license_specifications.license_configuration_request.license_configuration_arn: RunInstances LicenseSpecification.1.LicenseConfigurationArn = {license}
         metadata_options.http_tokens: RunInstances MetadataOptions.HttpTokens = optional
         metadata_options.http_put_response_hop_limit: RunInstances MetadataOptions.HttpPutResponseHopLimit = 2
         metadata_options.instance_metadata_tags: RunInstances MetadataOptions.InstanceMetadataTags = enabled
         run_tags: RunInstances TagSpecification.*.Tag.*.Value = {source}
         run_tag.key: RunInstances TagSpecification.*.Tag.*.Key = Own
         run_tag.value: CreateKeyPair TagSpecification.1.Tag.*.Value = run
         run_tag.value: CreateSecurityGroup TagSpecification.1.Tag.*.Value = run
         run_volume_tags: RunInstances TagSpecification.3.Tag.*.Value = us-east-1
         run_volume_tag.name: RunInstances TagSpecification.3.Tag.*.Key = Disk
         run_volume_tag.value: RunInstances TagSpecification.3.Tag.*.Value = volume"
    );
    case(options, &shows).without_machine()
}

fn older() -> Case {
    let options = json!({
        "tenancy": "dedicated", "enable_t2_unlimited": true, "instance_type": "t2.micro",
        "capacity_reservation_preference": "open", "user_data_file": USER_DATA.path(),
        "metadata_options": {"http_endpoint": "disabled"},
    });
    let shows = "
        tenancy: RunInstances Placement.Tenancy = dedicated
        tenancy: warns: `placement.tenancy`
        enable_t2_unlimited: RunInstances CreditSpecification.CpuCredits = unlimited
        enable_t2_unlimited: warns: `enable_unlimited_credits`
        capacity_reservation_preference: RunInstances CapacityReservationSpecification.CapacityReservationPreference = open
        user_data_file: RunInstances UserData = I2Nsb3VkLWNvbmZpZwo=
        metadata_options.http_endpoint: RunInstances MetadataOptions.HttpEndpoint = disabled
        metadata_options.http_tokens: RunInstances without MetadataOptions.HttpTokens";
    case(options, shows).without_machine()
}

fn reserved() -> Case {
    let options = json!({
        "enable_unlimited_credits": true, "capacity_reservation_group_arn": "arn:aws:group",
        "placement": {"host_resource_group_arn": "arn:aws:hosts"},
    });
    let target = "CapacityReservationSpecification.CapacityReservationTarget";
    let shows = format!(
        "enable_unlimited_credits: RunInstances CreditSpecification.CpuCredits = unlimited
         capacity_reservation_group_arn: RunInstances {target}.CapacityReservationResourceGroupArn = arn:aws:group
         placement.host_resource_group_arn: RunInstances Placement.HostResourceGroupArn = arn:aws:hosts"
    );
    case(options, &shows).without_machine()
}

/// What nobody asks for is not asked for, and the safe way is the default.
fn plain() -> Case {
    let shows = "
        enable_unlimited_credits: RunInstances CreditSpecification.CpuCredits = standard
        capacity_reservation_preference: RunInstances CapacityReservationSpecification.CapacityReservationPreference = none
        placement.tenancy: RunInstances without Placement
        enable_nitro_enclave: RunInstances without EnclaveOptions
        iam_instance_profile: RunInstances without IamInstanceProfile
        shutdown_behavior: RunInstances InstanceInitiatedShutdownBehavior = stop
        metadata_options.http_tokens: RunInstances MetadataOptions.HttpTokens = required
        temporary_security_group_source_public_ip: AuthorizeSecurityGroupIngress IpPermissions.1.IpRanges.1.CidrIp = 127.0.0.1/32";
    case(json!({}), shows).without_machine()
}

fn stopping_itself() -> Case {
    let options = json!({"disable_stop_instance": true, "skip_create_ami": true});
    let shows = "
        disable_stop_instance: no StopInstances
        skip_create_ami: no CreateImage";
    unconnected(options, shows).with(|action, before| match (action, before) {
        ("DescribeInstances", 1..) => {
            Fate::Rewritten("<name>running</name>", "<name>stopped</name>")
        }
        _ => Fate::Passes,
    })
}

fn networks(scene: &Scene) -> Vec<Case> {
    let Scene { subnets: [first, second], vpc, group, .. } = scene;
    let open = "AuthorizeSecurityGroupIngress IpPermissions.1";
    let all = [
        (
            json!({
                "subnet_id": first, "associate_public_ip_address": true,
                "security_group_ids": [group],
                "source_ami_filter": {
                    "filters": {"name": "ubuntu/*"}, "owners": ["099720109477"],
                    "most_recent": true, "include_deprecated": true,
                },
            }),
            format!(
                "subnet_id: RunInstances NetworkInterface.1.SubnetId = {first}
                 associate_public_ip_address: RunInstances NetworkInterface.1.AssociatePublicIpAddress = true
                 security_group_ids: RunInstances NetworkInterface.1.SecurityGroupId.1 = {group}
                 source_ami_filter.filters: DescribeImages Filter.1.Value.1 = ubuntu/*
                 source_ami_filter.owners: DescribeImages Owner.1 = 099720109477
                 source_ami_filter.include_deprecated: DescribeImages IncludeDeprecated = true
                 source_ami_filter.most_recent: RunInstances"
            ),
        ),
        (
            json!({
                "vpc_filter": {"filters": {"is-default": "true"}},
                "subnet_filter": {"filters": {"vpc-id": vpc}, "random": true},
                "temporary_security_group_source_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
            }),
            format!(
                "vpc_filter.filters: DescribeVpcs Filter.1.Name = is-default
                 vpc_filter.filters: CreateSecurityGroup VpcId = {vpc}
                 subnet_filter.filters: DescribeSubnets Filter.1.Value.1 = {vpc}
                 subnet_filter.random: RunInstances
                 temporary_security_group_source_cidrs: {open}.IpRanges.1.CidrIp = 192.0.2.0/24
                 temporary_security_group_source_cidrs: {open}.Ipv6Ranges.1.CidrIpv6 = 2001:db8::/32"
            ),
        ),
        (
            json!({
                "vpc_id": vpc,
                "subnet_filter": {
                    "filters": {"subnet-id": format!("{first},{second}")}, "most_free": true,
                },
                "temporary_security_group_source_public_ip": true,
            }),
            format!(
                "vpc_id: CreateSecurityGroup VpcId = {vpc}
                 subnet_filter.most_free: RunInstances
                 temporary_security_group_source_public_ip: {open}.IpRanges.1.CidrIp = 127.0.0.1/32"
            ),
        ),
        (
            json!({"security_group_filter": {"filters": {"group-name": "mine"}}}),
            format!(
                "security_group_filter.filters: DescribeSecurityGroups Filter.1.Value.1 = mine
                 security_group_filter.filters: RunInstances SecurityGroupId.1 = {group}"
            ),
        ),
        (
            json!({"security_group_id": group}),
            format!("security_group_id: RunInstances SecurityGroupId.1 = {group}"),
        ),
    ];
    let elsewhere = "
        ssh_interface: test: the_private_address_counts_only_after_the_public_one_had_its_time
        pause_before_ssm: test: an_image_is_baked_on_a_machine_that_nobody_can_connect_to
        session_manager_port: test: other_programs_get_a_port_of_this_host_if_the_template_wants_one";
    let all = all
        .into_iter()
        .map(|(options, shows)| case(options, &(shows + elsewhere)).without_machine());
    all.collect()
}

fn spot(scene: &Scene) -> Case {
    let (source, subnet) = (&scene.source, &scene.subnets[0]);
    let options = json!({
        "ami_name": "spot", "subnet_id": subnet, "source_ami": source, "source_ami_filter": null,
        "instance_type": null, "spot_instance_types": ["t3.micro", "t3.small"],
        "spot_price": "0.05", "spot_allocation_strategy": "capacity-optimized-prioritized",
        "spot_tags": {"Of": "{{ .SourceAMI }}"}, "spot_tag": [{"key": "Own", "value": "spot"}],
        "fleet_tags": {"Of": "{{ .BuildRegion }}"},
        "fleet_tag": [{"key": "Own", "value": "fleet"}],
        "block_duration_minutes": 60, "spot_price_auto_product": "Linux/UNIX",
        "launch_block_device_mappings": [{"device_name": "/dev/sdh", "volume_size": 8}],
        "run_volume_tags": {"Disk": "volume"}, "user_data": "#!/bin/sh\n",
    });
    let (overrides, data) = ("LaunchTemplateConfigs.1.Overrides", "LaunchTemplateData");
    let shows = format!(
        "spot_price: CreateFleet {overrides}.1.MaxPrice = 0.05
         spot_price: CreateFleet Type = instant
         spot_price: CreateFleet TargetCapacitySpecification.DefaultTargetCapacityType = spot
         spot_price: no RunInstances
         spot_price: no StopInstances
         spot_price: CreateImage
         spot_price: DeleteLaunchTemplate
         spot_instance_types: CreateFleet {overrides}.2.InstanceType = t3.small
         spot_allocation_strategy: CreateFleet SpotOptions.AllocationStrategy = capacity-optimized-prioritized
         spot_allocation_strategy: CreateFleet {overrides}.2.Priority = 1.0
         spot_tags: CreateLaunchTemplate TagSpecification.1.Tag.*.Value = {source}
         spot_tags: CreateTags ResourceId.1 = sir-1
         spot_tag.key: CreateLaunchTemplate TagSpecification.1.Tag.*.Key = Own
         spot_tag.value: CreateTags Tag.*.Value = spot
         fleet_tags: CreateFleet TagSpecification.1.Tag.*.Value = us-east-1
         fleet_tag.key: CreateFleet TagSpecification.1.Tag.*.Key = Own
         fleet_tag.value: CreateFleet TagSpecification.1.Tag.*.Value = fleet
         block_duration_minutes: warns: does nothing
         spot_price_auto_product: warns: does nothing
         source_ami: CreateLaunchTemplate {data}.ImageId = {source}
         subnet_id: CreateFleet {overrides}.1.SubnetId = {subnet}
         metadata_options.http_tokens: CreateLaunchTemplate {data}.MetadataOptions.HttpTokens = required
         launch_block_device_mappings.volume_size: CreateLaunchTemplate {data}.BlockDeviceMapping.1.Ebs.VolumeSize = 8
         run_volume_tags: CreateLaunchTemplate {data}.TagSpecification.*.Tag.*.Value = volume
         user_data: CreateLaunchTemplate {data}.UserData = IyEvYmluL3NoCg=="
    );
    unconnected(options, &shows).with(|action, _| match action {
        "DescribeInstances" => Fate::Rewritten(
            "<instanceType>",
            "<spotInstanceRequestId>sir-1</spotInstanceRequestId><instanceType>",
        ),
        "CreateTags" => Fate::Done,
        _ => Fate::Passes,
    })
}

fn unfulfilled() -> Case {
    let options = json!({
        "spot_price": "auto", "availability_zone": "us-east-1b", "instance_type": "m6i.large",
    });
    let overrides = "LaunchTemplateConfigs.1.Overrides";
    let shows = format!(
        "spot_price: CreateFleet without {overrides}.1.MaxPrice
         spot_price: fails: CreateFleet failed: m6i.large in us-east-1b: Too low. (SpotMaxPriceTooLow)
         spot_price: DeleteLaunchTemplate
         spot_allocation_strategy: CreateFleet without SpotOptions
         availability_zone: CreateFleet {overrides}.1.AvailabilityZone = us-east-1b"
    );
    unconnected(options, &shows).with(|action, _| match action {
        "CreateFleet" => Fate::Answered(
            200,
            "<CreateFleetResponse><fleetId>fleet-1</fleetId><errorSet><item>\
             <errorCode>SpotMaxPriceTooLow</errorCode><errorMessage>Too low.</errorMessage>\
             <launchTemplateAndOverrides><overrides><instanceType>m6i.large</instanceType>\
             <availabilityZone>us-east-1b</availabilityZone></overrides>\
             </launchTemplateAndOverrides></item></errorSet></CreateFleetResponse>",
        ),
        _ => Fate::Passes,
    })
}

fn other_type() -> Case {
    let options = json!({
        "availability_zone": "us-east-1b", "fallback_instance_types": ["m6i.large"],
    });
    case(options, "fallback_instance_types: RunInstances InstanceType = m6i.large").with(
        |action, before| match (action, before) {
            ("RunInstances", 0) => Fate::Refused("InsufficientInstanceCapacity"),
            ("RunInstances", _) => Fate::Refused("VcpuLimitExceeded"),
            _ => Fate::Passes,
        },
    )
}

fn on_demand() -> Case {
    let options = json!({
        "spot_price": "0.01", "spot_fallback_to_on_demand": true,
        "availability_zone": "us-east-1b",
    });
    let shows = "spot_fallback_to_on_demand: RunInstances InstanceType = t3.micro";
    case(options, shows).with(|action, _| match action {
        "CreateFleet" => Fate::Refused("MaxSpotInstanceCountExceeded"),
        "RunInstances" => Fate::Refused("VcpuLimitExceeded"),
        _ => Fate::Passes,
    })
}

fn profiles() -> Vec<Case> {
    const OPTION: &str = "temporary_iam_instance_profile_policy_document";
    let written = "PutRolePolicy PolicyDocument = \
        {\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\
        \"Action\":[\"logs:*\"],\"Resource\":[\"arn:aws:logs:*\"]}]}";
    let shows = format!(
        "{OPTION}.Version: {written}
         {OPTION}.Statement.Effect: {written}
         {OPTION}.Statement.Action: {written}
         {OPTION}.Statement.Resource: {written}
         {OPTION}.Statement.Effect: AddRoleToInstanceProfile
         {OPTION}.Statement.Effect: DeleteInstanceProfile
         {OPTION}.Statement.Effect: DeleteRole
         run_tags: CreateRole Tags.member.1.Value = images
         run_tags: CreateInstanceProfile Tags.member.1.Value = images"
    );
    let temporary = json!({
        OPTION: {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["logs:*"], "Resource": ["arn:aws:logs:*"]},
        ]},
        "run_tags": {"Team": "images"}, "skip_create_ami": true,
    });
    let unknown = json!({"iam_instance_profile": "mine"});
    let unchecked = json!({"iam_instance_profile": "mine", "skip_profile_validation": true});
    let unchecked_shows = "
        skip_profile_validation: no GetInstanceProfile
        iam_instance_profile: RunInstances IamInstanceProfile.Name = mine";
    vec![
        unconnected(temporary, &shows),
        case(unknown, "iam_instance_profile: fails: no instance profile `mine`"),
        case(unchecked, unchecked_shows).without_machine(),
    ]
}
