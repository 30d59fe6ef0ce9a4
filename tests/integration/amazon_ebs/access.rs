//! Who signs the calls: the program finds its credentials where AWS's tools have them.
//!
//! The builds end at a source AMI that does not exist: by then the account was asked enough.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::bed::{Bed, Build};
use super::proxy::{Call, Fate, Proxy, passes};
use crate::support::{ACCESS_KEY, Moto, Program, SECRET_KEY};

/// An access key of nobody: that of AWS's examples of signatures.
const OTHER_KEY: &str = "AKIDEXAMPLE";

/// The calls of a build with these options, files in the home directory, and variables.
async fn calls(options: Json, files: &[(&str, String)], vars: &[(&str, &str)]) -> Vec<Call> {
    let moto = Moto::start();
    let proxy = Proxy::start(moto.endpoint(), passes()).await;
    let endpoint = [("AWS_ENDPOINT_URL", proxy.endpoint())];
    let vars = vars.iter().map(|&(name, value)| (name, value.to_owned()));
    let program = Program::new().with(endpoint.into_iter().chain(vars));
    let mut builder = json!({
        "type": "amazon-ebs", "ami_name": "baked", "instance_type": "t3.micro",
        "source_ami": "ami-00000000000000000", "ssh_username": "ubuntu",
        "skip_metadata_api_check": true,
    });
    builder.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    program.write("t.json", json!({"builders": [builder]}).to_string());
    for (name, content) in files {
        program.write(name, content);
    }
    let run = tokio::task::spawn_blocking(move || program.run(["build", "t.json"]));
    let run = run.await.unwrap().failed_with(1);
    assert!(run.stdout.contains("InvalidAMIID.NotFound"), "{}", run.stdout);
    assert!(!run.stdout.contains(SECRET_KEY), "{}", run.stdout);
    proxy.calls()
}

/// The keys that signed calls of EC2.
fn signers(calls: &[Call]) -> BTreeSet<&str> {
    let ec2 = calls.iter().filter(|call| call.action.starts_with("Describe"));
    ec2.filter_map(|call| call.key.as_deref()).collect()
}

fn credentials(profile: &str, key: &str) -> String {
    format!("[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET_KEY}\n")
}

