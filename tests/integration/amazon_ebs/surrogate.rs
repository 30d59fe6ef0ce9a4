//! The `amazon-ebssurrogate` builder: the same machine, and an AMI of the volumes that it fills.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::bed::{Bed, Cloud, validated};
use super::cleanup::{self, Moment, kill_at_every_call};
use super::policy;
use super::proxy::{Call, Proxy, passes};
use super::reap;
use crate::support::Program;

/// The options of an AMI of two volumes; a third is for the build only.
fn options(bed: &Bed, changes: Json) -> Json {
    let mut options = bed.options(json!({
        "type": "amazon-ebssurrogate",
        "ami_virtualization_type": "hvm",
        "launch_block_device_mappings": [
            {"device_name": "/dev/xvdf", "volume_size": 8, "delete_on_termination": true},
            {"device_name": "/dev/xvdg", "volume_size": 4},
            {"device_name": "/dev/xvdh", "volume_size": 2, "omit_from_artifact": true},
        ],
        "ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "/dev/xvda"},
        "snapshot_tags": {"Kind": "root"},
        "tags": {"Base": "{{ .SourceAMI }}"},
    }));
    for (name, value) in changes.as_object().unwrap() {
        options.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    options
}

fn template(builder: &Json) -> (&'static str, String) {
    let shell = json!({"type": "shell", "inline": ["echo working"]});
    ("web.json", json!({"builders": [builder], "provisioners": [shell]}).to_string())
}

fn registered(bed: &Bed) -> (&'static str, String) {
    template(&options(bed, json!({})))
}

fn encrypted(bed: &Bed) -> (&'static str, String) {
    template(&options(bed, json!({"encrypt_boot": true})))
}

fn created(bed: &Bed) -> (&'static str, String) {
    template(&options(bed, json!({"use_create_image": true})))
}

/// Builds in `cloud` with these options: what was said, the calls, and the parameters of the one that
/// makes the AMI.
async fn built(cloud: &Cloud, changes: Json) -> (String, Vec<Call>) {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let program = Program::new();
    let (name, text) = template(&options(&cloud.bed, changes));
    program.write(name, text);
    let mut command = tokio::process::Command::from(program.command(["build", name]));
    let output = command.envs(proxy.environment()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    (said, proxy.calls())
}

fn parameters<'a>(calls: &'a [Call], action: &str) -> BTreeMap<&'a str, &'a str> {
    let call = calls.iter().find(|call| call.action == action);
    let call = call.unwrap_or_else(|| panic!("no {action}"));
    call.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_is_registered_from_snapshots_of_the_volumes() {
    let cloud = Cloud::start().await;
    let changes = json!({
        "ami_architecture": "arm64", "boot_mode": "uefi", "tpm_support": "v2.0",
        "ena_support": true, "sriov_support": true, "snapshot_description": "seed",
        "ami_root_device": {
            "source_device_name": "/dev/xvdf", "device_name": "/dev/xvda", "volume_size": 10,
        },
    });
    let (said, calls) = built(&cloud, changes).await;
    let left = cloud.left().await;
    let of = |prefix: &str| left.iter().filter(|one| one.starts_with(prefix)).count();
    // moto makes up a snapshot of its own.
    assert_eq!((of("ami-"), of("snap-"), left.len()), (1, 3, 4), "{left:?}\n{said}");
    assert!(said.contains("AMIs were created:\nus-east-1: ami-"), "{said}");

    let asked = parameters(&calls, "RegisterImage");
    let expected = [
        ("Name", "baked"),
        ("Architecture", "arm64"),
        ("RootDeviceName", "/dev/xvda"),
        ("VirtualizationType", "hvm"),
        ("BootMode", "uefi"),
        ("TpmSupport", "v2.0"),
        ("EnaSupport", "true"),
        ("SriovNetSupport", "simple"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "10"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/xvdg"),
    ];
    for (name, value) in expected {
        assert_eq!(asked.get(name), Some(&value), "{name}: {asked:#?}");
    }
    assert!(!asked.contains_key("BlockDeviceMapping.3.DeviceName"), "{asked:#?}");
    assert!(!calls.iter().any(|call| call.action == "ModifyInstanceAttribute"));

    let ec2 = cloud.bed.ec2("us-east-1");
    let snapshot = asked["BlockDeviceMapping.1.Ebs.SnapshotId"];
    let found = ec2.describe_snapshots().snapshot_ids(snapshot).send().await.unwrap();
    let made = &found.snapshots()[0];
    assert_eq!(made.description(), Some("seed"));
    let keys: Vec<_> = made.tags().iter().filter_map(|tag| tag.key()).collect();
    assert!(keys.contains(&"Kind") && keys.contains(&"Base"), "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("imgbake")), "it is handed over: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ec2_may_make_the_ami_of_the_machine_with_its_volumes_swapped() {
    let cloud = Cloud::start().await;
    let (said, calls) = built(&cloud, json!({"use_create_image": true})).await;
    let left = cloud.left().await;
    assert!(left.iter().all(|one| one.starts_with("ami-") || one.starts_with("snap-")), "{left:?}");
    let asked = parameters(&calls, "CreateImage");
    assert_eq!(asked["BlockDeviceMapping.1.DeviceName"], "/dev/xvda", "{asked:#?}");
    assert_eq!(asked["BlockDeviceMapping.2.DeviceName"], "/dev/xvdg", "{asked:#?}");
    assert!(!asked.contains_key("BlockDeviceMapping.3.DeviceName"), "{asked:#?}");
    assert_eq!(parameters(&calls, "AttachVolume")["Device"], "/dev/xvda");
    let detached = calls.iter().filter(|call| call.action == "DetachVolume").count();
    // moto gives a machine with disks of its own no root volume.
    assert_eq!(detached, 2, "the new root volume, and what is left out: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_copy_leaves_nothing_of_what_it_is_copied_from() {
    let cloud = Cloud::start().await;
    let (said, _) = built(&cloud, json!({"encrypt_boot": true})).await;
    let left = cloud.left().await;
    let of = |prefix: &str| left.iter().filter(|one| one.starts_with(prefix)).count();
    assert_eq!((of("ami-"), of("snap-"), left.len()), (1, 1, 2), "{left:?}\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surrogate_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["RunInstances", "CreateSnapshot", "RegisterImage"];
    kill_at_every_call(registered, &wanted, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_surrogate_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["CreateSnapshot", "RegisterImage", "CopyImage", "DeregisterImage"];
    kill_at_every_call(encrypted, &wanted, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_with_swapped_volumes_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["DetachVolume", "AttachVolume", "CreateImage", "DeleteVolume"];
    kill_at_every_call(created, &wanted, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_surrogate_build_has_left_is_found_by_its_tags_alone() {
    let cloud = Cloud::start().await;
    let moment = Moment { action: "RegisterImage".to_owned(), nth: 0, takes_effect: true };
    // Its journal goes with the directory of the program.
    drop(cleanup::killed(&cloud, registered, &moment).await);
    assert!(cloud.left().await.iter().any(|one| one.starts_with("ami-")));
    let (proxy, program) = (reap::calm(&cloud.bed).await, Program::new());
    let reaped = reap::run(&program, &proxy, &reap::ALL).await.succeeded();
    assert!(cloud.left().await.is_empty(), "{:?}\n{}", cloud.left().await, reaped.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_a_surrogate_build_and_what_cleans_up_after_it() {
    let cloud = Cloud::start().await;
    let unused = policy::unused(&cloud, &options(&cloud.bed, json!({})), &[]).await;
    let expected = [
        "DeleteSnapshot",
        "DeregisterImage",
        "DescribeKeyPairs",
        "DescribeSecurityGroups",
        "DescribeSubnets",
    ];
    assert_eq!(unused, expected.map(|action| format!("ec2:{action}")));
    cloud.bed.sweep(&cloud.before).await;
    let swaps = options(&cloud.bed, json!({"use_create_image": true}));
    let unused = policy::unused(&cloud, &swaps, &[]).await;
    let expected = [
        "DeleteSnapshot",
        "DeregisterImage",
        "DescribeKeyPairs",
        "DescribeSecurityGroups",
        "DescribeSnapshots",
        "DescribeSubnets",
    ];
    assert_eq!(unused, expected.map(|action| format!("ec2:{action}")));
}

#[test]
fn wrong_options_of_surrogate_volumes_are_refused() {
    let program = Program::new();
    let check = |changes: Json| {
        let builder = json!({
            "type": "amazon-ebssurrogate", "region": "us-east-1", "instance_type": "t3.micro",
            "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu", "ami_name": "baked",
            "ami_virtualization_type": "hvm",
            "launch_block_device_mappings": [{"device_name": "/dev/xvdf", "volume_size": 8}],
            "ami_root_device": {"source_device_name": "/dev/xvdf", "device_name": "/dev/xvda"},
        });
        validated(&program, builder, &changes)
    };
    let root = |name: &str, value: Json| {
        let mut root = json!({"source_device_name": "/dev/xvdf", "device_name": "/dev/xvda"});
        root[name] = value;
        json!({"ami_root_device": root})
    };
    let omitted =
        json!([{"device_name": "/dev/xvdf", "volume_size": 8, "omit_from_artifact": true}]);
    assert_eq!(check(json!({})).0, Some(0));
    for (changes, says) in [
        (json!({"ami_virtualization_type": null}), "needs `ami_virtualization_type`"),
        (root("source_device_name", json!("/dev/xvdg")), "has no device /dev/xvdg"),
        (root("source_device_name", json!("")), "becomes the root device"),
        (root("device_name", json!("")), "say which device it is in the AMI"),
        (root("volume_size", json!(4)), "smaller than the volume"),
        (root("volume_type", json!("gp9")), "no volume_type"),
        (root("volume_type", json!("io1")), ""),
        (json!({"launch_block_device_mappings": omitted}), "cannot be left out"),
        (json!({"ami_architecture": "mips"}), "x86_64"),
        (json!({"boot_mode": "bios"}), "legacy-bios"),
        (json!({"tpm_support": "v1.2"}), "v2.0"),
        (json!({"uefi_data": "QU1a", "boot_mode": "legacy-bios"}), "there is no UEFI"),
        (json!({"uefi_data": "QU1a"}), "starts with a BIOS"),
        (json!({"spot_price": "auto", "ena_support": true, "use_create_image": true}), "stopped"),
        (json!({"spot_price": "auto", "ena_support": true}), ""),
        (json!({"uefi_data": "QU1a", "ami_architecture": "arm64"}), ""),
    ] {
        let (code, found) = check(changes.clone());
        assert_eq!(code, Some(i32::from(!says.is_empty())), "{changes}: {found}");
        assert!(found.contains(says), "{changes}: {found}");
    }
    let (_, found) = check(json!({"use_create_image": true, "boot_mode": "uefi"}));
    assert!(found.contains("`boot_mode` has no effect with `use_create_image`"), "{found}");
}
