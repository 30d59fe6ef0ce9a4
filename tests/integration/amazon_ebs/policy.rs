//! What `imgbake iam-policy` prints is what builds need: all of it, and nothing else.

use std::collections::BTreeSet;

use imgbake::component::{Builder as _, CleanupContext, OnError, Purpose};
use imgbake::event::Ui;
use imgbake::permission::{Permission, policy};
use serde_json::{Value as Json, json};

use super::bed::{Bed, Build, Cloud};
use super::proxy::{Call, Fate, Proxy, Rule, passes};
use crate::support::{Moto, Program, Sshd};

/// What a build with these options is allowed.
pub fn permissions(build: &Build) -> Vec<Permission> {
    let (builder, facts, _) = build.check().unwrap_or_else(|found| panic!("{found:#?}"));
    builder.permissions(Purpose::Build, &facts.scope.environment)
}

/// The actions that the program itself takes.
fn actions(permissions: &[Permission]) -> BTreeSet<String> {
    let own = permissions.iter().filter(|permission| !permission.by_service);
    own.flat_map(|permission| permission.actions.iter().cloned()).collect()
}

/// The actions of `calls`. Anybody may ask who she is.
pub fn actions_of(calls: &[Call]) -> BTreeSet<String> {
    let action = |call: &Call| {
        let name = match call.action.as_str() {
            "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => "PutObject",
            "HeadObject" => "GetObject",
            "ListMultipartUploads" => "ListBucketMultipartUploads",
            own => own,
        };
        format!("{}:{name}", call.service.as_deref().unwrap())
    };
    calls.iter().map(action).filter(|action| action != "sts:GetCallerIdentity").collect()
}

/// What `calls` do that `permissions` do not allow.
pub fn forbidden(calls: &[Call], permissions: &[Permission]) -> BTreeSet<String> {
    let signed: Vec<_> = calls.iter().filter(|call| call.service.is_some()).cloned().collect();
    actions_of(&signed).difference(&actions(permissions)).cloned().collect()
}

/// The calls of a good build, and of one that is left as it was when its last call failed, with
/// the cleaning up after it; and what is allowed.
async fn calls(bed: &Bed, options: &Json, last: &'static str) -> (Vec<Call>, Vec<Permission>) {
    let mut all = Vec::new();
    let mut allowed = Vec::new();
    for fails in [false, true] {
        let protects = !options["deregistration_protection"].is_null();
        let rule: Rule = Box::new(move |action, _| match action {
            _ if action == last && fails => Fate::Refused("UnauthorizedOperation"),
            "DescribeImages" if protects => Fate::Rewritten(
                "<imageId>",
                "<deregistrationProtection>enabled</deregistrationProtection><imageId>",
            ),
            // The second build has to do with an on-demand machine.
            "CreateFleet" if fails => Fate::Refused("MaxSpotInstanceCountExceeded"),
            _ => beyond_moto(action),
        });
        let proxy = Proxy::start(bed.moto.endpoint(), rule).await;
        let mut options = bed.options(options.clone());
        options["ami_name"] = if fails { "second" } else { "first" }.into();
        let mut build = Build::of(options, proxy.endpoint());
        build.on_error = OnError::Abort;
        allowed = permissions(&build);
        let (builder, facts, redactor) = build.check().unwrap();
        let ended = build.run().await;
        match &ended.result {
            Ok(_) => assert!(!fails, "{:?}", ended.said),
            Err(error) => {
                assert!(
                    fails && format!("{error:#}").contains(&format!("{last} failed")),
                    "{error:#}"
                );
            }
        }
        let (ui, _heard) = Ui::redacting(redactor.clone());
        let ui = ui.for_target("cleanup");
        let environment = facts.scope.environment.clone();
        let cleaner =
            builder.cleaner(&CleanupContext { environment, redactor, ui, dry_run: false }).unwrap();
        cleaner.clean(&ended.journal).await;
        assert_eq!(ended.journal.left_behind(), Vec::<String>::new());
        all.extend(proxy.calls());
    }
    (all, allowed)
}