const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_wins_over_the_environment_and_has_a_region() {
    let files = [
        (".aws/credentials", credentials("work", OTHER_KEY)),
        (".aws/config", "[profile work]\nregion = eu-west-1\n".to_owned()),
    ];
    let calls = calls(json!({"profile": "work"}), &files, &KEYS).await;
    assert_eq!(signers(&calls), [OTHER_KEY].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_files_of_another_place_are_read() {
    let files = [("keys", credentials("default", OTHER_KEY))];
    let options = json!({"shared_credentials_file": "keys", "region": "us-east-1"});
    assert_eq!(signers(&calls(options, &files, &[]).await), [OTHER_KEY].into());

    let files = [("keys", credentials("ci", OTHER_KEY))];
    let vars = [("AWS_SHARED_CREDENTIALS_FILE", "keys"), ("AWS_PROFILE", "ci")];
    let calls = calls(json!({"region": "us-east-1"}), &files, &vars).await;
    assert_eq!(signers(&calls), [OTHER_KEY].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on_with_all_that_the_template_says() {
    let role = json!({
        "role_arn": "arn:aws:iam::123456789012:role/baker",
        "session_name": "nightly", "external_id": "secret-handshake", "duration_seconds": 900,
        "policy_arns": ["arn:aws:iam::aws:policy/AmazonEC2FullAccess"],
        "tags": {"Team": "images"}, "transitive_tag_keys": ["Team"],
    });
    let calls = calls(json!({"assume_role": role, "region": "us-east-1"}), &[], &KEYS).await;
    let taken: Vec<_> = calls.iter().filter(|call| call.action == "AssumeRole").collect();
    assert_eq!(taken.len(), 1, "one session serves all calls");
    let expected = [
        ("RoleArn", "arn:aws:iam::123456789012:role/baker"),
        ("RoleSessionName", "nightly"),
        ("ExternalId", "secret-handshake"),
        ("DurationSeconds", "900"),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/AmazonEC2FullAccess"),
        ("Tags.member.1.Key", "Team"),
        ("Tags.member.1.Value", "images"),
        ("TransitiveTagKeys.member.1", "Team"),
    ];
    for (name, value) in expected {
        assert_eq!(taken[0].get(name), Some(value), "{name}: {taken:?}");
    }
    assert_eq!(taken[0].key.as_deref(), Some(ACCESS_KEY));
    let signers = signers(&calls);
    assert!(signers.iter().all(|key| key.starts_with("ASIA")), "{signers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_may_name_a_role_and_where_its_keys_are() {
    let config = "[profile baker]\nrole_arn = arn:aws:iam::123456789012:role/baker\n\
                  source_profile = work\nregion = us-east-1\n[profile work]\nregion = us-east-1\n";
    let files =
        [(".aws/credentials", credentials("work", OTHER_KEY)), (".aws/config", config.to_owned())];
    let calls = calls(json!({"profile": "baker"}), &files, &[]).await;
    let taken = calls.iter().find(|call| call.action == "AssumeRole").expect("a role");
    assert_eq!(taken.key.as_deref(), Some(OTHER_KEY));
    assert!(signers(&calls).iter().all(|key| key.starts_with("ASIA")), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_is_enough() {
    let files = [("token", "eyJhbGciOiJub25lIn0.e30.".to_owned())];
    let vars = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci"),
        ("AWS_ROLE_SESSION_NAME", "run-1"),
    ];
    for options in [
        json!({"region": "us-east-1"}),
        json!({"region": "us-east-1", "skip_metadata_api_check": false}),
    ] {
        let calls = calls(options, &files, &vars).await;
        let taken = calls.iter().find(|call| call.action == "AssumeRoleWithWebIdentity");
        let taken = taken.expect("a role");
        assert_eq!(taken.get("RoleArn"), Some("arn:aws:iam::123456789012:role/ci"));
        assert_eq!(taken.get("RoleSessionName"), Some("run-1"));
        assert!(taken.key.is_none(), "it needs no key: {taken:?}");
        assert!(signers(&calls).iter().all(|key| key.starts_with("ASIA")), "{calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_goes_with_its_key() {
    let keys = json!({
        "access_key": OTHER_KEY, "secret_key": SECRET_KEY, "token": "session",
        "region": "us-east-1",
    });
    let calls = calls(keys, &[], &[]).await;
    assert!(calls.iter().all(|call| call.token.as_deref() == Some("session")), "{calls:?}");
}

/// A build of which only the access is looked at, and which fails.
fn build(vars: &[(&str, String)], options: Json) -> crate::support::Run {
    let program = Program::new().with(vars.iter().cloned());
    let mut builder = json!({
        "type": "amazon-ebs", "ami_name": "baked", "instance_type": "t3.micro",
        "source_ami": "ami-00000000000000000", "ssh_username": "ubuntu", "region": "us-east-1",
        "max_retries": 1,
    });
    builder.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    program.write("t.json", json!({"builders": [builder]}).to_string());
    program.run(["build", "t.json"]).failed_with(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_key_is_noticed() {
    // Three calls need no permission, and make a user who may do anything; then moto checks.
    let moto = Moto::start_with([("INITIAL_NO_AUTH_ACTION_COUNT", "3")]);
    let iam = moto.iam();
    iam.create_user().user_name("baker").send().await.unwrap();
    let everything = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let allow = iam.put_user_policy().user_name("baker").policy_name("everything");
    allow.policy_document(everything).send().await.unwrap();
    let made = iam.create_access_key().user_name("baker").send().await.unwrap();
    let key = made.access_key().unwrap();
    let endpoint = [("AWS_ENDPOINT_URL", moto.endpoint())];
    let with = |secret: &str| {
        let keys = json!({
            "access_key": key.access_key_id(), "secret_key": secret,
            "skip_credential_validation": true,
        });
        build(&endpoint, keys).stdout
    };
    let right = with(key.secret_access_key());
    assert!(right.contains("InvalidAMIID.NotFound"), "{right}");
    let wrong = with(SECRET_KEY);
    assert!(wrong.contains("AuthFailure"), "{wrong}");
}

#[test]
fn any_certificate_will_do_if_the_template_says_so() {
    let moto = Moto::start_with_tls();
    let keys = KEYS.map(|(name, value)| (name, value.to_owned()));
    let endpoint = ("AWS_ENDPOINT_URL", format!("https://127.0.0.1:{}", moto.port));
    let vars: Vec<_> = keys.into_iter().chain([endpoint]).collect();
    let strict = build(&vars, json!({}));
    assert!(strict.stdout.contains("certificate"), "{}", strict.stdout);
    let role = json!({"role_arn": "arn:aws:iam::123456789012:role/baker"});
    let easy = build(&vars, json!({"insecure_skip_tls_verify": true, "assume_role": role}));
    assert!(easy.stdout.contains("InvalidAMIID.NotFound"), "{}", easy.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_service_is_not_asked_if_the_template_says_so() {
    let asked = async |options: Json| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = format!("http://{}", listener.local_addr().unwrap());
        let vars = [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", service),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9".to_owned()),
        ];
        let run = tokio::task::spawn_blocking(move || build(&vars, options));
        tokio::select! {
            _ = listener.accept() => true,
            run = run => {
                assert!(run.unwrap().stdout.contains("credentials"));
                false
            }
        }
    };
    assert!(asked(json!({})).await);
    assert!(!asked(json!({"skip_metadata_api_check": true})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mfa_code_is_used_once() {
    let bed = Bed::new();
    // The role's credentials have run out by the time that they are used.
    let rule = |action: &str, _| match action {
        "AssumeRole" => Fate::Rewritten(
            "<Expiration>[^<]*</Expiration>",
            "<Expiration>2026-01-01T00:00:00Z</Expiration>",
        ),
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(rule)).await;
    let role = json!({"role_arn": "arn:aws:iam::123456789012:role/baker"});
    let options = json!({"mfa_code": "123456", "assume_role": role, "max_retries": 1});
    let error = Build::of(bed.options(options), proxy.endpoint()).run().await.error();
    assert!(error.contains("an `mfa_code` can be used only once"), "{error}");
    assert_eq!(proxy.count("AssumeRole"), 1);
    let call = proxy.calls().into_iter().find(|call| call.action == "AssumeRole").unwrap();
    // The user may not ask for her devices; the one that is called as she is will do.
    assert!(call.get("SerialNumber").unwrap().ends_with(":mfa/moto"), "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_debug_the_key_is_in_a_file_as_long_as_the_build_runs() {
    let bed = Bed::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ec2_ubuntu.pem");
    let seen: Arc<Mutex<Option<(u32, String)>>> = Arc::default();
    let (there, noted) = (file.clone(), seen.clone());
    let look = move |action: &str, _| {
        if action == "StopInstances" {
            let mode = std::fs::metadata(&there).unwrap().permissions().mode() & 0o777;
            let text = std::fs::read_to_string(&there).unwrap();
            *noted.lock().unwrap() = Some((mode, text));
        }
        Fate::Passes
    };
    let proxy = Proxy::start(bed.moto.endpoint(), Box::new(look)).await;
    let options = bed.options(json!({"skip_create_ami": true}));
    let mut build = Build::of(options, proxy.endpoint());
    (build.debug, build.cwd) = (true, dir.path().to_owned());
    let ended = build.run().await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    let (mode, text) = seen.lock().unwrap().take().expect("the machine was stopped");
    assert_eq!(mode, 0o600);
    assert!(text.contains("PRIVATE KEY"));
    assert!(!file.exists(), "it goes with the key pair");
    let said = |text: &str| ended.said.iter().any(|line| line.contains(text));
    assert!(said("ec2_ubuntu.pem") && said("Private IP: "), "{:?}", ended.said);
    assert!(!said("PRIVATE KEY"), "{:?}", ended.said);
}
