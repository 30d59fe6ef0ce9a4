//! Whatever happens, nothing stays: interruptions at every step, lost answers, failing parts.

use std::time::{Duration, Instant};

use serde_json::json;

use super::bed::{Bed, Build, Trouble};
use super::proxy::{Fate, Proxy};

/// All steps of a build that makes everything that can be made.
const STEPS: [&str; 23] = [
    "check the account",
    "check the AMI's name",
    "find the source AMI",
    "find the network",
    "check the source AMI",
    "make a key pair",
    "open a security group",
    "make an instance profile",
    "run the instance",
    "connect",
    "provision",
    "forget the temporary key",
    "stop the instance",
    "set the instance's attributes",
    "find old AMIs",
    "create the AMI",
    "deregister old AMIs",
    "copy the AMI",
    "enable fast launch",
    "share the AMI",
    "tag the AMI",
    "set the AMI's lifetime",
    "hand the AMI over",
];

fn everything(bed: &Bed) -> serde_json::Value {
    bed.options(json!({
        "ami_regions": ["eu-west-1"],
        "tags": {"Name": "web"},
        "ssh_clear_authorized_keys": true,
        "launch_block_device_mappings": [{"device_name": "/dev/sdh", "volume_size": 8}],
        "temporary_iam_instance_profile_policy_document": {
            "Statement": [{"Effect": "Allow", "Action": ["logs:*"], "Resource": ["*"]}],
        },
    }))
}

