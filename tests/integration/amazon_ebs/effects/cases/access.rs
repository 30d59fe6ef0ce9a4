//! Who calls, where, and how patiently.

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::{Case, case};
use crate::amazon_ebs::proxy::Fate;
use crate::support::SECRET_KEY;

/// An access key of nobody: that of AWS's examples of signatures.
const OTHER_KEY: &str = "AKIDEXAMPLE";

/// A credentials file; it is there as long as the tests run.
static KEYS: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
    let keys = tempfile::NamedTempFile::new().unwrap();
    let text =
        format!("[ci]\naws_access_key_id = {OTHER_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
    std::fs::write(keys.path(), text).unwrap();
    keys
});

pub(super) fn cases() -> Vec<Case> {
    let mut all = keys();
    all.extend([role(), endpoint(), tries(), decoded(), patience()]);
    all
}

/// A build with these options that ends at its source AMI: by then the account was asked enough.
fn brief(mut options: Json, shows: &str) -> Case {
    options["source_ami"] = json!("ami-00000000000000000");
    options["source_ami_filter"] = Json::Null;
    case(options, shows)
}

fn keys() -> Vec<Case> {
    let given = json!({
        "access_key": OTHER_KEY, "secret_key": SECRET_KEY, "region": "eu-west-1",
        "skip_credential_validation": true, "skip_region_validation": true,
    });
    let given_shows = format!(
        "access_key: signed by {OTHER_KEY}
         region: DescribeImages in eu-west-1
         skip_credential_validation: no GetCallerIdentity
         skip_region_validation: no DescribeRegions
         secret_key: test: a_wrong_secret_key_is_noticed
         token: test: a_session_token_goes_with_its_key
         insecure_skip_tls_verify: test: any_certificate_will_do_if_the_template_says_so
         skip_metadata_api_check: test: the_metadata_service_is_not_asked_if_the_template_says_so"
    );
    let profile = json!({"profile": "ci", "shared_credentials_file": KEYS.path()});
    let profile_shows = format!(
        "profile: signed by {OTHER_KEY}
         shared_credentials_file: signed by {OTHER_KEY}"
    );
    vec![brief(given, &given_shows), brief(profile, &profile_shows)]
}

fn role() -> Case {
    let options = json!({
        "mfa_code": "123456",
        "assume_role": {
            "role_arn": "arn:aws:iam::123456789012:role/baker", "session_name": "nightly",
            "external_id": "handshake", "duration_seconds": 900, "policy": "{\"Statement\": []}",
            "policy_arns": ["arn:aws:iam::aws:policy/AmazonEC2FullAccess"],
            "tags": {"Team": "images"}, "transitive_tag_keys": ["Team"],
        },
    });
    let shows = "
        assume_role.role_arn: AssumeRole RoleArn = arn:aws:iam::123456789012:role/baker
        assume_role.session_name: AssumeRole RoleSessionName = nightly
        assume_role.external_id: AssumeRole ExternalId = handshake
        assume_role.duration_seconds: AssumeRole DurationSeconds = 900
        assume_role.policy: AssumeRole Policy = {\"Statement\": []}
        assume_role.policy_arns: AssumeRole PolicyArns.member.1.arn = arn:aws:iam::aws:policy/AmazonEC2FullAccess
        assume_role.tags: AssumeRole Tags.member.1.Value = images
        assume_role.transitive_tag_keys: AssumeRole TransitiveTagKeys.member.1 = Team
        mfa_code: AssumeRole TokenCode = 123456
        mfa_code: AssumeRole SerialNumber = arn:aws:iam::123456789012:mfa/phone";
    brief(options, shows).with(|action, _| match action {
        "ListMFADevices" => Fate::Answered(
            200,
            "<ListMFADevicesResponse><ListMFADevicesResult><IsTruncated>false</IsTruncated>\
             <MFADevices><member><UserName>me</UserName>\
             <SerialNumber>arn:aws:iam::123456789012:mfa/phone</SerialNumber>\
             <EnableDate>2026-01-01T00:00:00Z</EnableDate></member></MFADevices>\
             </ListMFADevicesResult></ListMFADevicesResponse>",
        ),
        _ => Fate::Passes,
    })
}

fn endpoint() -> Case {
    let options = json!({"skip_credential_validation": true});
    let case = brief(options, "custom_endpoint_ec2: DescribeImages");
    Case { custom_endpoint: true, ..case }
}

fn tries() -> Case {
    let case = brief(json!({"max_retries": 2}), "max_retries: DescribeRegions 2 times");
    case.with(|action, _| match action {
        "DescribeRegions" => Fate::Refused("RequestLimitExceeded"),
        _ => Fate::Passes,
    })
}

fn decoded() -> Case {
    let shows = "
        decode_authorization_messages: DecodeAuthorizationMessage EncodedMessage = c2VjcmV0
        decode_authorization_messages: fails: {\"allowed\":false}";
    case(json!({"decode_authorization_messages": true}), shows).with(|action, _| match action {
        "RunInstances" => Fate::Answered(
            403,
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You may not. \
             Encoded authorization failure message: c2VjcmV0</Message></Error></Errors></Response>",
        ),
        "DecodeAuthorizationMessage" => Fate::Answered(
            200,
            "<DecodeAuthorizationMessageResponse><DecodeAuthorizationMessageResult>\
             <DecodedMessage>{\"allowed\":false}</DecodedMessage>\
             </DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>",
        ),
        _ => Fate::Passes,
    })
}

fn patience() -> Case {
    let options = json!({"aws_polling": {"max_attempts": 1, "delay_seconds": 1}});
    let shows = "
        aws_polling.max_attempts: fails: nothing changed for 1 s
        aws_polling.delay_seconds: fails: nothing changed for 1 s";
    case(options, shows).with(|action, _| match action {
        "DescribeInstances" => Fate::Rewritten("<name>running</name>", "<name>pending</name>"),
        _ => Fate::Passes,
    })
}
