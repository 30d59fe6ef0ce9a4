//! The `amazon-import` post-processor: a disk goes through S3, and EC2 makes an AMI of it.

use serde_json::{Value as Json, json};

use super::bed::{Bed, Cloud};
use super::cleanup::{self, Moment, kill_at_every_call};
use super::policy;
use super::proxy::{Fate, Proxy, Rule, passes};
use super::reap;
use crate::support::{Program, Run};

/// The size of the disk: it has two parts.
const SIZE: usize = (8 << 20) + 1;

fn builder(bed: &Bed) -> Json {
    bed.bucket();
    json!({"type": "file", "target": "disk.raw", "content": "x".repeat(SIZE)})
}

fn options(changes: Json) -> Json {
    let mut options = json!({
        "type": "amazon-import", "region": "us-east-1", "s3_bucket_name": "imports",
        "s3_key_name": "disk-{{timestamp}}.raw", "format": "raw", "tags": {"Team": "images"},
        "ami_description": "a disk", "aws_polling": {"delay_seconds": 1, "max_attempts": 60},
    });
    for (name, value) in changes.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

fn template(bed: &Bed, changes: Json) -> (&'static str, String) {
    let builder = builder(bed);
    let text = json!({"builders": [builder], "post-processors": [options(changes)]});
    ("web.json", text.to_string())
}

fn renamed(bed: &Bed) -> (&'static str, String) {
    template(bed, json!({"ami_name": "baked", "ami_encrypt": true}))
}

/// Builds with these options behind `rule`.
async fn built(cloud: &Cloud, changes: Json, rule: Rule) -> (Program, Proxy, Run) {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), rule).await;
    let program = Program::new();
    let (name, text) = template(&cloud.bed, changes);
    program.write(name, text);
    let mut command = tokio::process::Command::from(program.command(["build", name]));
    let run = Run::of(command.envs(proxy.environment()).output().await.unwrap());
    (program, proxy, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_becomes_an_ami_and_leaves_nothing_in_s3() {
    let cloud = Cloud::start().await;
    let changes = json!({
        "architecture": "arm64", "platform": "linux", "role_name": "importer",
        "license_type": "BYOL", "ami_users": ["111122223333"], "imds_support": "v2.0",
    });
    let (_, proxy, run) = built(&cloud, changes, passes()).await;
    let run = run.succeeded();
    let left = cloud.left().await;
    let image = left.iter().find(|one| one.starts_with("ami-")).expect("an AMI");
    assert_eq!(left.len(), 2, "with its snapshot: {left:?}\n{}", run.stdout);
    assert!(run.stdout.contains(&format!("AMIs were created:\nus-east-1: {image}")), "{run:#?}");
    assert_eq!(cloud.bed.in_bucket(), Vec::<String>::new());
    assert_eq!(proxy.count("UploadPart"), 2, "{}", run.stdout);
    let call = |action: &str| proxy.calls().into_iter().find(|call| call.action == action);
    let asked = call("ImportImage").expect("an import");
    for (name, value) in [
        ("Architecture", "arm64"),
        ("BootMode", "uefi"),
        ("Platform", "Linux"),
        ("RoleName", "importer"),
        ("LicenseType", "BYOL"),
        ("DiskContainer.1.Format", "raw"),
        ("DiskContainer.1.UserBucket.S3Bucket", "imports"),
    ] {
        assert_eq!(asked.get(name), Some(value), "{name}: {:?}", asked.parameters);
    }
    assert_eq!(call("ModifyImageAttribute").unwrap().get("Description.Value"), Some("a disk"));
    let ec2 = cloud.bed.ec2("us-east-1");
    let found = ec2.describe_images().image_ids(image).send().await.unwrap();
    assert_eq!(found.images()[0].tags()[0].value(), Some("images"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_import_is_a_copy_and_the_file_may_stay() {
    let cloud = Cloud::start().await;
    let changes = json!({"ami_name": "baked", "skip_clean": true, "s3_encryption": "AES256"});
    let (_, proxy, run) = built(&cloud, changes, passes()).await;
    run.succeeded();
    let left = cloud.left().await;
    assert_eq!(left.len(), 3, "an AMI with its snapshot, and the file: {left:?}");
    assert_eq!(cloud.bed.in_bucket().len(), 1);
    let copy = proxy.calls().into_iter().find(|call| call.action == "CopyImage").unwrap();
    assert_eq!(copy.get("Name"), Some("baked"));
    assert_eq!(copy.get("Encrypted"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_lost_is_sent_again_alone() {
    let cloud = Cloud::start().await;
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("UploadPart", 0) => Fate::LosesAnswer,
        ("UploadPart", 1) => Fate::Vanishes,
        ("CompleteMultipartUpload", 0) => Fate::LosesAnswer,
        ("ImportImage", 0) => Fate::LosesAnswer,
        _ => Fate::Passes,
    });
    let (_, proxy, run) = built(&cloud, json!({}), rule).await;
    run.succeeded();
    assert_eq!(proxy.count("UploadPart"), 4);
    assert_eq!(proxy.count("CreateMultipartUpload"), 1);
    assert_eq!(cloud.left().await.len(), 2);
    assert_eq!(cloud.bed.in_bucket(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_import_says_why_and_leaves_nothing() {
    let cloud = Cloud::start().await;
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("DescribeImportImageTasks", 1) => Fate::Rewritten(
            "<status>active</status>\\s*<statusMessage>[^<]*",
            "<status>deleted</status><statusMessage>ClientError: No valid partitions.",
        ),
        _ => Fate::Passes,
    });
    let (_, _, run) = built(&cloud, json!({}), rule).await;
    let run = run.failed_with(1);
    assert!(run.stdout.contains("ClientError: No valid partitions."), "{run:#?}");
    assert!(cloud.left().await.is_empty());
    assert_eq!(cloud.bed.in_bucket(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["UploadPart", "CompleteMultipartUpload", "ImportImage", "CopyImage"];
    kill_at_every_call(renamed, &wanted, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_killed_import_stays_in_s3_and_its_task_is_cancelled() {
    let cloud = Cloud::start().await;
    for (action, nth, takes_effect) in
        [("UploadPart", 1, true), ("CompleteMultipartUpload", 0, true), ("ImportImage", 0, true)]
    {
        let moment = Moment { action: action.to_owned(), nth, takes_effect };
        let (program, proxy) = cleanup::killed(&cloud, renamed, &moment).await;
        assert!(!cloud.bed.in_bucket().is_empty(), "{action}");
        let cleaned = cleanup::cleanup(&program, &proxy, &[]).await.succeeded();
        assert_eq!(cloud.bed.in_bucket(), Vec::<String>::new(), "{action}: {cleaned:#?}");
        assert!(cloud.left().await.is_empty(), "{action}");
        let cancels = usize::from(action == "ImportImage");
        assert_eq!(proxy.count("CancelImportTask"), cancels, "{cleaned:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_waits_for_is_found_by_its_tags_alone() {
    let cloud = Cloud::start().await;
    let moment = Moment { action: "ImportImage".to_owned(), nth: 0, takes_effect: true };
    // Its journal goes with the directory of the program.
    drop(cleanup::killed(&cloud, renamed, &moment).await);
    let (proxy, program) = (reap::calm(&cloud.bed).await, Program::new());
    let reaped = reap::run(&program, &proxy, &reap::ALL).await.succeeded();
    assert!(reaped.stdout.contains("Cancelling the import import-ami-"), "{}", reaped.stdout);
    // Only the journal knew whether the file was to stay.
    assert!(cloud.left().await.iter().all(|one| one.starts_with("s3 disk-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_an_import_and_what_cleans_up_after_it() {
    let cloud = Cloud::start().await;
    let after = [options(json!({"ami_name": "baked", "ami_encrypt": true}))];
    let unused = policy::unused(&cloud, &builder(&cloud.bed), &after).await;
    let expected = [
        "ec2:CancelImportTask",
        "ec2:DescribeSnapshots",
        "s3:AbortMultipartUpload",
        "s3:ListBucket",
    ];
    assert_eq!(unused, expected);
}

#[test]
fn wrong_options_of_imports_are_refused() {
    let program = Program::new();
    let check = |changes: Json| {
        let mut options = options(changes);
        options.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let builder = json!({"type": "null", "communicator": "none"});
        let text = json!({"builders": [builder], "post-processors": [options]});
        program.write("wrong.json", text.to_string());
        let output = program.command(["validate", "wrong.json"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (changes, says) in [
        (json!({}), ""),
        (json!({"s3_bucket_name": null}), "needs `s3_bucket_name`"),
        (json!({"format": "iso"}), "vhdx"),
        (json!({"s3_encryption": "none"}), "AES256"),
        (json!({"boot_mode": "uefi"}), "`linux` or `windows`"),
        (json!({"architecture": "arm64"}), "`linux` or `windows`"),
        (json!({"architecture": "arm64", "boot_mode": "legacy-bios"}), "arm64 has no BIOS"),
        (json!({"ami_encrypt": true}), "needs `ami_name`"),
        (json!({"ami_kms_key": "alias/x"}), "a key is for `ami_encrypt = true`"),
        (json!({"ami_name": "x!"}), "an AMI's name"),
        (
            json!({"ami_name": "baked", "ami_encrypt": true, "ami_users": ["111122223333"]}),
            "`ami_users` cannot use",
        ),
    ] {
        let (code, found) = check(changes.clone());
        assert_eq!(code, Some(i32::from(!says.is_empty())), "{changes}: {found}");
        assert!(found.contains(says), "{changes}: {found}");
    }
    let (_, found) = check(json!({"s3_encryption": "AES256", "s3_encryption_key": "x"}));
    assert!(found.contains("`s3_encryption_key` has no effect"), "{found}");
}
