//! The `amazon-instance` builder: the same machine, which bundles its volume into S3, and an AMI of that.

use serde_json::{Value as Json, json};

use super::bed::{Bed, Cloud, validated};
use super::cleanup::{self, Moment, kill_at_every_call};
use super::proxy::{Fate, Proxy, Rule, passes};
use super::{policy, reap};
use crate::support::{ACCESS_KEY, Program, Run, SECRET_KEY};

const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPx1\n-----END PRIVATE KEY-----\n";

fn options(bed: &Bed, changes: Json) -> Json {
    let dir = bed.tools.dir();
    // Programs of the sweep have no files but their template.
    std::fs::write(dir.join("local.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(dir.join("local.key"), KEY).unwrap();
    let mut all = json!({
        "type": "amazon-instance",
        "account_id": "1234-5678-9012",
        "s3_bucket": bed.bucket(),
        "x509_cert_path": dir.join("local.crt"),
        "x509_key_path": dir.join("local.key"),
        "x509_upload_path": dir,
        "bundle_destination": dir.join("bundle"),
    });
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    bed.options(all)
}

fn template(builder: &Json, after: &[Json]) -> String {
    let shell = json!({"type": "shell", "inline": ["echo working"]});
    json!({"builders": [builder], "provisioners": [shell], "post-processors": after}).to_string()
}

fn registered(bed: &Bed) -> (&'static str, String) {
    ("web.json", template(&options(bed, json!({})), &[]))
}

/// Builds with `flags` what these options say, and post-processors `after` them.
async fn built_after(cloud: &Cloud, changes: Json, after: &[Json], flags: &[&str]) -> (Run, Proxy) {
    built_with(passes(), cloud, changes, after, flags).await
}

/// The same, with calls that end as the `rule` says.
async fn built_with(
    rule: Rule,
    cloud: &Cloud,
    changes: Json,
    after: &[Json],
    flags: &[&str],
) -> (Run, Proxy) {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), rule).await;
    let program = Program::new();
    program.write("web.json", template(&options(&cloud.bed, changes), after));
    let args = ["build"].iter().chain(flags).chain([&"web.json"]).copied();
    let mut command = tokio::process::Command::from(program.command(args));
    command.env("PACKER_LOG", "1");
    let output = command.envs(proxy.environment()).output().await.unwrap();
    (Run::of(output), proxy)
}

async fn built(cloud: &Cloud, changes: Json) -> (Run, Proxy) {
    built_after(cloud, changes, &[], &[]).await
}

