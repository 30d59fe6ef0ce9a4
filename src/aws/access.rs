//! The options that every Amazon component has: who calls, where, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::Check;
use crate::env::Environment;
use crate::secret::Secret;

/// Who calls the API, and where.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-not-built" = ["vault_aws_engine"]))]
pub struct Access {
    /// The access key. If it is not given, the usual places are looked at: environment, shared
    /// config and credentials files, web identity, container, instance metadata.
    pub access_key: Secret,
    /// The secret key that belongs to `access_key`.
    pub secret_key: Secret,
    /// The session token that belongs to temporary keys.
    pub token: Secret,
    /// The region, e.g. `us-east-1`; otherwise from the environment or the profile.
    pub region: String,
    /// A profile of the shared config and credentials files; it wins over keys in the environment.
    pub profile: String,
    /// The shared credentials file, if it is not `~/.aws/credentials`.
    pub shared_credentials_file: Option<PathBuf>,
    /// A role to take on with these credentials.
    pub assume_role: Option<AssumeRole>,
    /// The number that the MFA device of the user shows, to take on the role of `assume_role` with. It
    /// can be used once: for builds of more than an hour, give `duration_seconds`, too.
    pub mfa_code: Secret,
    /// The address of another EC2 API. It is for `region` only; `AWS_ENDPOINT_URL` is for all.
    pub custom_endpoint_ec2: String,
    /// Whether any certificate will do, even one that nobody vouches for.
    pub insecure_skip_tls_verify: bool,
    /// Whether STS is asked what it means when a call is not allowed. It needs a permission of its
    /// own: `sts:DecodeAuthorizationMessage`.
    pub decode_authorization_messages: bool,
    /// How many times a call is tried when it is throttled or the network fails; 10 if 0.
    pub max_retries: u32,
    /// Whether to begin without asking STS who the credentials belong to. Whose account it is, EC2
    /// is asked all the same: whoever cleans up has to know.
    pub skip_credential_validation: bool,
    /// Whether to leave out instance metadata when looking for credentials.
    pub skip_metadata_api_check: bool,
    /// How patiently to wait.
    pub aws_polling: Polling,
}

/// A role to take on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AssumeRole {
    /// The role's ARN; without it, the block means nothing.
    pub role_arn: String,
    /// How long the credentials last, in seconds.
    pub duration_seconds: Option<i32>,
    /// What the role's owner wants to hear.
    pub external_id: Option<String>,
    /// A session policy as JSON.
    pub policy: Option<String>,
    /// Managed policies to use as session policies.
    pub policy_arns: Vec<String>,
    /// The session's name.
    pub session_name: Option<String>,
    /// Session tags.
    pub tags: indexmap::IndexMap<String, String>,
    /// Which session tags pass on to roles taken on from this one.
    pub transitive_tag_keys: Vec<String>,
}

/// How patiently to wait. When to look is worked out from what is seen; these two only say, as
/// their product, for how long nothing may change.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Polling {
    /// How many looks of `delay_seconds` to have patience for.
    pub max_attempts: u32,
    /// Seconds; 2 if only `max_attempts` is given.
    pub delay_seconds: u32,
}

impl Polling {
    /// How long nothing may change: as given here, else by `AWS_MAX_ATTEMPTS` and
    /// `AWS_POLL_DELAY_SECONDS`, else `default`. The first alone is how often all tools of AWS try a
    /// call: it makes nobody less patient.
    pub fn patience(&self, environment: &Environment, default: Duration) -> Duration {
        let given = |own: u32, name: &str| match own {
            0 => environment.get(name).and_then(|text| text.parse().ok()).filter(|&n| n > 0),
            own => Some(own),
        };
        let attempts = given(self.max_attempts, "AWS_MAX_ATTEMPTS");
        let delay = given(self.delay_seconds, "AWS_POLL_DELAY_SECONDS");
        let seconds = |n: u32| Duration::from_secs(n.into());
        match (attempts, delay) {
            (Some(attempts), Some(delay)) => seconds(delay) * attempts,
            (Some(attempts), None) if self.max_attempts > 0 => seconds(2) * attempts,
            (Some(attempts), None) => default.max(seconds(2) * attempts),
            (None, _) => default,
        }
    }
}

impl Access {
    /// The region that the template or the environment says; a profile may still know another.
    pub fn region_given(&self, environment: &Environment) -> Option<String> {
        let given = Some(self.region.as_str()).filter(|region| !region.is_empty());
        let given = given
            .or_else(|| environment.get("AWS_REGION"))
            .or_else(|| environment.get("AWS_DEFAULT_REGION"));
        given.map(str::to_owned)
    }

    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        if let Some(file) = &self.shared_credentials_file {
            check.may_read("shared_credentials_file", file);
        }
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            let (given, missing) = match self.secret_key.is_empty() {
                true => ("access_key", "secret_key"),
                false => ("secret_key", "access_key"),
            };
            check.missing(missing, format!("give it beside `{given}`, or leave both away"));
        }
        if self.assume_role.as_ref().is_some_and(|role| role.role_arn.is_empty()) {
            check.missing("assume_role.role_arn", "say which role to take on");
        }
        if !self.mfa_code.is_empty() && self.assume_role.is_none() {
            check.missing("assume_role", "`mfa_code` is for taking on a role: say which");
        }
        if !self.custom_endpoint_ec2.is_empty()
            && let Err(error) = url::Url::parse(&self.custom_endpoint_ec2)
        {
            let cause = format!("this is no URL such as `https://ec2.example.com`: {error}");
            check.error("custom_endpoint_ec2", cause);
        }
    }
}

/// Whether `name` can be that of a region. It becomes a part of a host's name, and may come from a
/// parameter or a file that anybody wrote.
pub fn is_region(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&name.len()) && name.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn patience_is_the_product_of_what_is_given() {
        let vars = BTreeMap::from([("AWS_MAX_ATTEMPTS".to_owned(), "5".to_owned())]);
        let given = Environment::new(vars, "/".into(), Timestamp::UNIX_EPOCH);
        let nothing = Environment::new(BTreeMap::new(), "/".into(), Timestamp::UNIX_EPOCH);
        let polling = Polling { max_attempts: 60, delay_seconds: 30 };
        let default = Duration::from_secs(600);
        assert_eq!(polling.patience(&given, default).as_secs(), 1800);
        assert_eq!(Polling::default().patience(&given, default), default, "5 tries of a call");
        assert_eq!(Polling::default().patience(&nothing, default), default);
    }
}
