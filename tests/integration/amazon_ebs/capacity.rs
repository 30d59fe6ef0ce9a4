//! Where EC2 has no machine to give, others are asked for that the template allows.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::bed::{Bed, Build, Ended};
use super::policy;
use super::proxy::{Call, Fate, Proxy, Rule};

const NO_CAPACITY: Fate = Fate::Refused("InsufficientInstanceCapacity");

/// A build against a cloud that does what `rule` says, and minds tokens as EC2 does.
async fn build(bed: &Bed, options: Json, rule: Rule) -> (Ended, Vec<Call>) {
    let proxy = Proxy::before(bed.moto.endpoint()).with_rule(rule).with_manners().start().await;
    let build = Build::of(bed.options(options), proxy.endpoint());
    let allowed = policy::permissions(&build);
    let ended = build.run().await;
    let forbidden = policy::forbidden(&proxy.calls(), &allowed);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    (ended, proxy.calls())
}

/// The first `count` machines that are asked for cannot be had.
fn refused(count: usize) -> Rule {
    Box::new(move |action, before| match action {
        "RunInstances" if before < count => NO_CAPACITY,
        _ => Fate::Passes,
    })
}

fn of<'a>(calls: &'a [Call], action: &str) -> Vec<&'a Call> {
    calls.iter().filter(|call| call.action == action).collect()
}

