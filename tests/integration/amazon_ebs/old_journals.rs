//! A journal that an earlier version wrote is understood, and cleaned up as far as AWS proves that
//! its build made what it lists.
//!
//! | journal | written by | what is different |
//! |---|---|---|
//! | `journals/first.jsonl` | the first version with journals (27ad411) | seven kinds; AMIs, copies and volumes have no tag |
//! | `journals/without_tokens.jsonl` | until AMIs were adopted (0bd2d08) | all kinds of then; lines of AMIs, copies, volumes, snapshots and fast launch say no token |
//! | `journals/with_tokens.jsonl` | the version before resources had a room (9891b81) | as today; and a line of what is newer, `volume_snapshot` |
//! | `journals/newer.jsonl` | the version with `amazon-import` and `amazon-chroot` | the kinds that are new with these |
//!
//! What is refused, and why: a volume without our tag (attached or not: anybody may have attached it
//! to the instance), and, of the first version, AMIs and copies when EC2 has forgotten the instance,
//! whose tag and client token are the only proof.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, Tag, VolumeType};
use imgbake::aws::resource::{KINDS, Recorded};
use imgbake::journal::store;
use serde_json::Value as Json;

use super::bed::{Bed, Cloud, marked};
use super::cleanup::{cleanup, journal_files};
use super::proxy::{Fate, Proxy};
use crate::support::{Program, Run};

const FIRST: &str = include_str!("journals/first.jsonl");
const WITHOUT_TOKENS: &str = include_str!("journals/without_tokens.jsonl");
const WITH_TOKENS: &str = include_str!("journals/with_tokens.jsonl");
const NEWER: &str = include_str!("journals/newer.jsonl");

/// What stands for `$NAME` in a journal.
type Names = BTreeMap<&'static str, String>;

fn filled(journal: &str, names: &Names) -> String {
    // The longest first: `$AMI` is not the beginning of another name, but `$OLD` is.
    let mut names: Vec<_> = names.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let fill =
        |text: String, (name, value): (&&str, &String)| text.replace(&format!("${name}"), value);
    names.into_iter().fold(journal.to_owned(), fill)
}

/// Names of things that are nowhere.
fn nowhere() -> Names {
    let ids = [
        ("INSTANCE", "i-1"),
        ("AMI", "ami-1"),
        ("GONE_AMI", "ami-2"),
        ("VOLUME", "vol-1"),
        ("SINCE", "1700000000"),
        ("TOKEN", "6560f0a1-0000-0000-0000-000000000000"),
    ];
    ids.into_iter().map(|(name, id)| (name, id.to_owned())).collect()
}

#[test]
fn the_lines_of_every_version_are_understood_and_written_as_they_were() {
    for (journal, kinds) in [(FIRST, 7), (WITHOUT_TOKENS, 15), (WITH_TOKENS, 16), (NEWER, 5)] {
        let text = filled(journal, &nowhere());
        let entries = store::read(text.as_bytes()).unwrap();
        let products = entries.entries().into_iter();
        let mut seen = BTreeSet::new();
        for entry in products {
            let recorded = Recorded::of(&entry.thing).unwrap_or_else(|error| panic!("{error:#}"));
            let (kind, fields) = (recorded.resource.kind(), recorded.resource.fields());
            let details: &Json = &entry.thing.details().unwrap()["ec2"][kind.key];
            assert_eq!(entry.thing.is_product(), kind.is_product, "{}", kind.key);
            let name = recorded.resource.name();
            assert!(entry.thing.in_full().contains(&name), "{name}: {}", entry.thing.in_full());
            if [WITH_TOKENS, NEWER].contains(&journal) {
                assert_eq!(fields.to_string(), details.to_string());
            }
            seen.insert(kind.key);
        }
        assert_eq!(seen.len(), kinds, "{seen:?}");
    }
    assert_eq!(KINDS.len(), 16 + 5, "a new kind needs a line in `newer.jsonl`");
}