/// The ids of what is left of this kind.
async fn left(cloud: &Cloud, kind: &str) -> Vec<String> {
    cloud.left().await.into_iter().filter(|one| one.starts_with(kind)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_is_registered_from_what_the_machine_has_bundled() {
    let cloud = Cloud::start().await;
    let changes = json!({
        "bundle_prefix": "web", "tpm_support": "v2.0", "ena_support": true,
        "ami_virtualization_type": "hvm", "run_tags": {"Team": "builders"},
        "ami_block_device_mappings": [{"device_name": "/dev/sdb", "virtual_name": "ephemeral0"}],
    });
    let (run, proxy) = built(&cloud, changes).await;
    let run = run.succeeded();
    assert!(run.stdout.contains("AMIs were created:\nus-east-1: ami-"), "{}", run.stdout);
    let objects = ["s3 web.manifest.xml", "s3 web.part.0", "s3 web.part.1"];
    assert_eq!(left(&cloud, "s3 ").await, objects, "machines of the AMI start from them");
    let others = cloud.left().await.into_iter();
    let others =
        others.filter(|one| !["s3 ", "ami-", "snap-"].iter().any(|kind| one.starts_with(kind)));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
    let asked = proxy.calls().into_iter().find(|call| call.action == "RegisterImage").unwrap();
    for (name, value) in [
        ("Name", "baked"),
        ("ImageLocation", "imports/web.manifest.xml"),
        ("TpmSupport", "v2.0"),
        ("EnaSupport", "true"),
        ("VirtualizationType", "hvm"),
        ("BlockDeviceMapping.1.VirtualName", "ephemeral0"),
    ] {
        assert_eq!(asked.get(name), Some(value), "{name}: {:?}", asked.parameters);
    }
    for never in ["RootDeviceName", "Architecture"] {
        assert_eq!(asked.get(never), None, "the bundle says it: {never}");
    }
    let given = asked.parameters.iter().any(|(_, value)| value == "builders");
    assert!(!given, "`run_tags` are the machine's: {:?}", asked.parameters);
    assert_eq!(proxy.count("StopInstances"), 0, "it is bundled while it runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_told_as_by_packer_and_no_secret_stays_there_or_is_said() {
    let cloud = Cloud::start().await;
    let dir = cloud.bed.tools.dir();
    let (run, _) = built(&cloud, json!({})).await;
    let run = run.succeeded();
    let objects = left(&cloud, "s3 image-").await;
    let prefix = objects[0].strip_prefix("s3 ").unwrap().strip_suffix(".manifest.xml").unwrap();
    let (dir_text, key) = (dir.display(), format!("{}/key.pem", dir.display()));
    let bundle = format!(
        "ec2-bundle-vol -k {key} -u 123456789012 -c {dir_text}/cert.pem -r x86_64 \
         -e {dir_text}/cert.pem,{key} -d {dir_text}/bundle -p {prefix} --batch --no-filter"
    );
    let upload = format!(
        "ec2-upload-bundle -b imports -m {dir_text}/bundle/{prefix}.manifest.xml -a {ACCESS_KEY} \
         -s {SECRET_KEY} -d {dir_text}/bundle --batch --region us-east-1 --retry"
    );
    assert_eq!(cloud.bed.tools.commands(), [bundle, upload]);
    for gone in ["cert.pem", "key.pem"] {
        assert!(!dir.join(gone).exists(), "{gone} was on the machine for the bundle only");
    }
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("upload the bundle"), "the log is there: {said}");
    for secret in [SECRET_KEY, "MC4CAQAwBQYDK2VwBCIEIPx1"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_a_profile_gets_no_keys() {
    let cloud = Cloud::start().await;
    let iam = cloud.bed.moto.iam();
    iam.create_instance_profile().instance_profile_name("mine").send().await.unwrap();
    let (run, _) = built(&cloud, json!({"iam_instance_profile": "mine"})).await;
    run.succeeded();
    let commands = cloud.bed.tools.commands();
    assert!(!commands[1].contains(" -a ") && !commands[1].contains(SECRET_KEY), "{commands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_fails_says_why_and_leaves_nothing() {
    let cloud = Cloud::start().await;
    for (changes, why) in [
        (json!({"bundle_vol_command": "exit 127"}), "has no ec2-bundle-vol"),
        (json!({"bundle_upload_command": "exit 3"}), "may be owned by somebody else"),
    ] {
        let (run, _) = built(&cloud, changes).await;
        let run = run.failed_with(1);
        assert!(run.stdout.contains(why), "{why}: {}", run.stdout);
        assert!(cloud.left().await.is_empty());
    }
    // The machine may upload as long as it is there.
    std::fs::write(cloud.bed.tools.dir().join("fails"), "").unwrap();
    let (run, proxy) = built(&cloud, json!({})).await;
    run.failed_with(1);
    assert!(cloud.left().await.is_empty());
    let order: Vec<_> = proxy.calls().into_iter().map(|call| call.action).collect();
    let at = |action: &str| order.iter().position(|one| one == action).unwrap();
    assert!(at("TerminateInstances") < at("DeleteObject"), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_not_written_over_another_unless_that_is_forced() {
    let cloud = Cloud::start().await;
    let changes = json!({"bundle_prefix": "web"});
    built(&cloud, changes.clone()).await.0.succeeded();
    let again = json!({"bundle_prefix": "web", "ami_name": "again"});
    let (run, proxy) = built(&cloud, again).await;
    let run = run.failed_with(1);
    let says = "s3://imports/web.manifest.xml is there already, and an AMI may start from it";
    assert!(run.stdout.contains(says), "{}", run.stdout);
    assert_eq!(proxy.count("RunInstances"), 0);
    assert_eq!(cloud.bed.in_bucket().len(), 3, "it is somebody's");
    let (run, _) = built_after(&cloud, changes, &[], &["-force"]).await;
    assert!(run.succeeded().stdout.contains("is there, and is written over"));
    assert_eq!(left(&cloud, "ami-").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_ami_is_registered_again_from_its_bundle_where_a_forced_build_fails() {
    let cloud = Cloud::start().await;
    built(&cloud, json!({})).await.0.succeeded();
    let before = cloud.bed.in_bucket();
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("RegisterImage", 1) => Fate::Refused("InvalidParameterValue"),
        _ => Fate::Passes,
    });
    let (run, proxy) = built_with(rule, &cloud, json!({}), &[], &["-force"]).await;
    let run = run.failed_with(1);
    let says = "Registered the old AMI `baked` again from its bundle s3://imports/image-";
    assert!(run.stdout.contains(says), "{}", run.stdout);
    assert_eq!(cloud.bed.in_bucket(), before, "the new bundle is gone");
    let last = proxy.calls().into_iter().rfind(|call| call.action == "RegisterImage");
    let location = format!("imports/{}", before[0]);
    assert_eq!(last.unwrap().get("ImageLocation"), Some(location.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_on_an_instance_store_is_tested_and_known_again() {
    let cloud = Cloud::start().await;
    let test = [json!({"type": "boot-test", "inline": ["echo tested"]})];
    let flags = ["-skip-unchanged"];
    let (run, proxy) = built_after(&cloud, json!({}), &test, &flags).await;
    let run = run.succeeded();
    assert!(run.stdout.contains("has passed"), "{}", run.stdout);
    assert_eq!(proxy.count("RunInstances"), 2);
    let (run, proxy) = built_after(&cloud, json!({}), &test, &flags).await;
    let run = run.succeeded();
    assert_eq!(proxy.count("RunInstances"), 0, "{}", run.stdout);
    assert!(run.stdout.contains("was made from the same"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_fails_its_test_goes_with_its_bundle_or_stays_with_it() {
    let cloud = Cloud::start().await;
    for keep_failed in [false, true] {
        let test = json!({"type": "boot-test", "inline": ["exit 7"], "keep_failed": keep_failed});
        let (run, _) = built_after(&cloud, json!({}), &[test], &[]).await;
        run.failed_with(1);
        let left = (left(&cloud, "ami-").await.len(), left(&cloud, "s3 image-").await.len());
        assert_eq!(left, if keep_failed { (1, 3) } else { (0, 0) });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_ami_is_only_there_to_be_copied_goes_with_it() {
    let cloud = Cloud::start().await;
    let changes = json!({"ami_regions": ["eu-west-1"], "skip_save_build_region": true});
    built(&cloud, changes).await.0.succeeded();
    assert_eq!(left(&cloud, "ami-").await.len(), 1);
    assert_eq!(cloud.bed.in_bucket(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_this_builder_is_not_kept_and_that_is_said() {
    let cloud = Cloud::start().await;
    let changes = json!({"bundle_vol_command": "exit 1"});
    let (run, _) = built_after(&cloud, changes, &[], &["-keep-failed=2h"]).await;
    let run = run.failed_with(1);
    let says = "this builder keeps no machine on which a provisioner has failed";
    assert!(format!("{}{}", run.stdout, run.stderr).contains(says), "{run:#?}");
    assert!(cloud.left().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    kill_at_every_call(registered, &["RunInstances", "RegisterImage", "DeleteTags"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_build_was_uploading_is_removed_and_nothing_else_of_the_bucket() {
    let cloud = Cloud::start().await;
    let (bed, hold) = (&cloud.bed, cloud.bed.tools.dir().join("hold"));
    std::fs::write(&hold, "").unwrap();
    let (name, text) = registered(bed);
    assert!(bed.s3("PUT /imports/image-of-somebody.part.0").contains(" 200 "));
    let (program, proxy) = (Program::new(), Proxy::start(bed.moto.endpoint(), passes()).await);
    program.write(name, text);
    let mut command = tokio::process::Command::from(program.command(["build", name]));
    let mut child = command.envs(proxy.environment()).kill_on_drop(true).spawn().unwrap();
    while bed.in_bucket().len() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it is uploading still");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    child.kill().await.unwrap();
    for journal in cleanup::journals(&program) {
        assert!(!journal.contains(SECRET_KEY) && !journal.contains("PRIVATE KEY"), "{journal}");
    }
    let cleaned = cleanup::cleanup(&program, &proxy, &[]).await.succeeded();
    assert_eq!(bed.in_bucket(), ["image-of-somebody.part.0"], "{cleaned:#?}");
    assert_eq!(cloud.left().await.len(), 1, "{cleaned:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_ami_is_reaped_with_its_bundle_though_no_journal_is_left() {
    let cloud = Cloud::start().await;
    let moment = Moment { action: "DeleteTags".to_owned(), nth: 0, takes_effect: false };
    // Its journal goes with the directory of the program.
    drop(cleanup::killed(&cloud, registered, &moment).await);
    assert_eq!(cloud.bed.in_bucket().len(), 3);
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let reaped = reap::run(&Program::new(), &proxy, &reap::ALL).await.succeeded();
    assert!(cloud.left().await.is_empty(), "{:?}: {reaped:#?}", cloud.left().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_a_bundle_and_what_cleans_up_after_it() {
    let cloud = Cloud::start().await;
    let unused = policy::unused(&cloud, &options(&cloud.bed, json!({})), &[]).await;
    // What EC2 and the machine call, what is looked for after a lost answer, and what only clean-up does.
    let expected = [
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "ec2:DeregisterImage",
        "ec2:DescribeKeyPairs",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSubnets",
        "s3:CreateBucket",
        "s3:DeleteObject",
        "s3:GetBucketLocation",
        "s3:ListBucket",
        "s3:PutObject",
        "s3:PutObjectAcl",
    ];
    assert_eq!(unused, expected);
}

#[test]
fn wrong_options_of_bundles_are_refused() {
    let program = Program::new();
    program.write("cert.pem", "");
    let check = |changes: Json| {
        let builder = json!({
            "type": "amazon-instance", "region": "us-east-1", "instance_type": "m1.small",
            "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu", "ami_name": "baked",
            "account_id": "1234-5678-9012", "s3_bucket": "x",
            "x509_cert_path": "cert.pem", "x509_key_path": "cert.pem",
        });
        validated(&program, builder, &changes)
    };
    for (changes, says) in [
        (json!({}), ""),
        (json!({"account_id": null}), "needs `account_id`"),
        (json!({"account_id": "12"}), "12 digits"),
        (json!({"s3_bucket": null}), "needs `s3_bucket`"),
        (json!({"x509_cert_path": null}), "needs `x509_cert_path`"),
        (json!({"x509_key_path": "missing"}), "there is no file missing"),
        (json!({"bundle_prefix": "a/b"}), "have no `/`"),
        (json!({"communicator": "none", "ssh_username": null}), "told to bundle itself"),
        (json!({"tpm_support": "v1"}), "v2.0"),
        (json!({"skip_ami_run_tags": true}), "skip_ami_run_tags"),
        (json!({"spot_price": "auto", "ena_support": true}), "spot instances are not"),
        (json!({"spot_price": "auto", "sriov_support": true}), "spot instances are not"),
        (json!({"spot_price": "auto", "enable_nitro_enclave": true}), "enable_nitro_enclave"),
        (json!({"bundle_vol_command": "{{.Token}}"}), "Token"),
    ] {
        let (code, found) = check(changes.clone());
        assert_eq!(code, Some(i32::from(!says.is_empty())), "{changes}: {found}");
        assert!(found.contains(says), "{changes}: {found}");
    }
    let (_, found) = check(json!({"disable_stop_instance": true}));
    assert!(found.contains("`disable_stop_instance` has no effect"), "{found}");
}
