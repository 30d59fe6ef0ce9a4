//! AWS credentials from the job's identity.

use std::time::Duration;

use serde_json::json;

use super::gate::{Gate, ROLE, Rules};
use super::outputs::{amazon, aws};
use super::runner::{Runner, Step};
use crate::amazon_ebs::bed::Bed;

/// A build in a job with an identity and no credentials.
fn bake(bed: &Bed, gate: &Gate, script: &str) -> Runner {
    Runner::new("build")
        .vars(aws(&gate.endpoint()))
        .vars(gate.permission())
        .with("role-to-assume", ROLE)
        .with("aws-region", "us-east-1")
        .file("web.pkr.hcl", amazon(bed, script))
}

fn why(step: &Step) -> &str {
    &step.log.annotations.last().expect("an error").message
}

#[test]
fn a_build_longer_than_its_sessions_works() {
    let bed = Bed::new();
    let lifetime = Some(Duration::from_secs(4));
    let gate = Gate::start(bed.moto.endpoint(), Rules { lifetime, ..Rules::default() });
    let step = bake(&bed, &gate, "sleep 9").run().succeeded();
    let seen = gate.seen();
    assert!(seen.sessions.len() >= 2, "{}", seen.sessions.len());
    assert_eq!(seen.sessions.len(), seen.audiences.len(), "each session has a token of its own");
    assert_eq!(seen.too_late, 0);
    assert!(seen.audiences.iter().all(|audience| audience == "sts.amazonaws.com"));
    let asked = &seen.sessions[0];
    assert_eq!(
        (asked["RoleArn"].as_str(), asked["RoleSessionName"].as_str()),
        (ROLE, "imgbake-4711-1")
    );
    assert!(!asked.contains_key("DurationSeconds"), "as the role says: {asked:?}");
    // A token and what it gave are secrets.
    let secrets: Vec<_> = seen.sessions.iter().map(|one| &one["WebIdentityToken"]).collect();
    for secret in secrets {
        assert!(step.log.masks.contains(secret));
        let told = format!("::add-mask::{secret}\n");
        assert!(!step.log.raw.replace(&told, "").contains(secret.as_str()));
    }
}

#[test]
fn the_inputs_say_how_the_role_is_taken_on() {
    let bed = Bed::new();
    let gate = Gate::start(bed.moto.endpoint(), Rules::default());
    bake(&bed, &gate, "true")
        .with("role-session-name", "nightly")
        .with("role-duration", "2h")
        .with("audience", "sts.example.com")
        .run()
        .succeeded();
    let seen = gate.seen();
    assert_eq!(
        (seen.sessions.len(), seen.audiences.as_slice()),
        (1, &["sts.example.com".to_owned()][..])
    );
    let asked = &seen.sessions[0];
    assert_eq!(
        (asked["RoleSessionName"].as_str(), asked["DurationSeconds"].as_str()),
        ("nightly", "7200")
    );
}

#[test]
fn a_role_that_does_not_trust_the_job_is_told_which_claims_were_sent() {
    let bed = Bed::new();
    let cases = [
        (
            ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            ["trust policy", "`repo:org/images:ref:refs/heads/main`", "`sts.amazonaws.com`"],
        ),
        (
            ("InvalidIdentityToken", "No OpenIDConnect provider found in your account"),
            [
                "identity provider for `https://token.actions.githubusercontent.com`",
                "audience",
                ROLE,
            ],
        ),
        (
            (
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ),
            ["7200 s", "MaxSessionDuration", "renewed for as long as builds run"],
        ),
    ];
    for (refusal, words) in cases {
        let rules = Rules { refusal: Some(refusal), ..Rules::default() };
        let gate = Gate::start(bed.moto.endpoint(), rules);
        let step = bake(&bed, &gate, "true").with("role-duration", "7200").run().failed();
        for word in words {
            assert!(why(&step).contains(word), "{word}: {}", why(&step));
        }
        assert!(why(&step).contains(refusal.0), "the cause is kept: {}", why(&step));
        let tries = gate.seen().sessions.len();
        assert!(tries <= 3, "asked {tries} times");
    }
}

#[test]
fn a_job_without_an_identity_is_told_what_to_give_it() {
    let template = super::commands::GOOD;
    let role = || Runner::new("build").with("role-to-assume", ROLE).file("web.pkr.hcl", template);
    let step = role().run().failed();
    assert!(why(&step).contains("`id-token: write`"), "{}", why(&step));
    let head = json!({"repo": {"full_name": "stranger/images"}});
    let event = json!({"number": 3, "pull_request": {"number": 3, "head": head}});
    let step = role().event("pull_request", &event).run().failed();
    assert!(why(&step).contains("the fork stranger/images"), "{}", why(&step));
}

#[test]
fn a_job_whose_right_to_tokens_ends_is_told_so() {
    let bed = Bed::new();
    let rules = Rules { tokens: Some(0), ..Rules::default() };
    let gate = Gate::start(bed.moto.endpoint(), rules);
    let step = bake(&bed, &gate, "true").run().failed();
    assert!(why(&step).contains("gives no identity token"), "{}", why(&step));
    assert!(why(&step).contains("has ended"), "{}", why(&step));
}

#[test]
fn a_role_can_be_taken_on_from_credentials_that_are_there() {
    let bed = Bed::new();
    let runner = Runner::new("build")
        .vars(bed.moto.environment())
        .with("role-to-assume", ROLE)
        .with("role-chaining", "true")
        .file("web.pkr.hcl", amazon(&bed, "true"))
        .var("RUNNER_DEBUG", "1");
    let step = runner.run().succeeded();
    let caller = step.log.debug.iter().find(|line| line.contains("credentials are valid"));
    let caller = caller.expect("STS says who we are");
    assert!(caller.contains("assumed-role/image-baker/imgbake-4711-1"), "{caller}");
}

#[test]
fn a_job_without_any_credentials_is_told_how_to_get_them() {
    let bed = Bed::new();
    let step = Runner::new("build")
        .vars(aws(&bed.moto.endpoint()))
        .file("web.pkr.hcl", amazon(&bed, "true"))
        .run()
        .failed();
    let why = why(&step);
    assert!(why.contains("role-to-assume") && why.contains("id-token: write"), "{why}");
}