/// What a build has left in `cloud`, and how a journal names it. AMIs, copies and volumes have our
/// tag if they are `tagged`.
async fn remains(bed: &Bed, tagged: bool) -> Names {
    let seconds = jiff::Timestamp::now().as_second();
    let token = format!("{:08x}-1111-4111-8111-111111111111", seconds as u32);
    let named =
        |prefix: &str| format!("{prefix}{:08x}-2222-4222-8222-222222222222", seconds as u32);
    let ec2 = bed.ec2("us-east-1");
    let tags = |kind: ResourceType| marked(kind, "run-1", &token);
    let image_tags = |kind: ResourceType| tagged.then(|| vec![tags(kind)]);
    let mut names = Names::new();
    for (name, prefix) in [
        ("KEY", "packer_"),
        ("GROUP_NAME", "packer_"),
        ("INTERMEDIARY_NAME", "packer_"),
        ("PROFILE", "packer-"),
        ("TEMPLATE", "packer-fleet-launch-template-"),
    ] {
        names.insert(name, named(prefix));
    }
    let key = ec2.create_key_pair().key_name(&names["KEY"]);
    key.tag_specifications(tags(ResourceType::KeyPair)).send().await.unwrap();
    let group = ec2.create_security_group().group_name(&names["GROUP_NAME"]);
    let group = group.description("Temporary group for imgbake");
    let group = group.tag_specifications(tags(ResourceType::SecurityGroup)).send().await.unwrap();
    names.insert("GROUP", group.group_id.unwrap());
    let instance = bed.machine("us-east-1", |request| {
        request.client_token(&token).tag_specifications(tags(ResourceType::Instance))
    });
    let instance = instance.await;
    let image = async |name: &str| {
        let request = ec2.create_image().instance_id(&instance).name(name);
        let request = request.set_tag_specifications(image_tags(ResourceType::Image));
        request.send().await.unwrap().image_id.unwrap()
    };
    names.insert("AMI", image("baked").await);
    names.insert("SINCE", jiff::Timestamp::now().as_second().to_string());
    names.insert("COPY", copy(bed, &names["AMI"], image_tags(ResourceType::Image)).await);
    for name in ["VOLUME", "LOOSE"] {
        let request = ec2.create_volume().availability_zone("us-east-1a").size(1);
        let request = request.volume_type(VolumeType::Gp3);
        let request = request.set_tag_specifications(image_tags(ResourceType::Volume));
        names.insert(name, request.send().await.unwrap().volume_id.unwrap());
    }
    names.insert("GONE_AMI", image("gone").await);
    names.insert("SNAPSHOT", deregistered(&ec2, &names["GONE_AMI"]).await);
    names.extend([("INSTANCE", instance.clone()), ("TOKEN", token.clone())]);
    names
}

/// What only later versions made.
async fn later_remains(bed: &Bed, names: &mut Names) {
    let (ec2, iam) = (bed.ec2("us-east-1"), bed.moto.iam());
    let tags = |kind: ResourceType| marked(kind, "run-1", &names["TOKEN"]);
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id("ami-1").build();
    let template = ec2.create_launch_template().launch_template_name(&names["TEMPLATE"]);
    let template = template.tag_specifications(tags(ResourceType::LaunchTemplate));
    template.launch_template_data(data).send().await.unwrap();
    let tag = aws_sdk_iam::types::Tag::builder().key("imgbake:build").value(&names["TOKEN"]);
    let profile = iam.create_instance_profile().instance_profile_name(&names["PROFILE"]);
    profile.tags(tag.build().unwrap()).send().await.unwrap();
    let image = async |name: &str| {
        let request = ec2.create_image().instance_id(&names["INSTANCE"]).name(name);
        let request = request.tag_specifications(tags(ResourceType::Image));
        request.send().await.unwrap().image_id.unwrap()
    };
    let made = [
        ("INTERMEDIARY", image(&names["INTERMEDIARY_NAME"]).await),
        ("UNFINISHED", image("unfinished").await),
        ("OLD", image("old").await),
    ];
    names.extend(made);
    let snapshot = deregistered(&ec2, &names["OLD"]).await;
    names.insert("OLD_SNAPSHOT", snapshot);
}

/// The id of a copy of the AMI `source`, abroad.
async fn copy(
    bed: &Bed,
    source: &str,
    tags: Option<Vec<aws_sdk_ec2::types::TagSpecification>>,
) -> String {
    let request = bed.ec2("eu-west-1").copy_image().name("baked").source_image_id(source);
    let request = request.source_region("us-east-1").set_tag_specifications(tags);
    request.send().await.unwrap().image_id.unwrap()
}

/// Deregisters an AMI: the id of its snapshot, which stays.
async fn deregistered(ec2: &Client, id: &str) -> String {
    let found = ec2.describe_images().image_ids(id).send().await.unwrap();
    let disk = found.images()[0].block_device_mappings()[0].ebs().unwrap();
    let snapshot = disk.snapshot_id().unwrap().to_owned();
    ec2.deregister_image().image_id(id).send().await.unwrap();
    snapshot
}

