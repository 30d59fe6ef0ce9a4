//! Machines with Windows: the password that they make for themselves, and WinRM.

use serde_json::{Value as Json, json};

use super::bed::{Bed, Build};
use super::proxy::Proxy;
use crate::ssm::service::{Manner, Service};
use crate::support::{PASSWORD, USER, WinRm};

/// The options of a build whose machine is `winrm`.
fn options(bed: &Bed, winrm: &WinRm, changes: Json) -> Json {
    let mut options = bed.options(json!({
        "communicator": "winrm", "winrm_host": "127.0.0.1", "winrm_port": winrm.port,
        "winrm_username": USER, "winrm_use_ntlm": true, "winrm_timeout": "30s",
        "ssh_host": null, "ssh_port": null, "ssh_username": null, "ssh_timeout": null,
        "skip_create_ami": true,
    }));
    for (name, value) in changes.as_object().unwrap() {
        options.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    options
}

async fn start() -> (Bed, WinRm) {
    tokio::task::spawn_blocking(|| (Bed::new(), WinRm::ntlm())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_the_machine_is_found_out_and_told_to_nobody() {
    let (bed, winrm) = start().await;
    let before = bed.inventory("us-east-1").await;
    let proxy = Proxy::before(bed.moto.endpoint()).with_password(PASSWORD).start().await;
    let ended = Build::of(options(&bed, &winrm, json!({})), proxy.endpoint()).run().await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    let data = ended.data.as_ref().unwrap();
    assert_eq!((&data["WinRMPassword"], &data["User"]), (&json!(PASSWORD), &json!(USER)));
    let said = ended.said.join("\n");
    assert!(said.contains("Password retrieved!") && !said.contains(PASSWORD), "{said}");
    assert_eq!(proxy.count("GetPasswordData"), 3);
    let call = |action: &str| proxy.calls().into_iter().find(|call| call.action == action).unwrap();
    assert_eq!(call("CreateKeyPair").get("KeyType"), Some("rsa"));
    let port = winrm.port.to_string();
    let door = call("AuthorizeSecurityGroupIngress");
    assert_eq!(door.get("IpPermissions.1.FromPort"), Some(port.as_str()));
    assert_eq!(bed.inventory("us-east-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_makes_no_password_is_given_up_in_time() {
    let (bed, winrm) = start().await;
    // Nobody knows the key that is given, so the password that comes is not for it.
    let proxy = Proxy::before(bed.moto.endpoint()).with_password(PASSWORD).start().await;
    let changes = json!({"windows_password_timeout": "600ms"});
    let ended = Build::of(options(&bed, &winrm, changes), proxy.endpoint()).run().await;
    let error = ended.error();
    assert!(error.contains("`windows_password_timeout`") && error.contains("600ms"), "{error}");
    assert_eq!(ended.journal.entry_texts(), Vec::<String>::new());
}

#[test]
fn what_cannot_open_a_password_is_refused_before_anything_runs() {
    let wrong = |changes: Json| {
        let base = json!({
            "region": "us-east-1", "ami_name": "windows", "instance_type": "t3.micro", "source_ami": "ami-1",
            "communicator": "winrm",
        });
        let mut options = base;
        options.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let found = Build::of(options, "http://127.0.0.1:1".into()).check().err();
        let found = found.map(|found| found.0).unwrap_or_default();
        found.into_iter().map(|one| one.summary).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(wrong(json!({})), "");
    let pair = wrong(json!({"ssh_keypair_name": "mine"}));
    assert!(pair.contains("`ssh_private_key_file`"), "{pair}");
    let given =
        json!({"ssh_keypair_name": "mine", "winrm_username": "me", "winrm_password": "given"});
    assert_eq!(wrong(given), "");
    let kind = wrong(json!({"temporary_key_pair_type": "ed25519"}));
    assert!(kind.contains("`temporary_key_pair_type`"), "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn winrm_goes_through_session_manager() {
    let (bed, winrm) = start().await;
    let service = Service::start(bed.moto.endpoint(), winrm.port, Manner::default()).await;
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
        .credentials_provider(aws_sdk_iam::config::Credentials::new(
            crate::support::ACCESS_KEY,
            crate::support::SECRET_KEY,
            None,
            None,
            "test",
        ))
        .region(aws_sdk_iam::config::Region::new("us-east-1"))
        .endpoint_url(bed.moto.endpoint());
    let iam = aws_sdk_iam::Client::from_conf(config.build());
    iam.create_instance_profile().instance_profile_name("managed").send().await.unwrap();
    let mut options = options(
        &bed,
        &winrm,
        json!({
            "winrm_password": PASSWORD, "ssh_interface": "session_manager",
            "iam_instance_profile": "managed",
        }),
    );
    for name in ["winrm_host", "winrm_port"] {
        options.as_object_mut().unwrap().remove(name);
    }
    let ended = Build::of(options, service.endpoint()).run().await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    assert_eq!(service.calls("StartSession")[0]["Parameters"]["portNumber"], json!(["5985"]));
    assert_eq!((service.active(), service.count("CreateKeyPair")), (0, 0));
}
