//! What is not ours stays, whatever it looks like: attached to our machine, with copied tags, or named
//! by a forged journal.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
use serde_json::{Value as Json, json};

use super::bed::{Bed, Build, Cloud, marked};
use super::cleanup::{Moment, cleanup, journal_files, killed};
use super::proxy::{Fate, Proxy};
use super::reap;
use super::signals;
use crate::support::Program;

/// A volume of somebody, with these tags, where our machine is.
async fn volume(bed: &Bed, zone: &str, tags: Option<TagSpecification>) -> String {
    let request = bed.ec2("us-east-1").create_volume().availability_zone(zone).size(1);
    let request =
        request.volume_type(VolumeType::Gp3).set_tag_specifications(tags.map(|t| vec![t]));
    request.send().await.unwrap().volume_id.unwrap()
}

async fn volumes(bed: &Bed) -> BTreeSet<String> {
    let all = bed.inventory("us-east-1").await.into_iter();
    all.filter(|one| one.starts_with("vol-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_somebody_attached_to_our_machine_stays_and_is_mentioned() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    let before = volumes(&bed).await;
    let rule = |action: &str, _| match action {
        "StopInstances" => Fate::Held,
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
    let options = bed.options(json!({
        "launch_block_device_mappings": [{"device_name": "/dev/sdh", "volume_size": 8}],
    }));
    let build = tokio::spawn(Build::of(options, proxy.endpoint()).run());
    proxy.until_held().await;
    let ec2 = bed.ec2("us-east-1");
    let found = ec2.describe_instances().send().await.unwrap();
    let mut instances = found.reservations().iter().flat_map(|found| found.instances());
    let is_ours = |tag: &Tag| tag.key() == Some("imgbake:build");
    let ours = instances.find(|one| one.tags().iter().any(is_ours)).expect("our machine");
    let zone = ours.placement().and_then(|place| place.availability_zone()).unwrap();
    let copied = TagSpecification::builder()
        .resource_type(ResourceType::Volume)
        .set_tags(Some(ours.tags().to_vec()))
        .build();
    let strangers = [volume(&bed, zone, None).await, volume(&bed, zone, Some(copied)).await];
    for (volume, device) in strangers.iter().zip(["/dev/sdf", "/dev/sdg"]) {
        let request = ec2.attach_volume().volume_id(volume).device(device);
        request.instance_id(ours.instance_id().unwrap()).send().await.unwrap();
    }
    proxy.release();
    let ended = build.await.unwrap();
    ended.artifact();
    let left: BTreeSet<_> = volumes(&bed).await.difference(&before).cloned().collect();
    assert_eq!(left, strangers.iter().cloned().collect(), "ours went: {:#?}", ended.said);
    for (volume, device) in strangers.iter().zip(["/dev/sdf", "/dev/sdg"]) {
        let said =
            format!("Leaving the volume {volume} ({device}) alone: the build did not make it");
        assert!(ended.said.contains(&said), "{:#?}", ended.said);
    }
    let deleted = ended.said.iter().filter(|line| line.starts_with("Deleting the volume vol-"));
    assert_eq!(deleted.count(), 1, "every removal is said: {:#?}", ended.said);
}

/// Somebody's things, all with our two tags: `token` is one of a build that begins now.
async fn with_copied_tags(bed: &Bed, token: &str) -> BTreeSet<String> {
    let before = bed.inventory("us-east-1").await;
    let ec2 = bed.ec2("us-east-1");
    let tags = |kind: ResourceType| marked(kind, "run-1", token);
    let key = ec2.create_key_pair().key_name("production");
    key.tag_specifications(tags(ResourceType::KeyPair)).send().await.unwrap();
    let group = ec2.create_security_group().group_name("production").description("web");
    group.tag_specifications(tags(ResourceType::SecurityGroup)).send().await.unwrap();
    let id = bed.machine("us-east-1", |request| {
        request.client_token("somebody").tag_specifications(tags(ResourceType::Instance))
    });
    let id = id.await;
    let image = ec2.create_image().instance_id(id).name("production");
    image.tag_specifications(tags(ResourceType::Image)).send().await.unwrap();
    bed.inventory("us-east-1").await.difference(&before).cloned().collect()
}

fn token_of_now() -> String {
    let seconds = jiff::Timestamp::now().as_second() as u32;
    format!("{seconds:08x}-1111-4111-8111-111111111111")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_only_our_tags_is_not_reaped_but_mentioned() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    let strangers = with_copied_tags(&bed, &token_of_now()).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let (proxy, program) = (reap::calm(&bed).await, Program::new());
    let reaped = reap::run(&program, &proxy, &reap::ALL).await.succeeded();
    let left = bed.inventory("us-east-1").await;
    assert!(strangers.is_subset(&left), "{strangers:?} {left:?} {}", reaped.stdout);
    for id in strangers.iter().map(|one| one.split(' ').next().unwrap()) {
        // Its volume has no tag, its snapshot neither.
        let is_tagged = !id.starts_with("vol-") && !id.starts_with("snap-");
        let said = format!("Leaving {id} in us-east-1 alone: it has our tags, and no other proof");
        assert_eq!(reaped.stdout.contains(&said), is_tagged, "{id}: {}", reaped.stdout);
    }
}

/// Lines of a journal that say that we made `made`, whose id is `id`.
fn forged(entry: u64, made: Json, place: &Json, id: &str) -> String {
    let clue = json!({"ec2": made, "in": place});
    let thing = json!({"kind": "thing", "name": "it", "clue": clue});
    let intent = json!({"intent": {"entry": entry, "build": "web", "thing": thing}});
    let made = json!({"made": {"entry": entry, "id": id}});
    format!("{intent}\n{made}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forged_journal_names_is_left_alone() {
    let cloud = Cloud::start().await;
    let bed = &cloud.bed;
    let token = token_of_now();
    let strangers = with_copied_tags(bed, &token).await;
    let loose = volume(bed, "us-east-1a", None).await;
    let moment = Moment { action: "StopInstances".to_owned(), nth: 0, takes_effect: false };
    let (program, proxy) = killed(&cloud, signals::hcl, &moment).await;
    let [path] = journal_files(&program).try_into().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let record: Json = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let place = &record["intent"]["thing"]["clue"]["in"];
    let of = |kind: &str| {
        let one = strangers.iter().find(|one| one.starts_with(kind)).unwrap();
        one.split(' ').next().unwrap()
    };
    let (image, instance, snapshot) = (of("ami-"), of("i-"), of("snap-"));
    let lies = [
        (json!({"volume": {"instance": instance, "token": token}}), loose.as_str()),
        (json!({"snapshot": {"image": "", "token": token}}), snapshot),
        (json!({"snapshot": {"image": "ami-0", "token": token}}), snapshot),
        (json!({"image": {"name": "production", "instance": "i-0", "token": token}}), image),
        (json!({"copy": {"name": "*", "source": "ami-0", "since": 0, "token": token}}), image),
        (json!({"unfinished": {"token": token}}), image),
        (json!({"instance": {"token": token, "keeps": []}}), instance),
        (json!({"security_group": {"name": "production", "token": token}}), of("sg-")),
    ];
    let lies = (100..).zip(lies);
    let lies: String = lies.map(|(entry, (made, id))| forged(entry, made, place, id)).collect();
    std::fs::write(&path, text + &lies).unwrap();
    let cleaned = cleanup(&program, &proxy, &["-delete-finished"]).await;
    let left: BTreeSet<_> = cloud.left().await;
    assert!(strangers.is_subset(&left) && left.contains(&loose), "{left:?} {cleaned:#?}");
    assert_eq!(left.len(), strangers.len() + 1, "what was ours is gone: {left:?} {cleaned:#?}");
    assert!(cleaned.stdout.contains(&format!("Leaving {image} alone")), "{cleaned:#?}");
    // What is not even named properly is nobody's to remove: the journal stays.
    assert_eq!(cleaned.code, Some(4), "{cleaned:#?}");
    assert!(cleaned.stdout.contains("`` is no id that begins with `ami-`"), "{cleaned:#?}");
}
