//! `imgbake reap` finds by tags what nobody's journal lists any more, and nothing else.

use std::collections::BTreeSet;
use std::process::Stdio;

use aws_sdk_ec2::types::ResourceType;
use tokio::process::Command;

use super::bed::{Bed, marked};
use super::proxy::{Fate, Proxy};
use super::signals;
use crate::support::{Program, Run};

fn command(program: &Program, proxy: &Proxy, args: &[&str]) -> Command {
    let mut command = Command::from(program.command(args.iter().copied()));
    command.envs(proxy.environment()).env("AWS_REGION", "us-east-1");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub async fn run(program: &Program, proxy: &Proxy, args: &[&str]) -> Run {
    Run::of(command(program, proxy, args).output().await.unwrap())
}

/// A build whose first call of `action` waits, and all calls after it.
async fn held(
    bed: &Bed,
    program: &Program,
    action: &'static str,
) -> (Proxy, tokio::process::Child) {
    let rule = move |called: &str, before| match (called, before) {
        (called, 0) if called == action => Fate::Held,
        _ => Fate::Passes,
    };
    let proxy = Proxy::before(bed.moto.endpoint()).with_rule(Box::new(rule)).with_manners();
    let proxy = proxy.start().await;
    let (name, text) = signals::json(bed);
    program.write(name, text);
    let mut command = command(program, &proxy, &["build", name]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    proxy.until_held().await;
    (proxy, child)
}

/// What a build leaves whose machine is gone, and its journal with it: all that it has made until
/// its first call of `action`.
async fn abandoned(bed: &Bed, action: &'static str) {
    let program = Program::new();
    let (_proxy, mut child) = held(bed, &program, action).await;
    child.kill().await.unwrap();
}

pub async fn calm(bed: &Bed) -> Proxy {
    Proxy::before(bed.moto.endpoint()).with_manners().start().await
}

/// Somebody else's things with tags that look like ours: of no moment at all, or of one long after
/// they were made, or on what we do not make so.
async fn look_alikes(bed: &Bed) {
    let ec2 = bed.ec2("us-east-1");
    let token = |seconds: &str| format!("{seconds}-1111-4111-8111-111111111111");
    let tags = |kind: ResourceType, token: &str| marked(kind, "r", token);
    for token in ["web-1".to_owned(), token("fffffff0")] {
        let name = format!("packer_{token}");
        let key = ec2.create_key_pair().key_name(name);
        let key = key.tag_specifications(tags(ResourceType::KeyPair, &token));
        key.send().await.unwrap();
    }
    let group = ec2.create_security_group().group_name("web").description("not ours");
    let group = group.tag_specifications(tags(ResourceType::SecurityGroup, &token("6560f0a1")));
    group.send().await.unwrap();
    let id = bed.machine("us-east-1", |request| {
        request
            .client_token("another token")
            .tag_specifications(tags(ResourceType::Instance, &token("6560f0a1")))
    });
    let id = id.await;
    let image = ec2.create_image().instance_id(id).name("baked-before");
    image.tag_specifications(tags(ResourceType::Image, "finished")).send().await.unwrap();
}

pub const ALL: [&str; 5] = ["reap", "-region=us-east-1", "-region=eu-west-1", "-older-than", "0s"];

#[tokio::test(flavor = "multi_thread")]
async fn what_builds_left_whose_journals_are_lost_is_removed_and_nothing_else() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    look_alikes(&bed).await;
    let before = bed.inventory_of_all().await;
    for action in ["StopInstances", "ModifyImageAttribute"] {
        abandoned(&bed, action).await;
    }
    let left = bed.inventory_of_all().await;
    let of = |kind: &str| left.difference(&before).filter(|one| one.starts_with(kind)).count();
    // Both builds have an instance with a volume; the second has an image and its copy.
    assert_eq!([of("i-"), of("sg-"), of("packer_"), of("vol-"), of("ami-")], [2, 2, 2, 2, 2]);

    let (proxy, program) = (calm(&bed).await, Program::new());
    let young = run(&program, &proxy, &["reap", "-older-than", "6h"]).await.succeeded();
    assert_eq!(young.stdout.lines().last(), Some("Nothing is left that is old enough."));
    let shown = run(&program, &proxy, &[&ALL[..], &["-dry-run"]].concat()).await.succeeded();
    assert_eq!(shown.stdout.lines().filter(|line| line.starts_with("--> run ")).count(), 8);
    assert_eq!(bed.inventory_of_all().await, left, "{}", shown.stdout);

    let reaped = run(&program, &proxy, &ALL).await.succeeded();
    assert_eq!(bed.inventory_of_all().await, before, "{}", reaped.stdout);
    let again = run(&program, &proxy, &ALL).await.succeeded();
    assert_eq!(again.stdout.lines().last(), Some("Nothing is left that is old enough."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_alive_and_the_images_of_good_builds_are_left_alone() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    let program = Program::new();
    let (held, mut child) = held(&bed, &program, "DeleteTags").await;
    let proxy = calm(&bed).await;
    let before = bed.inventory_of_all().await;
    let nothing = "Nothing is left that is old enough.\n";
    assert_eq!(run(&program, &proxy, &ALL).await.succeeded().stdout, nothing);
    held.release();
    assert!(child.wait().await.unwrap().success());
    let images: BTreeSet<_> = bed.inventory_of_all().await;
    assert!(images.is_subset(&before) && images.iter().any(|one| one.starts_with("ami-")));
    assert_eq!(run(&program, &proxy, &ALL).await.succeeded().stdout, nothing);
    assert_eq!(bed.inventory_of_all().await, images);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_said_and_cleanup_tries_again() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    let before = bed.inventory_of_all().await;
    abandoned(&bed, "StopInstances").await;
    let denied = |action: &str, before| match action {
        "DeleteSecurityGroup" if before < 4 => Fate::Refused("UnauthorizedOperation"),
        _ => Fate::Passes,
    };
    let (proxy, program) =
        (Proxy::start(bed.moto.endpoint(), Box::new(denied)).await, Program::new());
    let reaped = run(&program, &proxy, &ALL).await.failed_with(4);
    assert!(reaped.stdout.contains("DeleteSecurityGroup failed: "), "{}", reaped.stdout);
    assert!(reaped.stdout.contains("tries again"), "{}", reaped.stdout);
    let left = bed.inventory_of_all().await;
    assert_eq!(left.difference(&before).count(), 1, "{left:?}");
    run(&program, &proxy, &["cleanup"]).await.succeeded();
    assert_eq!(bed.inventory_of_all().await, before);
}