/// What all calls of `RunInstances` say of a parameter.
fn asked<'a>(calls: &'a [Call], parameter: &str) -> Vec<Option<&'a str>> {
    of(calls, "RunInstances").iter().map(|call| call.get(parameter)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_zone_is_tried_where_the_template_leaves_the_choice_to_us() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let (ended, calls) = build(&bed, json!({}), refused(3)).await;
    ended.artifact().destroy().await.unwrap();
    let subnets = asked(&calls, "SubnetId");
    assert_eq!((subnets.len(), subnets[0]), (4, None));
    let others: BTreeSet<_> = subnets[1..].iter().map(|subnet| subnet.unwrap()).collect();
    assert_eq!(others.len(), 3, "{others:?}");
    let tokens: BTreeSet<_> = asked(&calls, "ClientToken").into_iter().collect();
    assert_eq!(tokens.len(), 4, "{tokens:?}");
    let zone = asked(&calls, "Placement.AvailabilityZone")[1].unwrap();
    let said = |text: &str| ended.said.iter().any(|line| line.contains(text));
    assert!(said("(InsufficientInstanceCapacity)"), "{:?}", ended.said);
    assert!(said(&format!("Starting an instance: t3.micro in {zone}")), "{:?}", ended.said);
    assert_eq!(bed.inventory("us-east-1").await, before);
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_the_template_gives_is_the_only_one() {
    let bed = Bed::new();
    let subnets = bed.ec2("us-east-1").describe_subnets().send().await.unwrap();
    let [first, second, third, ..] = subnets.subnets() else { panic!("three subnets") };
    let [first, second, third] = [first, second, third].map(|one| one.subnet_id().unwrap());
    for (given, tries) in [
        (json!({"subnet_id": first}), 1),
        (json!({"availability_zone": "us-east-1b"}), 1),
        (json!({"subnet_filter": {"filters": {"subnet-id": first}}}), 1),
        (json!({"capacity_reservation_id": "cr-1"}), 1),
        (
            json!({"subnet_filter": {
                "filters": {"subnet-id": format!("{first},{second},{third}")}, "random": true,
            }}),
            3,
        ),
    ] {
        let (ended, calls) = build(&bed, given.clone(), refused(usize::MAX)).await;
        assert!(ended.error().contains("InsufficientInstanceCapacity"), "{}", ended.error());
        assert_eq!(of(&calls, "RunInstances").len(), tries, "{given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_are_tried_when_no_place_has_the_first() {
    let bed = Bed::new();
    let options = json!({
        "availability_zone": "us-east-1b", "fallback_instance_types": ["m6i.large", "m5.large"],
    });
    let (ended, calls) = build(&bed, options.clone(), refused(2)).await;
    ended.artifact().destroy().await.unwrap();
    let types = [Some("t3.micro"), Some("m6i.large"), Some("m5.large")];
    assert_eq!(asked(&calls, "InstanceType"), types);
    assert!(asked(&calls, "Placement.AvailabilityZone").iter().all(|at| *at == Some("us-east-1b")));
    // Only the first of them is burstable.
    let credits = asked(&calls, "CreditSpecification.CpuCredits");
    assert_eq!(credits, [Some("standard"), None, None]);

    let (ended, _) = build(&bed, options, refused(usize::MAX)).await;
    let error = ended.error();
    assert!(error.contains("EC2 has no capacity for the machine in any of 3 ways"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_not_about_capacity_ends_the_search() {
    let bed = Bed::new();
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("RunInstances", 0) => Fate::Refused("InsufficientInstanceCapacity"),
        ("RunInstances", _) => Fate::Refused("VcpuLimitExceeded"),
        _ => Fate::Passes,
    });
    let (ended, calls) = build(&bed, json!({}), rule).await;
    assert!(ended.error().contains("VcpuLimitExceeded"), "{}", ended.error());
    assert_eq!(of(&calls, "RunInstances").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_at_subnets_hears_why_there_is_no_machine() {
    let bed = Bed::new();
    let rule: Rule = Box::new(|action, _| match action {
        "RunInstances" => NO_CAPACITY,
        "DescribeSubnets" => Fate::Refused("UnauthorizedOperation"),
        _ => Fate::Passes,
    });
    let (ended, calls) = build(&bed, json!({}), rule).await;
    assert!(ended.error().contains("InsufficientInstanceCapacity"), "{}", ended.error());
    assert_eq!(of(&calls, "RunInstances").len(), 1);
    let told = "Other availability zones are not tried: DescribeSubnets failed";
    assert!(ended.said.iter().any(|line| line.starts_with(told)), "{:?}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_on_the_way_starts_no_second_machine() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("RunInstances", 0) => NO_CAPACITY,
        ("RunInstances", 1) => Fate::LosesAnswer,
        _ => Fate::Passes,
    });
    let (ended, calls) = build(&bed, json!({"skip_create_ami": true}), rule).await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    assert_eq!(of(&calls, "TerminateInstances").len(), 1);
    assert_eq!(bed.inventory("us-east-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_ec2_cannot_keep_makes_room_for_the_next() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    // EC2 has promised it, and sees only then that it has none.
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("DescribeInstances", 0) => Fate::Rewritten(
            "(?s)<instanceState>.*?</instanceState>",
            "<instanceState><code>48</code><name>terminated</name></instanceState><stateReason>\
             <code>Server.InsufficientInstanceCapacity</code><message>No room.</message>\
             </stateReason>",
        ),
        _ => Fate::Passes,
    });
    let (ended, calls) = build(&bed, json!({"skip_create_ami": true}), rule).await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    assert_eq!(of(&calls, "RunInstances").len(), 2);
    assert!(
        ended.said.iter().any(|line| line.ends_with("terminated: No room.")),
        "{:?}",
        ended.said
    );
    assert_eq!(bed.inventory("us-east-1").await, before);
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

/// That a fleet finds nothing.
const EMPTY_FLEET: Fate = Fate::Answered(
    200,
    "<CreateFleetResponse><fleetId>fleet-1</fleetId><errorSet><item>\
     <errorCode>InsufficientInstanceCapacity</errorCode><errorMessage>No spot.</errorMessage>\
     </item></errorSet></CreateFleetResponse>",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_asked_for_all_other_zones_then_for_other_types_then_on_demand() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let options = json!({
        "spot_price": "auto", "fallback_instance_types": ["m6i.large"],
        "spot_fallback_to_on_demand": true,
    });
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("CreateFleet", _) => EMPTY_FLEET,
        ("RunInstances", 0) => NO_CAPACITY,
        _ => Fate::Passes,
    });
    let (ended, calls) = build(&bed, options, rule).await;
    ended.artifact().destroy().await.unwrap();
    let choices = |call: &Call, what: &str| {
        let is_choice = |name: &str| name.contains(".Overrides.") && name.ends_with(what);
        let found = call.parameters.iter().filter(|(name, _)| is_choice(name));
        found.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let fleets = of(&calls, "CreateFleet");
    let [first, second, third] = fleets.as_slice() else { panic!("{fleets:#?}") };
    assert_eq!(choices(first, ".InstanceType"), ["t3.micro"]);
    assert_eq!(choices(first, ".SubnetId"), Vec::<String>::new());
    let subnets = choices(second, ".SubnetId");
    assert!(subnets.len() > 3, "{second:#?}");
    assert!(choices(second, ".InstanceType").iter().all(|kind| kind == "t3.micro"));
    assert_eq!(choices(third, ".SubnetId"), subnets);
    assert!(choices(third, ".InstanceType").iter().all(|kind| kind == "m6i.large"));
    // What is no spot instance is stopped.
    assert_eq!(asked(&calls, "SubnetId"), [Some(&*subnets[0]), Some(&*subnets[1])]);
    assert_eq!(of(&calls, "StopInstances").len(), 1);
    assert_eq!(bed.inventory("us-east-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_capacity_is_waited_for_where_there_is_nothing_else_to_try() {
    let bed = Bed::new();
    let rule: Rule = Box::new(|action, before| match (action, before) {
        ("CreateFleet", 0..3) => EMPTY_FLEET,
        _ => Fate::Passes,
    });
    let options = json!({"spot_price": "auto", "availability_zone": "us-east-1a"});
    let (ended, calls) = build(&bed, options, rule).await;
    ended.artifact();
    assert_eq!(of(&calls, "CreateFleet").len(), 4);
    assert_eq!(of(&calls, "RunInstances").len(), 0);
}
