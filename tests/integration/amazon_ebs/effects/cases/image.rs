//! The image: its disks, who may use it, its copies, its end.

use serde_json::{Value as Json, json};

use super::{Case, OLD, Scene, case, table, unconnected};
use crate::amazon_ebs::proxy::Fate;

const ORGANIZATION: &str = "arn:aws:organizations::123456789012:organization/o-1";
const UNIT: &str = "arn:aws:organizations::123456789012:ou/o-1/ou-1";

pub(super) fn cases(scene: &Scene) -> Vec<Case> {
    let mut all = vec![shared(scene), kept(), replaced(), encrypted(), away()];
    all.push(disks("launch_block_device_mappings", "RunInstances", "/dev/sdb").without_machine());
    let mut of_image = disks("ami_block_device_mappings", "CreateImage", "/dev/sdc");
    of_image
        .shows
        .extend(table("no_ephemeral: CreateImage BlockDeviceMapping.*.DeviceName = xvdcz"));
    all.push(of_image);
    all.extend(fast_launch());
    let other_kind = json!({"ami_virtualization_type": "paravirtual"});
    let shows = "ami_virtualization_type: \
                 fails: is hvm, but `ami_virtualization_type` is paravirtual";
    all.push(case(other_kind, shows));
    all
}

fn shared(scene: &Scene) -> Case {
    let source = &scene.source;
    let options = json!({
        "ami_name": "shared", "ami_virtualization_type": "hvm",
        "ami_description": "of {{ .SourceAMI }}", "source_ami": source, "source_ami_filter": null,
        "ami_users": ["111122223333"], "ami_groups": ["all"], "ami_org_arns": [ORGANIZATION],
        "ami_ou_arns": [UNIT], "ami_product_codes": ["code1"],
        "snapshot_users": ["444455556666"], "snapshot_groups": ["all"],
        "ena_support": true, "sriov_support": true, "imds_support": "v2.0",
        "tags": {"Of": "{{ .SourceAMI }}"}, "tag": [{"key": "Own", "value": "image"}],
        "snapshot_tags": {"Of": "{{ .BuildRegion }}"},
        "snapshot_tag": [{"key": "Mine", "value": "snapshot"}],
        "run_tags": {"Team": "images"}, "skip_ami_run_tags": true,
        "deprecate_at": "2099-12-31T23:59:59Z", "deregistration_protection": {"enabled": true},
    });
    let (image, instance) = ("ModifyImageAttribute", "ModifyInstanceAttribute");
    let shows = format!(
        "ami_name: CreateImage Name = shared
         ami_description: CreateImage Description = of {source}
         ami_users: {image} LaunchPermission.Add.1.UserId = 111122223333
         ami_groups: {image} LaunchPermission.Add.1.Group = all
         ami_org_arns: {image} LaunchPermission.Add.1.OrganizationArn = {ORGANIZATION}
         ami_ou_arns: {image} LaunchPermission.Add.1.OrganizationalUnitArn = {UNIT}
         ami_product_codes: {image} ProductCode.1 = code1
         imds_support: {image} ImdsSupport.Value = v2.0
         snapshot_users: ModifySnapshotAttribute UserId.1 = 444455556666
         snapshot_groups: ModifySnapshotAttribute UserGroup.1 = all
         ena_support: {instance} EnaSupport.Value = true
         sriov_support: {instance} SriovNetSupport.Value = simple
         tags: CreateTags Tag.*.Value = {source}
         tag.key: CreateTags Tag.*.Key = Own
         tag.value: CreateTags Tag.*.Value = image
         snapshot_tags: CreateTags Tag.*.Value = us-east-1
         snapshot_tag.key: CreateTags Tag.*.Key = Mine
         snapshot_tag.value: CreateTags Tag.*.Value = snapshot
         skip_ami_run_tags: CreateImage without TagSpecification.1.Tag.3
         deprecate_at: EnableImageDeprecation DeprecateAt = 2099-12-31T23:59:59Z
         deregistration_protection.enabled: EnableImageDeregistrationProtection WithCooldown = false"
    );
    unconnected(options, &shows).with(lifetime)
}

fn kept() -> Case {
    let options = json!({"ami_name": "kept", "deregistration_protection": {"with_cooldown": true}});
    let shows = "deregistration_protection.with_cooldown: \
                 EnableImageDeregistrationProtection WithCooldown = true";
    unconnected(options, shows).with(lifetime)
}

/// What moto does not know.
fn lifetime(action: &str, _: usize) -> Fate {
    match action {
        "EnableImageDeprecation" | "EnableImageDeregistrationProtection" => Fate::Done,
        _ => Fate::Passes,
    }
}

fn replaced() -> Case {
    let options = json!({
        "ami_name": OLD, "force_deregister": true, "force_delete_snapshot": true,
        "force_deregister_in_use": true,
    });
    let shows = "
        force_deregister: DeregisterImage 2 times
        force_deregister: CreateImage Name = old
        force_deregister_in_use: no DescribeLaunchTemplateVersions
        force_delete_snapshot: DeleteSnapshot";
    unconnected(options, shows)
}

fn encrypted() -> Case {
    let options = json!({
        "ami_name": "encrypted", "ami_regions": ["eu-west-1"],
        "snapshot_copy_duration_minutes": 30, "encrypt_boot": true,
        "kms_key_id": "alias/here", "region_kms_key_ids": {"eu-west-1": "alias/there"},
    });
    let shows = "
        ami_regions: CopyImage in eu-west-1
        ami_regions: CopyImage SourceRegion = us-east-1
        snapshot_copy_duration_minutes: CopyImage SnapshotCopyCompletionDurationMinutes = 30
        encrypt_boot: CopyImage in us-east-1
        encrypt_boot: CopyImage Encrypted = true
        encrypt_boot: CopyImage Name = encrypted
        encrypt_boot: DeregisterImage 1 times
        kms_key_id: CopyImage KmsKeyId = alias/here
        region_kms_key_ids: CopyImage KmsKeyId = alias/there";
    unconnected(options, shows)
}

