//! `force_deregister`: an old AMI goes when the new one is available, and comes back if that fails.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Image, RequestLaunchTemplateData};
use serde_json::{Value as Json, json};

use super::bed::{Bed, Build, Ended};
use super::cleanup::{self, Moment};
use super::policy;
use super::proxy::{Call, Fate, Proxy, Rule, passes};
use crate::support::Program;

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// The AMI called `baked` in a region.
async fn baked(bed: &Bed, region: &'static str) -> Option<Image> {
    let named = aws_sdk_ec2::types::Filter::builder().name("name").values("baked").build();
    let found = bed.ec2(region).describe_images().owners("self").filters(named);
    found.send().await.unwrap().images.unwrap().into_iter().next()
}

fn snapshot(image: &Image) -> String {
    image.block_device_mappings()[0].ebs().unwrap().snapshot_id().unwrap().to_owned()
}

/// An AMI in both regions, and what is there with it.
async fn old(bed: &Bed) -> [Image; 2] {
    let ended = bed.build(bed.options(json!({"ami_regions": ["eu-west-1"]}))).await;
    ended.artifact();
    let [here, abroad] = REGIONS.map(|region| baked(bed, region));
    [here.await.unwrap(), abroad.await.unwrap()]
}

async fn replace(bed: &Bed, changes: Json, rule: Rule) -> (Ended, Vec<Call>) {
    let proxy = Proxy::before(bed.moto.endpoint()).with_rule(rule).with_manners().start().await;
    let mut options = bed.options(json!({"ami_regions": ["eu-west-1"], "force_deregister": true}));
    options.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let build = Build::of(options, proxy.endpoint());
    let allowed = policy::permissions(&build);
    let ended = build.run().await;
    let forbidden = policy::forbidden(&proxy.calls(), &allowed);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    (ended, proxy.calls())
}

/// Calls of `action` are denied.
fn refuses(action: &'static str) -> Rule {
    Box::new(move |called, _| match called == action {
        true => Fate::Refused("UnauthorizedOperation"),
        false => Fate::Passes,
    })
}