/// A spot instance, an intermediary AMI, and what EC2 makes beside them.
fn other_ways(bed: &Bed) -> serde_json::Value {
    let mut options = everything(bed);
    options["spot_price"] = json!("auto");
    options["encrypt_boot"] = json!(true);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_at_any_step_leaves_nothing() {
    let bed = Bed::new();
    let before = bed.inventory_of_all().await;
    let other_steps = ["run the instance", "create the AMI", "copy the AMI", "tag the AMI"];
    let moments = STEPS.map(|step| (step, false)).into_iter();
    for (step, other) in moments.chain(other_steps.map(|step| (step, true))) {
        for later in [0, 15] {
            let trouble = Trouble::Interrupted(step.to_owned(), Duration::from_millis(later));
            let options = if other { other_ways(&bed) } else { everything(&bed) };
            let ended = Build::of(options, bed.moto.endpoint()).with(trouble).run().await;
            assert!(ended.steps.contains(&step.to_owned()), "{step}: {:?}", ended.steps);
            if let Ok(Some(artifact)) = &ended.result {
                // The interruption came too late: the build was done.
                artifact.destroy().await.unwrap();
            }
            assert_eq!(bed.inventory_of_all().await, before, "{step}: {:?}", ended.said);
            assert_eq!(ended.journal.entry_texts(), Vec::<String>::new(), "{step}");
            assert_eq!(ended.journal.left_behind().len(), 0, "{step}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_above_are_all_there_are() {
    let bed = Bed::new();
    let ended = bed.build(everything(&bed)).await;
    ended.artifact();
    assert_eq!(ended.steps, STEPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_provisioner_leaves_nothing() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let build = Build::of(everything(&bed), bed.moto.endpoint()).with(Trouble::Fails);
    let ended = build.run().await;
    assert_eq!(ended.error(), "the provisioner failed");
    assert_eq!(bed.inventory("us-east-1").await, before);
}

/// The calls of an undisturbed build that change something.
async fn changes(bed: &Bed, options: &serde_json::Value) -> Vec<String> {
    let proxy = Proxy::before(bed.moto.endpoint()).start().await;
    let ended = Build::of(options.clone(), proxy.endpoint()).run().await;
    let mut names: Vec<_> = proxy.calls().into_iter().map(|call| call.action).collect();
    names.retain(|name| !name.starts_with("Describe") && !name.starts_with("Get"));
    ended.artifact().destroy().await.unwrap();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_is_lost_is_done_once() {
    let bed = Bed::new();
    let before = bed.inventory_of_all().await;
    let (all, other) = (everything(&bed), other_ways(&bed));
    let changes_of_all = changes(&bed, &all).await;
    assert!(changes_of_all.len() > 16, "{changes_of_all:?}");
    let mut new = changes(&bed, &other).await;
    new.retain(|call| !changes_of_all.contains(call));
    assert!(new.contains(&"CreateFleet".to_owned()), "{new:?}");
    for (changes, options) in [(changes_of_all, all), (new, other)] {
        for (at, call) in changes.iter().enumerate() {
            let nth = changes[..at].iter().filter(|name| *name == call).count();
            let lost = call.clone();
            let rule = move |action: &str, before: usize| match action == lost && before == nth {
                true => Fate::LosesAnswer,
                false => Fate::Passes,
            };
            let proxy = Proxy::before(bed.moto.endpoint()).with_rule(Box::new(rule));
            let proxy = proxy.with_manners().start().await;
            let ended = Build::of(options.clone(), proxy.endpoint()).run().await;
            assert!(proxy.count(call) > nth, "{call}");
            assert_eq!(ended.journal.entry_texts(), Vec::<String>::new(), "{call}");
            ended.artifact().destroy().await.unwrap_or_else(|error| panic!("{call}: {error:#}"));
            assert_eq!(bed.inventory_of_all().await, before, "{call}: {:?}", ended.said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_done_and_never_answered_leaves_nothing() {
    let bed = Bed::new();
    let before = bed.inventory_of_all().await;
    for (call, look) in [
        ("CreateKeyPair", "DescribeKeyPairs"),
        ("CreateSecurityGroup", "DescribeSecurityGroups"),
        ("AuthorizeSecurityGroupIngress", ""),
        ("RunInstances", "DescribeInstances"),
        ("StopInstances", ""),
        ("CreateTags", ""),
    ] {
        // It is done, nobody hears of it, and then the line is dead for a while.
        let rule = move |action: &str, nth: usize| match nth {
            0 if action == call => Fate::LosesAnswer,
            0..2 if action == look => Fate::Vanishes,
            _ if action == call => Fate::Vanishes,
            _ => Fate::Passes,
        };
        let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
        let mut options = everything(&bed);
        options["max_retries"] = json!(2);
        let ended = Build::of(options, proxy.endpoint()).run().await;
        let (error, failed) = (ended.error(), if look.is_empty() { call } else { look });
        assert!(error.contains(&format!("{failed} failed")), "{call}: {error}");
        assert_eq!(bed.inventory_of_all().await, before, "{call}: {:?}", ended.said);
        assert_eq!(ended.journal.left_behind().len(), 0, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_said_with_its_id() {
    let bed = Bed::new();
    let rule = |action: &str, _| match action {
        "TerminateInstances" => Fate::Vanishes,
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
    let options = bed.options(json!({"max_retries": 1, "skip_create_ami": true}));
    // The group cannot go while the instance is there; moto does not mind.
    let ended = Build::of(options, proxy.endpoint()).run().await;
    let left = ended.journal.left_behind();
    assert_eq!(left.len(), 1, "{left:?}");
    let text = format!("{left:?}");
    assert!(text.contains("instance i-") && text.contains("TerminateInstances failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_run_is_interrupted() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    // The instance stays pending until it is terminated.
    let rule = |action: &str, _| match action {
        "DescribeInstances" => Fate::Rewritten("<name>running</name>", "<name>pending</name>"),
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
    let trouble = Trouble::Interrupted("run the instance".into(), Duration::from_secs(2));
    let started = Instant::now();
    let ended = Build::of(bed.options(json!({})), proxy.endpoint()).with(trouble).run().await;
    assert_eq!(ended.error(), "interrupted");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(bed.inventory("us-east-1").await, before);
    // Looks came every quarter of a second at most.
    assert!(proxy.count("DescribeInstances") <= 14, "{}", proxy.count("DescribeInstances"));
}
