//! What the options do, and what is wrong with them.

use imgbake::diagnostic::Severity;
use serde_json::{Value as Json, json};

use super::bed::{Bed, Build};
use super::proxy::{Fate, Proxy, Rule};

/// A build with these options, which is only looked at.
fn checked(changes: Json) -> Build {
    let mut options = json!({
        "region": "us-east-1", "ami_name": "baked", "instance_type": "t3.micro",
        "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Json::Null => options.as_object_mut().unwrap().remove(name),
            value => options.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    Build::of(options, String::new())
}

/// What `validate` would say of a build with these options.
fn findings(changes: Json) -> Vec<String> {
    match checked(changes).check() {
        Ok(_) => Vec::new(),
        Err(found) => {
            let line = |found: imgbake::diagnostic::Diagnostic| {
                format!("{}: {}", found.summary, found.cause.unwrap_or_default())
            };
            let errors = found.0.into_iter().filter(|found| found.severity == Severity::Error);
            errors.map(line).collect()
        }
    }
}

#[test]
fn good_options_are_accepted() {
    assert_eq!(findings(json!({})), Vec::<String>::new());
}

#[test]
fn a_group_that_is_not_opened_to_everybody_is_said_to_be() {
    let warnings = |changes: Json| checked(changes).warnings();
    let closed = json!({"temporary_security_group_source_public_ip": false});
    let said = "only this machine's own address may connect, for all that";
    assert_eq!(warnings(closed), [said]);
    let given = json!({
        "temporary_security_group_source_public_ip": false,
        "temporary_security_group_source_cidrs": ["0.0.0.0/0"],
    });
    assert_eq!(warnings(given), Vec::<String>::new());
}

/// What is said of each of these.
fn refused(wrong: &[Json]) -> String {
    let lines = wrong
        .iter()
        .map(|wrong| format!("{wrong}\n    {}", findings(wrong.clone()).join("\n    ")));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn wrong_options_are_refused() {
    insta::assert_snapshot!(refused(&[
        json!({"ami_name": null}),
        json!({"ami_name": "ab"}),
        json!({"ami_name": "web:1"}),
        json!({"source_ami": null}),
        json!({"source_ami": null, "source_ami_filter": {"filters": {"name": "x"}}}),
        json!({"instance_type": null}),
        json!({"access_key": "AKIAIOSFODNN7EXAMPLE"}),
        json!({"custom_endpoint_ec2": "ec2.example.com"}),
        json!({"security_group_id": "sg-1", "security_group_ids": ["sg-2"]}),
        json!({"temporary_security_group_source_cidrs": ["10.0.0.1"]}),
        json!({"temporary_key_pair_type": "ecdsa"}),
        json!({"ssh_keypair_name": "mine"}),
        json!({"ssh_interface": "session_manager"}),
        json!({
            "ssh_interface": "session_manager", "iam_instance_profile": "p",
            "ssh_host": "127.0.0.1", "ssh_proxy_host": "proxy",
        }),
        json!({
            "ssh_interface": "session_manager", "iam_instance_profile": "p", "communicator": "none",
        }),
        json!({"user_data": "x", "user_data_file": "/etc/passwd"}),
        json!({"ena_support": true, "ami_virtualization_type": "paravirtual"}),
        json!({"launch_block_device_mappings": [{"volume_size": 8}]}),
        json!({"vault_aws_engine": {"name": "x"}}),
        json!({"mfa_code": "123456"}),
    ]));
}

#[test]
fn wrong_options_of_spot_instances_copies_and_lifetimes_are_refused() {
    insta::assert_snapshot!(refused(&[
        json!({"spot_price": "cheap"}),
        json!({"spot_instance_types": ["t3.micro"], "spot_price": "auto"}),
        json!({"spot_instance_types": ["t3.micro"], "instance_type": null}),
        json!({"spot_tags": {"Team": "images"}}),
        json!({"fleet_tag": [{"key": "Team", "value": "images"}]}),
        json!({"spot_fallback_to_on_demand": true}),
        json!({"fallback_instance_types": ["m5.large"], "capacity_reservation_id": "cr-1"}),
        json!({"fallback_instance_types": ["m5.large"], "enable_unlimited_credits": true}),
        json!({"spot_price": "auto", "ena_support": true}),
        json!({"spot_price": "auto", "sriov_support": true}),
        json!({"spot_price": "auto", "instance_type": "t2.micro", "enable_unlimited_credits": true}),
        json!({"spot_price": "auto", "instance_type": "m5.large", "enable_nitro_enclave": true}),
        json!({"spot_price": "auto", "capacity_reservation_id": "cr-1"}),
        json!({"block_duration_minutes": 90}),
        json!({"temporary_iam_instance_profile_policy_document": {"Statement": []}}),
        json!({"temporary_iam_instance_profile_policy_document": {"Statement": [{"Effect": "Yes"}]}}),
        json!({"kms_key_id": "alias/images"}),
        json!({"encrypt_boot": true, "kms_key_id": "images"}),
        json!({"encrypt_boot": true, "ami_users": ["111122223333"]}),
        json!({
            "encrypt_boot": true, "kms_key_id": "alias/images", "snapshot_users": ["111122223333"],
            "ami_regions": ["eu-west-1"], "region_kms_key_ids": {"eu-west-1": ""},
        }),
        json!({
            "encrypt_boot": true, "kms_key_id": "alias/images", "ami_users": ["111122223333"],
            "ami_regions": ["us-east-1", "us-west-2"],
        }),
        json!({
            "encrypt_boot": true, "ami_regions": ["eu-west-1"],
            "region_kms_key_ids": {"eu-west-2": "alias/images"},
        }),
        json!({"snapshot_copy_duration_minutes": 20}),
        json!({"deprecate_at": "tomorrow"}),
        json!({"deprecate_at": "2020-12-31T23:59:59Z"}),
        json!({"imds_support": "v1.0"}),
        json!({"fast_launch": {"max_parallel_launches": 5, "target_resource_count": 0}}),
        json!({"fast_launch": {"template_id": "lt-1", "template_name": "x"}}),
        json!({"fast_launch": {"template_version": 1}}),
        json!({"fast_launch": {"region_launch_templates": [{"region": "eu-west-1"}]}}),
        json!({"fast_launch": {"region_launch_templates": [
            {"region": "us-east-1"}, {"region": "us-east-1", "template_id": "lt-1", "template_version": 0},
        ]}}),
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_is_started_as_the_template_says() {
    let bed = Bed::new();
    let ec2 = bed.ec2("us-east-1");
    let subnets = ec2.describe_subnets().send().await.unwrap();
    let subnet = &subnets.subnets()[1];
    let group = ec2.create_security_group().group_name("mine").description("mine").send().await;
    let group = group.unwrap().group_id.unwrap();
    let options = bed.options(json!({
        "subnet_filter": {"filters": {"availability-zone": subnet.availability_zone()}, "most_free": true},
        "security_group_id": group,
        "user_data": "#!/bin/sh\n",
        "run_tags": {"Team": "images"},
        "run_volume_tag": [{"key": "Disk", "value": "{{ .BuildRegion }}"}],
        "skip_create_ami": true,
    }));
    let ended = bed.build(options).await;
    assert!(ended.result.is_ok(), "{}", ended.error());
    let found = ec2.describe_instances().send().await.unwrap();
    let instance = &found.reservations()[0].instances()[0];
    assert_eq!(instance.subnet_id(), subnet.subnet_id());
    assert_eq!(instance.security_groups()[0].group_id(), Some(group.as_str()));
    let tags: Vec<_> = instance.tags().iter().filter_map(|tag| tag.key()).collect();
    for wanted in ["Team", "imgbake:run", "imgbake:build"] {
        assert!(tags.contains(&wanted), "{tags:?}");
    }
    let tokens = instance.metadata_options().unwrap().http_tokens().unwrap();
    assert_eq!(tokens.as_str(), "required");
    assert!(!ended.said.iter().any(|line| line.contains("security group")), "{:?}", ended.said);
}

#[test]
fn hardware_that_cannot_be_had_together_is_refused() {
    let one = |changes| match findings(changes).as_slice() {
        [one] => one.clone(),
        all => panic!("{all:?}"),
    };
    let cases = [
        (json!({"tenancy": "host", "placement": {"tenancy": "host"}}), "only once"),
        (
            json!({"placement": {"host_id": "h-1", "host_resource_group_arn": "arn"}}),
            "either a host",
        ),
        (json!({"placement": {"host_id": "h-1", "tenancy": "default"}}), "the tenancy `host`"),
        (
            json!({"capacity_reservation_id": "cr-1", "capacity_reservation_preference": "open"}),
            "`capacity_reservation_preference` is given too",
        ),
        (json!({"enable_nitro_enclave": true}), "no enclaves"),
        (json!({"enable_unlimited_credits": true, "instance_type": "m6i.large"}), "have credits"),
        (json!({"license_specifications": [{}]}), "required here"),
    ];
    for (changes, why) in cases {
        let found = one(changes.clone());
        assert!(found.contains(why), "{changes}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_places_and_credentials_are_said_before_anything_is_made() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let region = bed.build(bed.options(json!({"ami_regions": ["us-esat-1"]}))).await.error();
    assert!(region.contains("no region `us-esat-1`; did you mean `us-east-1`?"), "{region}");
    let source = json!({"source_ami_filter": null, "source_ami": "ami-00000000000000000"});
    let source = bed.build(bed.options(source)).await.error();
    assert!(source.contains("InvalidAMIID.NotFound"), "{source}");
    let several = json!({"source_ami_filter": {
        "filters": {"name": "ubuntu/images/*"}, "owners": ["099720109477"],
    }});
    let several = bed.build(bed.options(several)).await.error();
    assert!(several.contains("make it narrower, or set `most_recent`"), "{several}");
    assert_eq!(bed.inventory("us-east-1").await, before);
}

/// A rule of a proxy that has moto's instances show `text` on their consoles.
fn console(text: &str) -> Rule {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let output: &'static str = format!("<output>{encoded}</output>").leak();
    Box::new(move |action, _| match action {
        "GetConsoleOutput" => Fate::Rewritten("<output>[^<]*</output>", output),
        _ => Fate::Passes,
    })
}

/// What cloud-init shows of the host key in this file.
fn shown(public_key: &std::path::Path) -> String {
    let key = std::fs::read_to_string(public_key).unwrap();
    format!("-----BEGIN SSH HOST KEY KEYS-----\n{key}-----END SSH HOST KEY KEYS-----\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_key_on_the_console_is_the_only_one_accepted() {
    let bed = Bed::new();
    let before = bed.inventory("us-east-1").await;
    let ours = shown(&bed.sshd.host_key("ed25519"));
    let proxy = Proxy::start(bed.moto.endpoint(), console(&ours)).await;
    let ended = Build::of(bed.options(json!({})), proxy.endpoint()).run().await;
    ended.artifact().destroy().await.unwrap();
    // At once, or after the machine was trusted: that depends on who is faster.
    let said = |text: &str| ended.said.iter().any(|line| line.contains(text));
    assert!(
        said("Host key verified (machine's console): ssh-ed25519 SHA256:")
            || said("The host key trusted on first use is the one on the machine's console"),
        "{:?}",
        ended.said
    );

    let another = shown(&bed.sshd.key("ed25519").with_extension("pub"));
    let proxy = Proxy::start(bed.moto.endpoint(), console(&another)).await;
    let ended = Build::of(bed.options(json!({})), proxy.endpoint()).run().await;
    let error = ended.error();
    assert!(error.contains("console") && error.contains("SHA256:"), "{error}");
    assert_eq!(bed.inventory("us-east-1").await, before, "{:?}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_from_the_console_the_host_key_is_trusted_on_first_use() {
    let bed = Bed::new();
    // Neither a console without keys nor one that may not be looked at stops a build.
    let denied = |action: &str, _| match action {
        "GetConsoleOutput" => Fate::Refused("UnauthorizedOperation"),
        _ => Fate::Passes,
    };
    for rule in [console("Linux version 6.1"), Box::new(denied) as Rule] {
        let proxy = Proxy::start(bed.moto.endpoint(), rule).await;
        let ended = Build::of(bed.options(json!({})), proxy.endpoint()).run().await;
        ended.artifact().destroy().await.unwrap();
        assert!(proxy.count("GetConsoleOutput") >= 1);
        let trusted = "Host key trusted on first use: ssh-ed25519 SHA256:";
        assert!(ended.said.iter().any(|line| line.contains(trusted)), "{:?}", ended.said);
    }
}