/// The actions that a printed policy allows.
pub fn printed(policy: &Json) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|one| match &one["Action"] {
        Json::Array(actions) => actions.clone(),
        one => vec![one.clone()],
    });
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// Builds what these options of a builder, and of post-processors `after` it, say. The printed policy allows all of its calls; what it
/// allows beside them comes back.
pub async fn unused(cloud: &Cloud, builder: &Json, after: &[Json]) -> Vec<String> {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let program = Program::new();
    program.write("web.json", json!({"builders": [builder], "post-processors": after}).to_string());
    let mut command = tokio::process::Command::from(program.command(["build", "web.json"]));
    let output = command.envs(proxy.environment()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    unused_by(&program, &proxy).await
}

/// The same of a build of `program`, whose calls went through `proxy`.
pub async fn unused_by(program: &Program, proxy: &Proxy) -> Vec<String> {
    let mut command = tokio::process::Command::from(program.command(["iam-policy", "web.json"]));
    let output = command.envs(proxy.environment()).output().await.unwrap();
    let allowed = printed(&serde_json::from_slice(&output.stdout).unwrap());
    let made = actions_of(&proxy.calls());
    assert_eq!(made.difference(&allowed).collect::<Vec<_>>(), Vec::<&String>::new());
    allowed.difference(&made).cloned().collect()
}

/// What moto does not know or does not say.
fn beyond_moto(action: &str) -> Fate {
    match action {
        "EnableFastLaunch"
        | "DisableFastLaunch"
        | "EnableImageDeprecation"
        | "EnableImageDeregistrationProtection"
        | "DisableImageDeregistrationProtection" => Fate::Done,
        "DescribeFastLaunchImages" => Fate::Answered(
            200,
            "<DescribeFastLaunchImagesResponse><fastLaunchImageSet><item><imageId>ami-1</imageId>\
             <state>enabled</state></item></fastLaunchImageSet></DescribeFastLaunchImagesResponse>",
        ),
        _ => Fate::Passes,
    }
}

#[track_caller]
fn assert_same(used: &BTreeSet<String>, allowed: &BTreeSet<String>) {
    let missing: Vec<_> = used.difference(allowed).collect();
    let unused: Vec<_> = allowed.difference(used).collect();
    assert!(missing.is_empty() && unused.is_empty(), "missing: {missing:?}, unused: {unused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_every_call_of_a_build_and_no_other() {
    let bed = Bed::new();
    let template = bed.ec2("us-east-1").create_launch_template().launch_template_name("mine");
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id("ami-1").build();
    template.launch_template_data(data).send().await.unwrap();
    let (here, abroad) = ("us-east-1", "eu-west-1");
    for (region, name) in [(here, "first"), (abroad, "first"), (here, "second"), (abroad, "second")]
    {
        bed.image(region, name).await;
    }
    let options = json!({
        "ami_regions": ["eu-west-1"], "ena_support": true, "force_deregister": true,
        "force_delete_snapshot": true, "run_tags": {"Team": "images"}, "ami_users": ["111122223333"],
        "snapshot_users": ["111122223333"], "deprecate_at": "2099-12-31T23:59:59Z",
        "deregistration_protection": {"enabled": true}, "associate_public_ip_address": true,
        "temporary_iam_instance_profile_policy_document": {
            "Statement": [{"Effect": "Allow", "Action": ["logs:*"], "Resource": ["*"]}],
        },
        "fast_launch": {"template_name": "mine"},
    });
    let (used, allowed) = calls(&bed, &options, "EnableImageDeregistrationProtection").await;
    assert_same(&actions_of(&used), &actions(&allowed));
    insta::assert_snapshot!(format!("{:#}", policy(allowed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_a_spot_build_allows_every_call_and_no_other() {
    let bed = Bed::new();
    let iam = bed.moto.iam();
    iam.create_instance_profile().instance_profile_name("mine").send().await.unwrap();
    let group = bed.ec2("us-east-1").create_security_group().group_name("mine").description("x");
    let group = group.send().await.unwrap().group_id.unwrap();
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let options = json!({
        "assume_role": {"role_arn": "arn:aws:iam::123456789012:role/baker"},
        "spot_price": "auto", "spot_fallback_to_on_demand": true, "security_group_id": group, "iam_instance_profile": "mine",
        "encrypt_boot": true, "kms_key_id": key, "skip_region_validation": true,
        "tags": {"Team": "images"},
    });
    let (used, allowed) = calls(&bed, &options, "CreateTags").await;
    assert_same(&actions_of(&used), &actions(&allowed));
    insta::assert_snapshot!(format!("{:#}", policy(allowed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_has_nothing_but_the_policy_can_build() {
    let sshd = Sshd::start_with_any_key();
    let mut builder = json!({
        "type": "amazon-ebs", "region": "us-east-1", "ami_name": "baked", "tags": {"Team": "images"},
        "instance_type": "t3.micro", "ssh_host": "127.0.0.1", "ssh_port": sshd.port,
        "ssh_username": sshd.user, "max_retries": 1,
        // moto, when it checks signatures, cannot read the description of a temporary one.
        "security_group_filter": {"filters": {"group-name": "default"}},
        "source_ami_filter": {
            "filters": {"name": "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*"},
            "owners": ["099720109477"], "most_recent": true,
        },
    });
    let program = Program::new();
    program.write("t.json", json!({"builders": [builder.clone()]}).to_string());
    let printed = program.run(["iam-policy", "t.json"]).succeeded().stdout;
    for denied in [None, Some("ec2:StopInstances")] {
        let mut policy: Json = serde_json::from_str(&printed).unwrap();
        // moto does not know what calls are about, nor conditions.
        for statement in policy["Statement"].as_array_mut().unwrap() {
            statement["Resource"] = "*".into();
            statement.as_object_mut().unwrap().remove("Condition");
        }
        if let Some(denied) = denied {
            let deny = json!({"Effect": "Deny", "Action": denied, "Resource": "*"});
            policy["Statement"].as_array_mut().unwrap().push(deny);
        }
        let (moto, key, secret) = account_of_baker(&policy).await;
        builder["access_key"] = key.into();
        builder["secret_key"] = secret.into();
        let program = Program::new().with([("AWS_ENDPOINT_URL", moto.endpoint())]);
        program.write("t.json", json!({"builders": [builder.clone()]}).to_string());
        let run = tokio::task::spawn_blocking(move || program.run(["build", "t.json"]));
        let run = run.await.unwrap();
        match denied {
            None => drop(run.succeeded()),
            Some(action) => {
                let run = run.failed_with(1);
                assert!(run.stdout.contains("StopInstances failed"), "{action}: {}", run.stdout);
            }
        }
    }
}

/// A moto that checks what its user may do, and the user's keys.
async fn account_of_baker(policy: &Json) -> (Moto, String, String) {
    // Three calls need no permission.
    let moto = Moto::start_with([("INITIAL_NO_AUTH_ACTION_COUNT", "3")]);
    let iam = moto.iam();
    iam.create_user().user_name("baker").send().await.unwrap();
    let allow = iam.put_user_policy().user_name("baker").policy_name("builds");
    allow.policy_document(policy.to_string()).send().await.unwrap();
    let made = iam.create_access_key().user_name("baker").send().await.unwrap();
    let key = made.access_key().unwrap();
    (moto, key.access_key_id().to_owned(), key.secret_access_key().to_owned())
}