fn away() -> Case {
    let options = json!({
        "ami_name": "away", "ami_regions": ["eu-west-1"], "skip_save_build_region": true,
    });
    let shows = "
        skip_save_build_region: CopyImage 1 times
        skip_save_build_region: DeregisterImage 1 times
        encrypt_boot: CopyImage without Encrypted";
    unconnected(options, shows)
}

fn disks(option: &str, call: &str, device: &str) -> Case {
    let options = json!({
        "ami_name": "disks", "no_ephemeral": true,
        option: [
            {
                "device_name": device, "volume_size": 100, "volume_type": "gp3", "iops": 4000,
                "throughput": 250, "delete_on_termination": true, "encrypted": true,
                "kms_key_id": "alias/disk", "snapshot_id": "snap-1",
            },
            {"device_name": "/dev/sdx", "virtual_name": "ephemeral0"},
            {"device_name": "/dev/sdy", "no_device": true},
        ],
    });
    let [first, second, third] = [1, 2, 3].map(|n| format!("{call} BlockDeviceMapping.{n}"));
    let shows = format!(
        "{option}.device_name: {first}.DeviceName = {device}
         {option}.volume_size: {first}.Ebs.VolumeSize = 100
         {option}.volume_type: {first}.Ebs.VolumeType = gp3
         {option}.iops: {first}.Ebs.Iops = 4000
         {option}.throughput: {first}.Ebs.Throughput = 250
         {option}.delete_on_termination: {first}.Ebs.DeleteOnTermination = true
         {option}.encrypted: {first}.Ebs.Encrypted = true
         {option}.kms_key_id: {first}.Ebs.KmsKeyId = alias/disk
         {option}.snapshot_id: {first}.Ebs.SnapshotId = snap-1
         {option}.virtual_name: {second}.VirtualName = ephemeral0
         {option}.no_device: {third}.NoDevice ="
    );
    unconnected(options, &shows)
}

fn windows(name: &str, fast_launch: Json, shows: &str) -> Case {
    let options =
        json!({"ami_name": name, "ami_regions": ["eu-west-1"], "fast_launch": fast_launch});
    unconnected(options, shows).with(|action, _| match action {
        "EnableFastLaunch" | "DisableFastLaunch" => Fate::Done,
        "DescribeFastLaunchImages" => Fate::Answered(
            200,
            "<DescribeFastLaunchImagesResponse><fastLaunchImageSet><item><state>enabled</state>\
             </item></fastLaunchImageSet></DescribeFastLaunchImagesResponse>",
        ),
        "DescribeLaunchTemplates" => Fate::Answered(
            200,
            "<DescribeLaunchTemplatesResponse><launchTemplates><item>\
             <latestVersionNumber>7</latestVersionNumber></item></launchTemplates>\
             </DescribeLaunchTemplatesResponse>",
        ),
        _ => Fate::Passes,
    })
}

fn fast_launch() -> Vec<Case> {
    let everywhere = json!({
        "enable_fast_launch": true, "template_id": "lt-1", "template_version": 5,
        "max_parallel_launches": 8, "target_resource_count": 3,
        "region_launch_templates": [
            {"region": "eu-west-1", "template_name": "there", "template_version": 6},
        ],
    });
    let everywhere_shows = "
        fast_launch.enable_fast_launch: EnableFastLaunch ResourceType = snapshot
        fast_launch.template_id: EnableFastLaunch LaunchTemplate.LaunchTemplateId = lt-1
        fast_launch.template_version: EnableFastLaunch LaunchTemplate.Version = 5
        fast_launch.max_parallel_launches: EnableFastLaunch MaxParallelLaunches = 8
        fast_launch.target_resource_count: EnableFastLaunch SnapshotConfiguration.TargetResourceCount = 3
        fast_launch.region_launch_templates.region: EnableFastLaunch in eu-west-1
        fast_launch.region_launch_templates.template_name: EnableFastLaunch LaunchTemplate.LaunchTemplateName = there
        fast_launch.region_launch_templates.template_version: EnableFastLaunch LaunchTemplate.Version = 6";
    let here = json!({
        "template_name": "here",
        "region_launch_templates": [{"region": "eu-west-1", "enable_fast_launch": false}],
    });
    let here_shows = "
        fast_launch.template_name: EnableFastLaunch LaunchTemplate.LaunchTemplateName = here
        fast_launch.template_version: EnableFastLaunch LaunchTemplate.Version = 7
        fast_launch.region_launch_templates.enable_fast_launch: EnableFastLaunch 1 times";
    // The build fails when it is enabled in the other region.
    let there = json!({
        "template_name": "here", "template_version": 8,
        "region_launch_templates": [{"region": "eu-west-1", "template_id": "lt-2"}],
    });
    let there_shows = "
        fast_launch.region_launch_templates.template_id: EnableFastLaunch LaunchTemplate.LaunchTemplateId = lt-2
        fast_launch.template_version: fails: the latest version of here is 7, not 8
        fast_launch.region_launch_templates.template_id: DisableFastLaunch";
    vec![
        windows("windows", everywhere, everywhere_shows),
        windows("windows-here", here, here_shows),
        windows("windows-there", there, there_shows),
    ]
}
