//! EC2 takes spot instances back: the build begins anew, a few times.

use serde_json::{Value as Json, json};

use super::bed::{Bed, Build, Ended, Trouble};
use super::proxy::{Call, Fate, Proxy, Rule, passes};

/// Of which states EC2 tells, and why.
const TAKEN_BACK: Fate = Fate::Rewritten(
    "(?s)<instanceState>.*?</instanceState>",
    "<instanceState><code>48</code><name>terminated</name></instanceState><stateReason>\
     <code>Server.SpotInstanceTermination</code><message>Out of spot.</message></stateReason>",
);

fn spot(bed: &Bed) -> Json {
    bed.options(json!({"spot_price": "auto", "availability_zone": "us-east-1a"}))
}

/// The provisioners of each build fail, as they do when the connection is lost.
async fn failing(bed: &Bed, options: Json, rule: Rule) -> (Ended, Vec<Call>) {
    let before = bed.inventory("us-east-1").await;
    let proxy = Proxy::before(bed.moto.endpoint()).with_rule(rule).with_manners().start().await;
    let ended = Build::of(options, proxy.endpoint()).with(Trouble::Fails).run().await;
    assert_eq!(bed.inventory("us-east-1").await, before, "{:?}", ended.said);
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
    (ended, proxy.calls())
}

fn count(calls: &[Call], action: &str) -> usize {
    calls.iter().filter(|call| call.action == action).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_spot_instance_is_taken_back_begins_anew() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    // While the image is made.
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("CreateImage", 0) => Fate::Refused("InvalidInstanceID.NotFound"),
        // After the look whether it runs.
        ("DescribeInstances", 1) => TAKEN_BACK,
        _ => Fate::Passes,
    });
    let proxy = Proxy::before(bed.moto.endpoint()).with_rule(rule).with_manners().start().await;
    let ended = Build::of(spot(&bed), proxy.endpoint()).run().await;
    ended.artifact().destroy().await.unwrap();
    assert_eq!(proxy.count("CreateFleet"), 2);
    let again = "The build begins anew: EC2 has taken its spot instance back";
    let at = ended.said.iter().position(|line| line == again).unwrap();
    assert!(ended.said[at - 1].contains("is terminated: Out of spot."), "{:?}", ended.said);
    assert_eq!(bed.inventory("us-east-1").await, before, "the first one is undone");
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_begin_anew_for_ever() {
    let bed = Bed::new();
    let rule: Rule = Box::new(|action, before| match action {
        // Each build looks whether it runs, why it failed, and whether it has ended.
        "DescribeInstances" if before % 3 == 1 => TAKEN_BACK,
        _ => Fate::Passes,
    });
    let (ended, calls) = failing(&bed, spot(&bed), rule).await;
    let error = ended.error();
    assert!(error.contains("is terminated: Out of spot.: the provisioner failed"), "{error}");
    assert_eq!(count(&calls, "CreateFleet"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_failure_is_final_and_says_whether_the_instance_had_ended() {
    let bed = Bed::new();
    let passes: Rule = passes();
    let (ended, calls) = failing(&bed, spot(&bed), passes).await;
    assert_eq!(ended.error(), "the provisioner failed");
    assert_eq!(count(&calls, "CreateFleet"), 1);

    let ended_by_somebody: Rule = Box::new(|action, before| match (action, before) {
        ("DescribeInstances", 1) => Fate::Rewritten(
            "(?s)<instanceState>.*?</instanceState>",
            "<instanceState><code>48</code><name>terminated</name></instanceState><stateReason>\
             <code>Client.UserInitiatedShutdown</code><message>By a user.</message></stateReason>",
        ),
        _ => Fate::Passes,
    });
    let (ended, calls) = failing(&bed, bed.options(json!({})), ended_by_somebody).await;
    let error = ended.error();
    assert!(error.ends_with("is terminated: By a user.: the provisioner failed"), "{error}");
    assert_eq!(count(&calls, "RunInstances"), 1);
}
