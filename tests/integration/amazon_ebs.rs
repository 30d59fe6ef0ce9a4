//! The `amazon-ebs` builder, and others on the same machine, against a real EC2 API (moto) and a real
//! SSH server.

mod access;
mod adoption;
mod ami_tools;
pub mod bed;
mod boot_test;
mod capacity;
mod chroot;
mod cleanup;
mod effects;
mod failures;
mod import;
mod instance;
mod interruption;
mod moment;
mod network;
mod old_journals;
mod options;
mod policy;
mod provisioning;
pub mod proxy;
mod reap;
mod replacement;
mod resume;
mod session_manager;
mod signals;
mod speed;
mod storm;
mod strangers;
mod surrogate;
mod unchanged;
mod undo;
mod volumes;
mod windows;

use std::collections::BTreeMap;

use serde_json::json;

use self::bed::{Bed, Build};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_leaves_an_ami_and_nothing_else() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let ended = bed
        .build(bed.options(json!({
            "ami_description": "from {{ .SourceAMIName }}",
            "tags": {"Base": "{{ .SourceAMI }}", "Region": "{{ .BuildRegion }}"},
            "snapshot_tags": {"Kind": "snapshot"},
            "run_tags": {"Team": "images"},
        })))
        .await;
    let artifact = ended.artifact();
    let (region, ami) =
        artifact.id().split_once(':').map(|(r, a)| (r.to_owned(), a.to_owned())).unwrap();
    assert_eq!(region, "us-east-1");
    assert_eq!(artifact.builder_id(), "mitchellh.amazonebs");
    assert_eq!(artifact.describe(), format!("AMIs were created:\nus-east-1: {ami}\n"));
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());

    let ec2 = bed.ec2("us-east-1");
    let found = ec2.describe_images().image_ids(&ami).send().await.unwrap();
    let image = &found.images()[0];
    assert_eq!(image.name(), Some("baked"));
    let data = ended.data.as_ref().unwrap();
    assert_eq!(
        image.description().unwrap(),
        format!("from {}", data["SourceAMIName"].as_str().unwrap())
    );
    let tags: BTreeMap<_, _> =
        image.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(tags["Base"], data["SourceAMI"].as_str().unwrap());
    assert_eq!((tags["Region"], tags["Team"]), ("us-east-1", "images"));

    let snapshot = image.block_device_mappings()[0].ebs().unwrap().snapshot_id().unwrap();
    let snapshots = ec2.describe_snapshots().snapshot_ids(snapshot).send().await.unwrap();
    let tags: BTreeMap<_, _> = snapshots.snapshots()[0]
        .tags()
        .iter()
        .map(|tag| (tag.key().unwrap(), tag.value().unwrap()))
        .collect();
    assert_eq!((tags["Kind"], tags["Team"]), ("snapshot", "images"));

    let mut expected = before.clone();
    expected.extend([ami.clone(), snapshot.to_owned()]);
    assert_eq!(bed.inventory("us-east-1").await, expected);

    artifact.destroy().await.unwrap();
    assert_eq!(bed.inventory("us-east-1").await, before);
    assert!(artifact.destroy().await.is_err(), "what is gone cannot be destroyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioners_know_the_machine_and_its_source() {
    let bed = Bed::new();
    let ended = bed.build(bed.options(json!({}))).await;
    ended.artifact();
    let data = ended.data.as_ref().unwrap();
    assert!(data["ID"].as_str().unwrap().starts_with("i-"), "{data:?}");
    assert!(data["SourceAMI"].as_str().unwrap().starts_with("ami-"), "{data:?}");
    assert_eq!(data["BuildRegion"], "us-east-1");
    assert_eq!(data["SourceAMIOwner"], "099720109477");
    assert!(data["SSHPrivateKey"].as_str().unwrap().contains("PRIVATE KEY"));
    assert!(!ended.said.iter().any(|line| line.contains("PRIVATE KEY")), "{:?}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_and_permissions_reach_every_region() {
    let bed = Bed::new();
    let ended = bed
        .build(bed.options(json!({
            "ami_regions": ["us-east-1", "eu-west-1", "eu-west-1"],
            "ami_users": ["111122223333"],
            "snapshot_users": ["111122223333"],
            "tags": {"Name": "web"},
        })))
        .await;
    let id = ended.artifact().id();
    let amis: BTreeMap<_, _> = id.split(',').map(|one| one.split_once(':').unwrap()).collect();
    assert_eq!(amis.keys().copied().collect::<Vec<_>>(), ["eu-west-1", "us-east-1"]);
    for (region, ami) in [("eu-west-1", amis["eu-west-1"]), ("us-east-1", amis["us-east-1"])] {
        let ec2 = bed.ec2(region);
        let found = ec2.describe_images().image_ids(ami).send().await.unwrap();
        assert_eq!(found.images()[0].tags()[0].value(), Some("web"), "{region}");
        let permissions = ec2
            .describe_image_attribute()
            .image_id(ami)
            .attribute("launchPermission".into())
            .send()
            .await
            .unwrap();
        assert_eq!(permissions.launch_permissions()[0].user_id(), Some("111122223333"), "{region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_stops_the_build_before_anything_is_made() {
    let bed = Bed::new();
    let first = bed.build(bed.options(json!({}))).await;
    let before = bed.inventory("us-east-1").await;
    let second = bed.build(bed.options(json!({}))).await;
    let error = second.error();
    assert!(error.contains("an AMI called `baked` exists already in us-east-1: ami-"), "{error}");
    let looks = [
        "check the account",
        "check the AMI's name",
        "find the source AMI",
        "find the network",
        "check the source AMI",
    ];
    assert_eq!(second.steps, looks);
    assert_eq!(bed.inventory("us-east-1").await, before);

    let proxy = proxy::Proxy::before(bed.moto.endpoint()).with_manners().start().await;
    let mut forced =
        Build::of(bed.options(json!({"force_delete_snapshot": true})), proxy.endpoint());
    forced.force = true;
    let forced = forced.run().await;
    assert_ne!(forced.artifact().id(), first.artifact().id());
    let after = bed.inventory("us-east-1").await;
    assert_eq!(after.len(), before.len(), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_temporary_group_is_open_to_this_machine_alone() {
    let bed = Bed::new();
    let ec2 = bed.ec2("us-east-1");
    // The build fails when the machine is there, and is looked at before it is undone.
    let proxy = proxy::Proxy::start(
        bed.moto.endpoint(),
        Box::new(|action, _| match action {
            "DeleteSecurityGroup" => proxy::Fate::Vanishes,
            _ => proxy::Fate::Passes,
        }),
    );
    let proxy = proxy.await;
    let options = bed.options(json!({"max_retries": 1, "run_tags": {"Team": "images"}}));
    let ended = Build::of(options, proxy.endpoint()).run().await;
    ended.artifact();
    let left = ended.journal.left_behind();
    assert_eq!(left.len(), 1, "{left:?}");
    let groups = ec2.describe_security_groups().send().await.unwrap();
    let group = groups
        .security_groups()
        .iter()
        .find(|group| group.group_name().unwrap().starts_with("packer_"))
        .unwrap();
    let rule = &group.ip_permissions()[0];
    let port = i32::from(bed.sshd.port);
    assert_eq!((rule.from_port(), rule.to_port()), (Some(port), Some(port)));
    let sources: Vec<_> = rule.ip_ranges().iter().filter_map(|range| range.cidr_ip()).collect();
    assert_eq!(sources, ["127.0.0.1/32"]);
    assert_eq!(group.tags()[0].value(), Some("images"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_an_ami_ends_well() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let ended = bed.build(bed.options(json!({"skip_create_ami": true}))).await;
    assert!(ended.result.as_ref().unwrap().is_none());
    assert_eq!(bed.inventory("us-east-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_would_outlive_the_machine_are_deleted_unless_they_are_wanted() {
    let bed = Bed::new();
    let disk = |device: &str| json!({"device_name": device, "volume_size": 8});
    let mut kept = disk("/dev/sdh");
    kept["delete_on_termination"] = json!(false);
    let before = bed.inventory("us-east-1").await;
    let options = bed.options(json!({
        "skip_create_ami": true,
        "launch_block_device_mappings": [disk("/dev/sdg"), kept],
    }));
    let ended = bed.build(options).await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    let after = bed.inventory("us-east-1").await;
    let new: Vec<_> = after.difference(&before).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert!(new[0].starts_with("vol-"), "{new:?}");
}