/// When calls of a name came, and what they said of a parameter.
fn when<'a>(calls: &'a [Call], action: &str, parameter: &str) -> Vec<(usize, &'a str)> {
    let of = calls.iter().enumerate().filter(|(_, call)| call.action == action);
    of.map(|(at, call)| (at, call.get(parameter).unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_ami_stays_until_the_new_one_is_available() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let before = bed.inventory_of_all().await;
    let (ended, calls) = replace(&bed, json!({"force_delete_snapshot": true}), passes()).await;
    ended.artifact();
    let created = when(&calls, "CreateImage", "Name");
    assert_ne!(created[0].1, "baked", "the name is not free");
    let gone = when(&calls, "DeregisterImage", "ImageId");
    let ids: BTreeSet<_> = gone[..2].iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, old.iter().map(|image| image.image_id().unwrap()).collect());
    let looked = calls[created[0].0..gone[0].0].iter().any(|call| call.action == "DescribeImages");
    assert!(looked, "it is waited for");
    assert!(gone[1].0 < created[1].0);
    assert_eq!((created[1].1, created.len()), ("baked", 2));
    assert_eq!(when(&calls, "CopyImage", "Name").len(), 1);
    // Their snapshots, and the temporary one, go when all is done.
    let deleted = when(&calls, "DeleteSnapshot", "SnapshotId");
    let finished = when(&calls, "DeleteTags", "").last().unwrap().0;
    assert!(deleted.iter().all(|(at, _)| *at > finished), "{deleted:?}");
    let ids: BTreeSet<_> = deleted.iter().map(|(_, id)| (*id).to_owned()).collect();
    assert!(old.iter().all(|image| ids.contains(&snapshot(image))), "{ids:?}");
    assert_eq!(bed.inventory_of_all().await.len(), before.len());
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_old_ami_there_is_no_detour() {
    let bed = Bed::new();
    let (ended, calls) = replace(&bed, json!({}), passes()).await;
    ended.artifact();
    let created = when(&calls, "CreateImage", "Name");
    assert_eq!((created[0].1, created.len()), ("baked", 1));
    assert_eq!(when(&calls, "DeregisterImage", "").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_before_leaves_the_old_ami_alone() {
    let bed = Bed::new();
    let _old = old(&bed).await;
    let before = bed.inventory_of_all().await;
    let rule = refuses("CreateImage");
    let (ended, calls) = replace(&bed, json!({"force_delete_snapshot": true}), rule).await;
    assert!(ended.error().contains("CreateImage failed"), "{}", ended.error());
    assert_eq!(when(&calls, "DeregisterImage", "").len(), 0);
    assert_eq!(bed.inventory_of_all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_ami_is_registered_again_if_the_new_one_cannot_have_its_name() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let before = bed.inventory_of_all().await;
    let rule = refuses("CopyImage");
    let (ended, calls) = replace(&bed, json!({"force_delete_snapshot": true}), rule).await;
    assert!(ended.error().contains("CopyImage failed"), "{}", ended.error());
    let disk = "BlockDeviceMapping.1.Ebs.SnapshotId";
    let registered: BTreeSet<_> =
        when(&calls, "RegisterImage", disk).into_iter().map(|(_, id)| id.to_owned()).collect();
    assert_eq!(registered, old.iter().map(snapshot).collect());
    let said = |text: &str| ended.said.iter().any(|line| line.contains(text));
    assert!(said("Registered the old AMI `baked` again from its snapshots"), "{:?}", ended.said);
    for region in REGIONS {
        assert!(baked(&bed, region).await.is_some(), "{region}");
    }
    // moto makes a snapshot for each AMI that is registered.
    let after = bed.inventory_of_all().await;
    let lost: Vec<_> = before.difference(&after).collect();
    assert_eq!((lost.len(), after.len()), (2, before.len() + 2), "{lost:?}");
    assert!(lost.iter().all(|id| id.starts_with("ami-")), "{lost:?}");
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_ami_in_the_recycle_bin_is_restored() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let rule: Rule = Box::new(|action, _| match action {
        "CopyImage" => Fate::Refused("UnauthorizedOperation"),
        "RestoreImageFromRecycleBin" => Fate::Done,
        _ => Fate::Passes,
    });
    let (ended, calls) = replace(&bed, json!({}), rule).await;
    assert!(ended.error().contains("CopyImage failed"), "{}", ended.error());
    let restored: BTreeSet<_> = when(&calls, "RestoreImageFromRecycleBin", "ImageId")
        .into_iter()
        .map(|(_, id)| id.to_owned())
        .collect();
    assert_eq!(restored, old.iter().map(|image| image.image_id().unwrap().to_owned()).collect());
    assert_eq!(when(&calls, "RegisterImage", "").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_how_to_have_an_old_ami_back_from_the_recycle_bin() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let rule: Rule = Box::new(|action, _| match action {
        "ListImagesInRecycleBin" => Fate::Answered(
            200,
            "<ListImagesInRecycleBinResponse><imageSet><item><imageId>ami-1</imageId>\
             <recycleBinExitTime>2030-01-01T00:00:00Z</recycleBinExitTime></item></imageSet>\
             </ListImagesInRecycleBinResponse>",
        ),
        _ => Fate::Passes,
    });
    let (ended, _) = replace(&bed, json!({}), rule).await;
    ended.artifact();
    let id = old[0].image_id().unwrap();
    let told = format!(
        "The old AMI {id} is in the Recycle Bin until 2030-01-01T00:00:00Z; to have it back, \
         deregister the new `baked` and run: aws ec2 restore-image-from-recycle-bin \
         --region us-east-1 --image-id {id}"
    );
    assert!(ended.said.contains(&told), "{:?}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_is_in_use_is_not_replaced_unless_the_template_does_not_mind() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let ec2 = bed.ec2("eu-west-1");
    let id = old[1].image_id().unwrap();
    let machine = ec2.run_instances().image_id(id).min_count(1).max_count(1).send().await.unwrap();
    let machine = machine.instances()[0].instance_id().unwrap().to_owned();
    let data = RequestLaunchTemplateData::builder().image_id(id).build();
    let template = ec2.create_launch_template().launch_template_name("web");
    template.launch_template_data(data).send().await.unwrap();
    let before = bed.inventory_of_all().await;
    let (ended, calls) = replace(&bed, json!({}), passes()).await;
    let users = format!("the instance {machine}, the launch template web (version 1)");
    assert_eq!(
        ended.error(),
        format!(
            "{id}, the AMI called `baked` in eu-west-1, is in use and not replaced: {users}; set \
             `force_deregister_in_use` to replace it all the same"
        )
    );
    assert_eq!(when(&calls, "RunInstances", "").len(), 0, "that is said at once");
    assert_eq!(bed.inventory_of_all().await, before);

    ec2.terminate_instances().instance_ids(&machine).send().await.unwrap();
    let (ended, _) = replace(&bed, json!({}), passes()).await;
    let error = ended.error();
    assert!(error.contains("not replaced: the launch template web (version 1);"), "{error}");
    let (ended, _) = replace(&bed, json!({"force_deregister_in_use": true}), passes()).await;
    ended.artifact();
    assert_ne!(baked(&bed, "eu-west-1").await.unwrap().image_id(), Some(id));
}

fn template(bed: &Bed) -> (&'static str, String) {
    let builder = bed.options(json!({"type": "amazon-ebs", "force_deregister": true}));
    ("web.json", json!({"builders": [builder]}).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_run_that_was_killed_in_between_the_old_ami_is_put_back() {
    let bed = Bed::new();
    let old = old(&bed).await;
    let cloud = super::bed::Cloud::of(bed).await;
    for (action, nth, is_gone) in [("DeregisterImage", 0, false), ("CreateImage", 1, true)] {
        for takes_effect in [false, true] {
            let moment = Moment { action: action.into(), nth, takes_effect };
            let (program, proxy): (Program, Proxy) =
                cleanup::killed(&cloud, template, &moment).await;
            let cleaned = cleanup::cleanup(&program, &proxy, &[]).await.succeeded();
            let there = baked(&cloud.bed, "us-east-1").await.expect("it is back");
            let is_same = there.image_id() == old[0].image_id();
            assert_eq!(proxy.count("RegisterImage"), usize::from(is_gone || takes_effect));
            assert!(is_same || cleaned.stdout.contains("Registered the old AMI `baked` again"));
            let left: Vec<_> = cloud.left().await.into_iter().collect();
            let all_ours = left.iter().all(|id| id.starts_with("ami-") || id.starts_with("snap-"));
            assert!(all_ours, "{moment:?}: {left:?}");
        }
    }
}
