//! The `amazon-ebsvolume` builder: the same machine, and its volumes stay.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Tag;
use serde_json::{Value as Json, json};

use super::bed::{Bed, Cloud};
use super::cleanup::kill_at_every_call;
use super::policy;
use crate::support::Program;

/// The options of two volumes: one stays and has a snapshot, the other goes.
fn options(bed: &Bed, changes: Json) -> Json {
    let mut options = bed.options(json!({
        "type": "amazon-ebsvolume",
        "ami_name": null,
        "ebs_volumes": [
            {
                "device_name": "/dev/sdf", "volume_size": 8, "tags": {"Purpose": "{{ .SourceAMI }}"},
                "snapshot_volume": true, "snapshot_description": "seed",
                "snapshot_tags": {"Kind": "seed"}, "snapshot_users": ["111122223333"],
            },
            {"device_name": "/dev/sdg", "volume_size": 4, "delete_on_termination": true},
        ],
    }));
    for (name, value) in changes.as_object().unwrap() {
        options.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    options
}

fn template(bed: &Bed) -> (&'static str, String) {
    let shell = json!({"type": "shell", "inline": ["echo working"]});
    let builder = options(bed, json!({}));
    ("web.json", json!({"builders": [builder], "provisioners": [shell]}).to_string())
}

fn by_key(tags: &[Tag]) -> BTreeMap<&str, &str> {
    tags.iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_stay_with_their_own_tags_and_their_snapshots() {
    let cloud = Cloud::start().await;
    let run_volume_tags = json!({"run_volume_tags": {"stage": "build"}});
    let manifest = json!({"type": "manifest", "output": "manifest.json"});
    let builder = options(&cloud.bed, run_volume_tags);
    let text = json!({"builders": [builder], "post-processors": [manifest]}).to_string();
    let program = Program::new();
    program.write("web.json", text);
    let mut command = tokio::process::Command::from(program.command(["build", "web.json"]));
    let output = command.envs(cloud.bed.moto.environment()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");

    let left = cloud.left().await;
    let ids: Vec<_> = left.iter().collect();
    let [snapshot, volume] = ids.try_into().unwrap_or_else(|left| panic!("{left:?}\n{said}"));
    let text = std::fs::read_to_string(program.path("manifest.json")).unwrap();
    let manifest: Json = serde_json::from_str(&text).unwrap();
    let artifact = format!("us-east-1:{snapshot},us-east-1:{volume}");
    assert_eq!(manifest["builds"][0]["artifact_id"], Json::from(artifact));
    assert!(said.contains("EBS Volumes were created:"), "{said}");

    let ec2 = cloud.bed.ec2("us-east-1");
    let volumes = ec2.describe_volumes().volume_ids(volume).send().await.unwrap();
    let tags = by_key(volumes.volumes()[0].tags());
    assert_eq!(tags.keys().collect::<Vec<_>>(), [&"Purpose"], "neither ours nor of the run");
    assert!(tags["Purpose"].starts_with("ami-"), "{tags:?}");
    let snapshots = ec2.describe_snapshots().snapshot_ids(snapshot).send().await.unwrap();
    let made = &snapshots.snapshots()[0];
    assert_eq!(made.volume_id(), Some(volume.as_str()));
    assert_eq!(made.description(), Some("seed"));
    assert_eq!(by_key(made.tags()), BTreeMap::from([("Kind", "seed")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_of_volumes_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["RunInstances", "CreateSnapshot", "ModifySnapshotAttribute"];
    kill_at_every_call(template, &wanted, &["vol-"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_of_volumes_are_refused() {
    let program = Program::new();
    let check = |volumes: Json, more: &str| {
        let text = json!({"builders": [{
            "type": "amazon-ebsvolume", "region": "us-east-1", "instance_type": "t3.micro",
            "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu",
            "ebs_volumes": volumes, "spot_price": if more.is_empty() { "" } else { "auto" },
            "ena_support": if more.is_empty() { Json::Null } else { json!(true) },
        }]});
        program.write("wrong.json", text.to_string());
        let output = program.command(["validate", "wrong.json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let found = check(
        json!([{"device_name": "/dev/sdf", "snapshot_description": "x", "snapshot_users": ["1"]}]),
        "",
    );
    assert!(found.contains("there is no snapshot to describe"), "{found}");
    assert!(found.contains("`snapshot_users` has no effect"), "{found}");
    let found = check(json!([{"volume_size": 4}]), "");
    assert!(found.contains("say which device it is"), "{found}");
    let found = check(json!([]), "spot");
    assert!(found.contains("enhanced networking is set on a stopped machine"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_a_build_of_volumes_and_what_cleans_up_after_it() {
    let cloud = Cloud::start().await;
    let builder = options(&cloud.bed, json!({"run_volume_tags": {"stage": "build"}}));
    let unused = policy::unused(&cloud, &builder, &[]).await;
    // What only clean-up does, and what only other networks need.
    let expected =
        ["DeleteSnapshot", "DescribeKeyPairs", "DescribeSecurityGroups", "DescribeSubnets"];
    assert_eq!(unused, expected.map(|action| format!("ec2:{action}")));
}
