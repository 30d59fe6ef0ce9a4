//! Who signs the calls.

use std::sync::atomic::{AtomicBool, Ordering};
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
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::aws::access::{Access, AssumeRole};
use crate::aws::call::{Api, Iam};
use crate::env::Environment;
use crate::github;
use crate::identity::Role;
use crate::secret::Secret;

/// The provider that `access` asks for; roles that a profile names are asked for in `region`, through
/// the client `http`. Keys that are given leave nothing to look for: no file is read and no metadata
/// service is probed.
pub(super) async fn provider(
    access: &Access,
    environment: &Environment,
    region: Option<Region>,
    http: Option<SharedHttpClient>,
) -> SharedCredentialsProvider {
    if let Some(credentials) = given(access) {
        return SharedCredentialsProvider::new(credentials);
    }
    let mut config = ProviderConfig::default().with_region(region.clone());
    if let Some(http) = http {
        config = config.with_http_client(http);
    }
    if names_files(access) {
        return SharedCredentialsProvider::new(of_profile(access, &config));
    }
    if let Some(credentials) = of_environment(environment) {
        return SharedCredentialsProvider::new(credentials);
    }
    if access.skip_metadata_api_check {
        return SharedCredentialsProvider::new(without_instance_metadata(&config));
    }
    let mut chain = DefaultCredentialsChain::builder().configure(config);
    if let Some(region) = region {
        chain = chain.region(region);
    }
    SharedCredentialsProvider::new(chain.build().await)
}

/// Where [`provider`] looks, and what to do if nothing is there.
pub(super) fn places(access: &Access, environment: &Environment) -> (String, &'static str) {
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
    let advice = match github::is_workflow(environment) {
        true => "give the step `role-to-assume`, and the job `permissions:` with `id-token: write`",
        false => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, or have the job take on a role"
        }
    };
    (places, advice)
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

fn of_profile(access: &Access, config: &ProviderConfig) -> ProfileFileCredentialsProvider {
    let mut builder = ProfileFileCredentialsProvider::builder().configure(config);
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
fn without_instance_metadata(config: &ProviderConfig) -> CredentialsProviderChain {
    let container = EcsCredentialsProvider::builder().configure(config).build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(config).build();
    let profile = ProfileFileCredentialsProvider::builder().configure(config).build();
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
    mfa: Option<Mfa>,
}

impl RoleProvider {
    /// Takes on `role` through `sts`, which has the credentials to begin with.
    pub(super) fn new(sts: Api<aws_sdk_sts::Client>, role: AssumeRole, mfa: Option<Mfa>) -> Self {
        Self { sts, role, mfa }
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
        let mut request = self
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
        if let Some(mfa) = &self.mfa {
            let (device, code) = mfa.prove(&self.sts).await?;
            request = request.serial_number(device).token_code(code);
        }
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

/// A number that a user's MFA device shows.
#[derive(Debug)]
pub(super) struct Mfa {
    code: Secret,
    was_used: AtomicBool,
    iam: Iam,
}

impl Mfa {
    /// `code` of a device of the user that `iam` is called as.
    pub(super) fn new(code: Secret, iam: Iam) -> Self {
        Self { code, was_used: AtomicBool::new(false), iam }
    }

    /// The device and what it shows.
    async fn prove(
        &self,
        sts: &Api<aws_sdk_sts::Client>,
    ) -> std::result::Result<(String, &str), CredentialsError> {
        if self.was_used.swap(true, Ordering::Relaxed) {
            return Err(CredentialsError::not_loaded(
                "the role's credentials have run out, and an `mfa_code` can be used only once: \
                 give a longer `duration_seconds` in `assume_role`",
            ));
        }
        let device =
            match self.iam.call("ListMFADevices", |iam| iam.list_mfa_devices().send()).await {
                Ok(found) => {
                    found.mfa_devices().first().map(|device| device.serial_number().to_owned())
                }
                // Who may not ask for it has most likely the one that is called as the user.
                Err(_) => namesake(sts).await?,
            };
        let device = device.ok_or_else(|| {
            CredentialsError::not_loaded("`mfa_code` is given, but the user has no MFA device")
        })?;
        Ok((device, self.code.expose()))
    }
}

/// The MFA device that has the name of its user.
async fn namesake(
    sts: &Api<aws_sdk_sts::Client>,
) -> std::result::Result<Option<String>, CredentialsError> {
    let caller = sts.call("GetCallerIdentity", |sts| sts.get_caller_identity().send()).await;
    let caller = caller.map_err(CredentialsError::invalid_configuration)?;
    let user = caller.arn().and_then(|arn| arn.split_once(":user/"));
    Ok(user.map(|(account, path)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        format!("{account}:mfa/{name}")
    }))
}
