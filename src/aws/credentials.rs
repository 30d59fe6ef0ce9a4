//! Who signs the calls.

use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{Result, SharedCredentialsProvider};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::types::{self, PolicyDescriptorType, Tag};

use crate::aws::access::{Access, AssumeRole};
use crate::aws::call::Api;
use crate::env::Environment;
use crate::identity::Role;

/// The provider that `access` asks for; roles that a profile names are asked for in `region`. Keys
/// that are given leave nothing to look for: no file is read and no metadata service is probed.
pub(super) async fn provider(
    access: &Access,
    environment: &Environment,
    region: Option<Region>,
) -> SharedCredentialsProvider {
    if let Some(credentials) = given(access) {
        return SharedCredentialsProvider::new(credentials);
    }
    if names_files(access) {
        return SharedCredentialsProvider::new(of_profile(access, region));
    }
    if let Some(credentials) = of_environment(environment) {
        return SharedCredentialsProvider::new(credentials);
    }
    if access.skip_metadata_api_check {
        return SharedCredentialsProvider::new(without_instance_metadata(region));
    }
    let mut chain = DefaultCredentialsChain::builder();
    if let Some(region) = region {
        chain = chain.region(region);
    }
    SharedCredentialsProvider::new(chain.build().await)
}

/// Where [`provider`] looks, and what to do if nothing is there.
pub(super) fn places(access: &Access) -> (String, &'static str) {
    if names_files(access) {
        let profile = if access.profile.is_empty() { "default" } else { &access.profile };
        let place = format!("the profile `{profile}` of the shared config and credentials files");
        return (place, "look at `profile` and `shared_credentials_file` in the template");
    }
    let metadata = match access.skip_metadata_api_check {
        true => "",
        false => ", or instance metadata",
    };
    let places = format!(
        "the template, the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), the shared \
         config and credentials files, a web identity (AWS_WEB_IDENTITY_TOKEN_FILE), a \
         container's role{metadata}"
    );
    (
        places,
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, or have the job take on a role",
    )
}

/// Whether `access` itself says who signs.
pub(super) fn are_given(access: &Access) -> bool {
    !access.access_key.is_empty() || names_files(access)
}

fn names_files(access: &Access) -> bool {
    !access.profile.is_empty() || access.shared_credentials_file.is_some()
}

fn given(access: &Access) -> Option<Credentials> {
    let token = (!access.token.is_empty()).then(|| access.token.expose().to_owned());
    (!access.access_key.is_empty()).then(|| {
        let (key, secret) = (access.access_key.expose(), access.secret_key.expose());
        Credentials::new(key, secret, token, None, "template")
    })
}

fn of_environment(environment: &Environment) -> Option<Credentials> {
    let key = environment.get("AWS_ACCESS_KEY_ID")?;
    let secret = environment.get("AWS_SECRET_ACCESS_KEY")?;
    let token = environment.get("AWS_SESSION_TOKEN");
    Some(Credentials::new(key, secret, token.map(str::to_owned), None, "environment"))
}

fn of_profile(access: &Access, region: Option<Region>) -> ProfileFileCredentialsProvider {
    let config = ProviderConfig::default().with_region(region);
    let mut builder = ProfileFileCredentialsProvider::builder().configure(&config);
    if !access.profile.is_empty() {
        builder = builder.profile_name(&access.profile);
    }
    if let Some(file) = &access.shared_credentials_file {
        let files = EnvConfigFiles::builder()
            .include_default_config_file(true)
            .with_file(EnvConfigFileKind::Credentials, file);
        builder = builder.profile_files(files.build());
    }
    builder.build()
}

/// The usual places but the instance metadata service.
fn without_instance_metadata(region: Option<Region>) -> CredentialsProviderChain {
    let config = ProviderConfig::default().with_region(region);
    let container = EcsCredentialsProvider::builder().configure(&config).build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
    let profile = ProfileFileCredentialsProvider::builder().configure(&config).build();
    CredentialsProviderChain::first_try("profile", profile)
        .or_else("web identity", web_identity)
        .or_else("container", container)
}

impl From<&Role> for AssumeRole {
    fn from(role: &Role) -> Self {
        Self {
            role_arn: role.arn.clone(),
            session_name: Some(role.session_name.clone()),
            duration_seconds: role.duration.and_then(|length| length.as_secs().try_into().ok()),
            ..Self::default()
        }
    }
}

/// Takes on a role.
#[derive(Debug)]
pub(super) struct RoleProvider {
    sts: Api<aws_sdk_sts::Client>,
    role: AssumeRole,
}

impl RoleProvider {
    /// Takes on `role` through `sts`, which has the credentials to begin with.
    pub(super) fn new(sts: Api<aws_sdk_sts::Client>, role: AssumeRole) -> Self {
        Self { sts, role }
    }

    /// New credentials of the role.
    pub(super) async fn assume(&self) -> Result {
        let role = &self.role;
        let name = role.session_name.clone().unwrap_or_else(crate::aws::name::temporary);
        let policies =
            role.policy_arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
        let tags = role.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value));
        let tags = tags.map(|tag| tag.build().map_err(CredentialsError::invalid_configuration));
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let request = self
            .sts
            .assume_role()
            .role_arn(&role.role_arn)
            .role_session_name(name)
            .set_duration_seconds(role.duration_seconds)
            .set_external_id(role.external_id.clone())
            .set_policy(role.policy.clone())
            .set_policy_arns((!role.policy_arns.is_empty()).then(|| policies.collect()))
            .set_tags(Some(tags.collect::<std::result::Result<Vec<_>, _>>()?))
            .set_transitive_tag_keys(some(&role.transitive_tag_keys));
        let answer = self.sts.call("AssumeRole", |_| request.clone().send()).await;
        let answer = answer.map_err(CredentialsError::invalid_configuration)?;
        let granted = answer.credentials().map(of_session);
        granted.ok_or_else(|| CredentialsError::unhandled("AssumeRole answered no credentials"))
    }
}

/// The credentials of a session.
pub(super) fn of_session(granted: &types::Credentials) -> Credentials {
    let seconds = u64::try_from(granted.expiration().secs()).unwrap_or(0);
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let (key, secret) = (granted.access_key_id(), granted.secret_access_key());
    let token = Some(granted.session_token().to_owned());
    Credentials::new(key, secret, token, Some(until), "role")
}
