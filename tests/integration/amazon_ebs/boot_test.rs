//! An AMI is tested on an instance of its own before it is copied, shared or handed over.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::bed::{Bed, Cloud};
use super::cleanup::kill_at_every_call;
use super::policy;
use super::proxy::{Proxy, passes};
use super::signals;
use crate::support::{Program, Run};

/// A build that copies and shares its AMI, whose test runs `check`.
fn template(bed: &Bed, check: &str) -> (&'static str, String) {
    let (name, text) = signals::hcl(bed);
    let image = r#"snapshot_tags = { Kind = "snapshot" }
          ami_regions = ["eu-west-1"]
          ami_users   = ["111122223333"]"#;
    let text = text.replace(r#"snapshot_tags = { Kind = "snapshot" }"#, image);
    let end = text.trim_end().strip_suffix('}').unwrap();
    (name, format!("{end}\npost-processor \"boot-test\" {{\n{check}\n}}\n}}\n"))
}

fn good(bed: &Bed) -> (&'static str, String) {
    let port = bed.sshd.port;
    template(bed, &format!("inline = [\"echo tested\", \"test -d /\"]\nlistening = [{port}]"))
}

async fn run(program: &Program, proxy: &Proxy, args: &[&str]) -> Run {
    let mut command = Command::from(program.command(args.iter().copied()));
    Run::of(command.envs(proxy.environment()).stdin(Stdio::null()).output().await.unwrap())
}

/// A build of `text` in `cloud`: what it said, its calls, and where it ran.
async fn baked(cloud: &Cloud, template: (&'static str, String)) -> (Run, Vec<String>, Program) {
    baked_with(cloud, template, &[]).await
}

/// The same with these flags.
async fn baked_with(
    cloud: &Cloud,
    (name, text): (&'static str, String),
    flags: &[&str],
) -> (Run, Vec<String>, Program) {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let program = Program::new();
    program.write(name, text);
    let args: Vec<_> =
        ["build", "-color=false"].iter().chain(flags).chain([&name]).copied().collect();
    let run = run(&program, &proxy, &args).await;
    (run, proxy.calls().into_iter().map(|call| call.action).collect(), program)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_ami_is_tested_before_it_is_copied_and_shared() {
    let cloud = Cloud::start().await;
    let (run, calls, _) = baked(&cloud, good(&cloud.bed)).await;
    let run = run.succeeded();
    assert!(run.stdout.contains("tested") && run.stdout.contains("has passed"), "{}", run.stdout);
    let starts: Vec<_> =
        calls.iter().enumerate().filter(|(_, one)| *one == "RunInstances").collect();
    assert_eq!(starts.len(), 2, "{calls:?}");
    let first = |action: &str| calls.iter().position(|one| one == action).unwrap();
    assert!(first("CreateImage") < starts[1].0, "{calls:?}");
    for later in ["CopyImage", "ModifyImageAttribute"] {
        assert!(starts[1].0 < first(later), "{later}: {calls:?}");
    }
    // The AMI, its copy and their snapshots are all that is left.
    let left = cloud.left().await;
    assert!(left.iter().all(|one| one.starts_with("ami-") || one.starts_with("snap-")), "{left:?}");
    assert_eq!(left.iter().filter(|one| one.starts_with("ami-")).count(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_ami_is_neither_copied_nor_shared_and_goes() {
    let cloud = Cloud::start().await;
    let check = "inline = [\"echo it is broken\", \"exit 7\"]\nlistening = [1]\npatience = \"1s\"";
    let (run, calls, program) = baked(&cloud, template(&cloud.bed, check)).await;
    let run = run.failed_with(1);
    let said = "the image did not pass boot-test: 2 of 2 checks failed: port 1: not within 1s: nobody listens there; scripts:";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    for never in ["CopyImage", "ModifyImageAttribute"] {
        assert!(!calls.iter().any(|one| one == never), "{never}: {calls:?}");
    }
    for look in ["GetConsoleOutput", "GetConsoleScreenshot"] {
        assert!(calls.iter().any(|one| one == look), "{look}: {calls:?}");
    }
    let picture = program.path("output-web.test.screens/001-failure.jpg");
    assert!(std::fs::read(picture).unwrap().starts_with(&[0xff, 0xd8, 0xff]));
    assert!(run.stdout.contains("001-failure.jpg"), "{}", run.stdout);
    let left = cloud.left().await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_ami_stays_where_somebody_wants_to_look_at_it() {
    let cloud = Cloud::start().await;
    let check = "inline = [\"exit 7\"]\nkeep_failed = true";
    let (run, calls, _) = baked(&cloud, template(&cloud.bed, check)).await;
    let run = run.failed_with(1);
    assert!(run.stdout.contains("stays, as `keep_failed` asks"), "{}", run.stdout);
    assert!(!calls.iter().any(|one| one == "CopyImage"), "{calls:?}");
    let left = cloud.left().await;
    let (images, others): (Vec<_>, Vec<_>) = left.iter().partition(|one| one.starts_with("ami-"));
    assert_eq!(
        (images.len(), others.iter().all(|one| one.starts_with("snap-"))),
        (1, true),
        "{left:?}"
    );
    let image =
        cloud.bed.ec2("us-east-1").describe_images().image_ids(images[0]).send().await.unwrap();
    let tags = image.images()[0].tags().iter().filter_map(|tag| tag.key());
    assert!(tags.clone().all(|key| !key.starts_with("imgbake")), "{:?}", tags.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_ami_that_stays_is_not_taken_for_a_finished_one() {
    let cloud = Cloud::start().await;
    let bad = template(&cloud.bed, "inline = [\"exit 7\"]\nkeep_failed = true");
    let (run, ..) = baked_with(&cloud, bad.clone(), &["-skip-unchanged"]).await;
    let run = run.failed_with(1);
    assert!(run.stdout.contains("stays, as `keep_failed` asks"), "{}", run.stdout);
    let left = cloud.left().await;
    assert_eq!(left.iter().filter(|one| one.starts_with("ami-")).count(), 1, "{left:?}");
    let (again, ..) = baked_with(&cloud, bad, &["-explain-changes"]).await;
    let said = "It would be baked: no finished AMI of this build was found";
    assert!(again.stdout.contains(said), "{}", again.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_is_there_is_tested_by_itself() {
    let cloud = Cloud::start().await;
    cloud.bed.image("us-east-1", "there").await;
    let before = cloud.bed.inventory_of_all().await;
    let image = cloud.left().await.into_iter().find(|one| one.starts_with("ami-")).unwrap();
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let program = Program::new();
    let (name, text) = good(&cloud.bed);
    let ec2 = cloud.bed.ec2("us-east-1");
    let mark = async || {
        let found = ec2.describe_images().image_ids(&image).send().await.unwrap();
        let mut tags = found.images()[0].tags().iter();
        tags.find(|tag| tag.key() == Some("imgbake:tested"))?.value().map(str::to_owned)
    };
    program.write(name, template(&cloud.bed, "inline = [\"exit 7\"]").1);
    run(&program, &proxy, &["test", "-image", &image, name]).await.failed_with(1);
    assert_eq!(mark().await, None, "it has not passed");
    program.write(name, text);
    let passed = run(&program, &proxy, &["test", "-image", &image, name]).await.succeeded();
    assert!(passed.stdout.contains(&format!("{image} has passed")), "{}", passed.stdout);
    let says = format!("{image} in us-east-1 has the tag `imgbake:tested`");
    assert!(passed.stdout.contains(&says), "{}", passed.stdout);
    assert_eq!(mark().await, Some(format!("passed {image}")), "`promote` takes it");
    assert_eq!(cloud.bed.inventory_of_all().await, before, "the AMI stays, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_a_test_and_what_a_failed_one_shows() {
    let cloud = Cloud::start().await;
    let builder = cloud.bed.options(json!({"type": "amazon-ebs"}));
    let test = json!({"type": "boot-test", "inline": ["test -d /"]});
    let unused = policy::unused(&cloud, &builder, &[test]).await;
    assert!(unused.contains(&"ec2:GetConsoleScreenshot".to_owned()), "{unused:?}");
    let builder = cloud.bed.options(json!({"type": "amazon-ebs", "ami_name": "other"}));
    let unused = policy::unused(&cloud, &builder, &[]).await;
    assert!(!unused.iter().any(|one| one.contains("Screenshot")), "{unused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_killed_at_any_call_of_its_test_is_cleaned_up_after() {
    kill_at_every_call(good, &["RunInstances", "CreateImage", "CopyImage"], &[]).await;
}