/// `imgbake cleanup` after a run that wrote `journal`, and the program, with its state.
async fn cleaned_up(bed: &Bed, journal: &str, mut names: Names) -> (Run, Program) {
    let fast_launch = format!(
        "<DescribeFastLaunchImagesResponse><fastLaunchImageSet><item><imageId>{}</imageId>\
         <state>enabled</state></item></fastLaunchImageSet></DescribeFastLaunchImagesResponse>",
        names["AMI"]
    );
    let fast_launch: &'static str = Box::leak(fast_launch.into_boxed_str());
    let rule = move |action: &str, _| match action {
        "DescribeFastLaunchImages" => Fate::Answered(200, fast_launch),
        "DisableFastLaunch" => Fate::Done,
        "DescribeSessions" => Fate::Answered(200, r#"{"Sessions": []}"#),
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
    names.insert("ENDPOINT", proxy.endpoint());
    let program = Program::new();
    program.write(
        ".local/state/imgbake/journal/20261101T000000Z-1a2b3c4d.jsonl",
        filled(journal, &names),
    );
    (cleanup(&program, &proxy, &[]).await, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_versions_left_is_removed_with_or_without_tokens() {
    for journal in [WITHOUT_TOKENS, WITH_TOKENS] {
        let cloud = Cloud::start().await;
        let mut names = remains(&cloud.bed, true).await;
        later_remains(&cloud.bed, &mut names).await;
        let snapshot = names["OLD_SNAPSHOT"].clone();
        let (run, program) = cleaned_up(&cloud.bed, journal, names).await;
        let run = run.succeeded();
        let mut left = cloud.left().await;
        let old = left.iter().find(|one| one.starts_with("ami-")).expect("it is back").clone();
        // moto gives it a snapshot of its own.
        let ec2 = cloud.bed.ec2("us-east-1");
        let snapshots = ec2.describe_snapshots().owner_ids("self").send().await.unwrap();
        let is_of_old = |text: Option<&str>| text.is_some_and(|text| text.contains(&old));
        let of_old = snapshots.snapshots().iter().filter(|one| is_of_old(one.description()));
        let of_old = of_old.filter_map(|one| one.snapshot_id.clone());
        for one in of_old.chain([old.clone(), snapshot]) {
            left.remove(&one);
        }
        assert_eq!(left, BTreeSet::new(), "{}", run.stdout);
        assert!(run.stdout.contains("Registered the old AMI `old` again"), "{}", run.stdout);
        assert!(run.stdout.contains("Disabling fast launch of ami-"), "{}", run.stdout);
        assert!(journal_files(&program).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_first_version_untagged_amis_are_proven_by_their_instance_and_volumes_by_nothing() {
    let cloud = Cloud::start().await;
    let names = remains(&cloud.bed, false).await;
    let volumes = BTreeSet::from([names["VOLUME"].clone(), names["LOOSE"].clone()]);
    let id = names["VOLUME"].clone();
    let (run, program) = cleaned_up(&cloud.bed, FIRST, names).await;
    let run = run.failed_with(4);
    // The journal of the first version does not list the second volume.
    assert_eq!(cloud.left().await, volumes, "{}", run.stdout);
    assert!(run.stdout.contains(&format!("Leaving {id} alone")), "{}", run.stdout);
    let why = format!("volume {id} in us-east-1 (an early version of imgbake wrote this line");
    assert!(run.stdout.contains(&why), "{}", run.stdout);
    assert_eq!(journal_files(&program).len(), 1, "it stays listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn untagged_amis_stay_when_nothing_says_any_more_whose_instance_it_was() {
    let cloud = Cloud::start().await;
    let names = remains(&cloud.bed, false).await;
    let ec2 = cloud.bed.ec2("us-east-1");
    let tag = Tag::builder().key("imgbake:build").build();
    let request = ec2.delete_tags().resources(&names["INSTANCE"]).tags(tag);
    request.send().await.unwrap();
    let (ami, copy) = (names["AMI"].clone(), names["COPY"].clone());
    let (run, _program) = cleaned_up(&cloud.bed, FIRST, names).await;
    let run = run.failed_with(4);
    let left = cloud.left().await;
    assert!(left.contains(&ami) && left.contains(&copy), "{left:?}");
    for id in [ami, copy] {
        assert!(run.stdout.contains(&format!("Leaving {id} alone")), "{}", run.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_platform_that_is_known_is_said_and_stays_listed() {
    let cloud = Cloud::start().await;
    let names = remains(&cloud.bed, true).await;
    let droplet = r#"{"intent":{"entry":90,"build":"ocean.web","thing":{"kind":"droplet","name":"web","clue":{"ocean":{"droplet":"d1"}}}}}"#;
    let (run, program) = cleaned_up(&cloud.bed, &format!("{FIRST}{droplet}\n"), names).await;
    let run = run.failed_with(4);
    assert!(
        run.stdout.contains("ocean.web: droplet web (nothing here knows how to remove it"),
        "{run:#?}"
    );
    let [journal] = journal_files(&program).try_into().unwrap();
    let left = store::read(&std::fs::read(journal).unwrap()).unwrap();
    assert_eq!(left.entry_texts(), ["ocean.web: droplet web"], "all else is gone: {}", run.stdout);
}
