//! The clients of an account's APIs: one for each, and of EC2 one for each region. Each is made when it is
//! first needed, and kept: making one takes a while, for it reads the certificates of the system, and each
//! has connections of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio_util::sync::CancellationToken;

use crate::aws::call::{Api, CallContext, Ec2, Iam, RetryLimits, S3, Ssm};
use crate::aws::keys::Keys;
use crate::aws::pace::Pace;
use crate::env::Environment;

/// How the APIs of an account are called.
#[derive(Debug)]
pub(super) struct Calls {
    pub config: SdkConfig,
    pub keys: Keys,
    /// How often and how long a call is tried.
    pub patience: RetryLimits,
    /// Whether calls come as fast as they are made.
    pub is_unpaced: bool,
    pub region: String,
    /// Where EC2 is in the region, if that is said.
    pub endpoint: Option<String>,
    pub environment: Arc<Environment>,
}

/// The APIs of an account, as they are seen from one region.
#[derive(Debug)]
pub struct Clients {
    calls: Calls,
    /// How fast calls come, by API and region.
    paces: Mutex<HashMap<(&'static str, String), Arc<Pace>>>,
    made: Made,
}

/// The clients so far.
#[derive(Debug, Default)]
struct Made {
    auto_scaling: OnceLock<aws_sdk_autoscaling::Client>,
    /// By region.
    ec2: Mutex<HashMap<String, aws_sdk_ec2::Client>>,
    #[cfg(feature = "docker")]
    ecr: OnceLock<aws_sdk_ecr::Client>,
    iam: OnceLock<aws_sdk_iam::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
    secrets_manager: OnceLock<aws_sdk_secretsmanager::Client>,
    ssm: OnceLock<aws_sdk_ssm::Client>,
    sts: OnceLock<aws_sdk_sts::Client>,
}

/// The settings of a client of `$sdk`, at the endpoint that the environment has for `$api`.
macro_rules! settings {
    ($sdk:ident, $api:literal, $config:expr, $environment:expr) => {{
        let mut own = $sdk::config::Builder::from($config);
        if let Some(endpoint) = endpoint($environment, $api) {
            own.set_endpoint_url(Some(endpoint));
        }
        own
    }};
}

/// A client with these settings.
macro_rules! client {
    ($sdk:ident, $api:literal, $config:expr, $environment:expr) => {
        $sdk::Client::from_conf(settings!($sdk, $api, $config, $environment).build())
    };
}

impl Clients {
    /// None yet.
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls, paces: Mutex::default(), made: Made::default() }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.calls.region
    }

    /// What signs its calls now, for a program that makes some itself.
    pub async fn signing_keys(&self) -> anyhow::Result<Credentials> {
        let keys = self.calls.config.credentials_provider().context("there are no credentials")?;
        keys.provide_credentials().await.context("cannot find AWS credentials")
    }

    /// Auto Scaling in [`region`](Self::region).
    pub fn auto_scaling(&self, cancel: &CancellationToken) -> Api<aws_sdk_autoscaling::Client> {
        let make = || {
            client!(aws_sdk_autoscaling, "autoscaling", &self.calls.config, &self.calls.environment)
        };
        self.api("autoscaling", self.made.auto_scaling.get_or_init(make), cancel)
    }

    /// EC2 in [`region`](Self::region); `cancel` ends its looks and waits.
    pub fn ec2(&self, cancel: &CancellationToken) -> Ec2 {
        self.ec2_in(&self.calls.region, cancel)
    }

    /// EC2 in any region. `custom_endpoint_ec2` counts only for the account's own.
    pub fn ec2_in(&self, region: &str, cancel: &CancellationToken) -> Ec2 {
        let make = || ec2_client(&self.calls.config, self.ec2_endpoint(region), region);
        let mut known = self.made.ec2.lock().unwrap_or_else(PoisonError::into_inner);
        let client = known.entry(region.to_owned()).or_insert_with(make).clone();
        drop(known);
        Api::new(client, self.context("ec2", region, cancel))
    }

    /// The container registry in [`region`](Self::region).
    #[cfg(feature = "docker")]
    pub fn ecr(&self, cancel: &CancellationToken) -> Api<aws_sdk_ecr::Client> {
        let make = || client!(aws_sdk_ecr, "api.ecr", &self.calls.config, &self.calls.environment);
        self.api("api.ecr", self.made.ecr.get_or_init(make), cancel)
    }

    /// IAM, which is the same in all regions.
    pub fn iam(&self, cancel: &CancellationToken) -> Iam {
        let make = || iam_client(&self.calls.config, &self.calls.environment);
        self.api("iam", self.made.iam.get_or_init(make), cancel)
    }

    /// S3 in [`region`](Self::region).
    pub fn s3(&self, cancel: &CancellationToken) -> S3 {
        let make = || s3_client(&self.calls.config, &self.calls.environment);
        self.api("s3", self.made.s3.get_or_init(make), cancel)
    }

    /// Secrets Manager in [`region`](Self::region).
    pub fn secrets_manager(
        &self,
        cancel: &CancellationToken,
    ) -> Api<aws_sdk_secretsmanager::Client> {
        let (config, environment) = (&self.calls.config, &self.calls.environment);
        let make = || client!(aws_sdk_secretsmanager, "secretsmanager", config, environment);
        self.api("secretsmanager", self.made.secrets_manager.get_or_init(make), cancel)
    }

    /// Systems Manager in [`region`](Self::region).
    pub fn ssm(&self, cancel: &CancellationToken) -> Ssm {
        let make = || client!(aws_sdk_ssm, "ssm", &self.calls.config, &self.calls.environment);
        self.api("ssm", self.made.ssm.get_or_init(make), cancel)
    }

    pub(super) fn sts(&self, cancel: &CancellationToken) -> Api<aws_sdk_sts::Client> {
        let make = || sts_client(&self.calls.config, &self.calls.environment);
        self.api("sts", self.made.sts.get_or_init(make), cancel)
    }

    /// The keys that sign calls.
    pub(super) fn keys(&self) -> &Keys {
        &self.calls.keys
    }

    /// The URL of `api` in [`region`](Self::region).
    pub(super) fn url_of(&self, api: &str) -> String {
        let region = &self.calls.region;
        let usual = || format!("https://{api}.{region}.{}", suffix(region));
        self.endpoint_of(api, region).unwrap_or_else(usual)
    }

    /// `api` in [`region`](Self::region), through `client`.
    pub(super) fn api<C: Clone>(
        &self,
        api: &'static str,
        client: &C,
        cancel: &CancellationToken,
    ) -> Api<C> {
        Api::new(client.clone(), self.context(api, &self.calls.region, cancel))
    }

    /// How `api` is called in `region`.
    fn context(&self, api: &'static str, region: &str, cancel: &CancellationToken) -> CallContext {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(if self.calls.is_unpaced { Pace::off() } else { Pace::default() });
        let pace = paces.entry((api, region.to_owned())).or_insert_with(make).clone();
        CallContext {
            patience: self.calls.patience,
            host: host(api, region, self.endpoint_of(api, region)),
            environment: self.calls.environment.clone(),
            pace,
            expired: self.calls.keys.expired(),
            cancel: cancel.clone(),
        }
    }

    /// The URL of EC2 in `region`, if the template or the environment says it.
    fn ec2_endpoint(&self, region: &str) -> Option<String> {
        match region == self.calls.region {
            true => self.calls.endpoint.clone(),
            false => endpoint(&self.calls.environment, "ec2"),
        }
    }

    /// The URL that was given for `api` in `region`, if one was.
    pub(super) fn endpoint_of(&self, api: &str, region: &str) -> Option<String> {
        let given = match api {
            "ec2" => self.ec2_endpoint(region),
            _ => endpoint(&self.calls.environment, api),
        };
        given.or_else(|| self.calls.config.endpoint_url().map(str::to_owned))
    }

    /// Host and port of the EC2 API.
    pub(super) fn endpoint(&self) -> anyhow::Result<(String, u16)> {
        let suffix = suffix(&self.calls.region);
        let endpoint = match self.endpoint_of("ec2", &self.calls.region) {
            Some(endpoint) => endpoint,
            None => format!("https://ec2.{}.{suffix}", self.calls.region),
        };
        let url = url::Url::parse(&endpoint)
            .with_context(|| format!("the EC2 endpoint `{endpoint}` is no URL"))?;
        let host = url.host_str().with_context(|| format!("`{endpoint}` names no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok((host, url.port_or_known_default().unwrap_or(443)))
    }
}

/// How the names of AWS's hosts in `region` end.
fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Where `api` is in `region`: for messages.
pub(super) fn host(api: &str, region: &str, endpoint: Option<String>) -> Arc<str> {
    let given = endpoint.and_then(|endpoint| {
        let url = url::Url::parse(&endpoint).ok()?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", url.host_str()?))
    });
    let suffix = suffix(region);
    let own = || match api {
        "iam" => format!("iam.{suffix}"),
        _ => format!("{api}.{region}.{suffix}"),
    };
    given.unwrap_or_else(own).into()
}

/// The endpoint that the environment has for `api`, or for all. Where it has none, the SDK looks into
/// the profile, which may have one for the service, too.
pub(super) fn endpoint(environment: &Environment, api: &str) -> Option<String> {
    let of_service = match api {
        "api.ecr" => "AWS_ENDPOINT_URL_ECR",
        "api.ecr-public" => "AWS_ENDPOINT_URL_ECR_PUBLIC",
        "autoscaling" => "AWS_ENDPOINT_URL_AUTO_SCALING",
        "ec2" => "AWS_ENDPOINT_URL_EC2",
        "iam" => "AWS_ENDPOINT_URL_IAM",
        "kms" => "AWS_ENDPOINT_URL_KMS",
        "s3" => "AWS_ENDPOINT_URL_S3",
        "secretsmanager" => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "ssm" => "AWS_ENDPOINT_URL_SSM",
        _ => "AWS_ENDPOINT_URL_STS",
    };
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some("true") {
        return None;
    }
    let found = environment.get(of_service).or_else(|| environment.get("AWS_ENDPOINT_URL"));
    found.map(str::to_owned)
}

/// STS, with the credentials of `config`.
pub(super) fn sts_client(config: &SdkConfig, environment: &Environment) -> aws_sdk_sts::Client {
    client!(aws_sdk_sts, "sts", config, environment)
}

/// IAM, with the credentials of `config`.
pub(super) fn iam_client(config: &SdkConfig, environment: &Environment) -> aws_sdk_iam::Client {
    client!(aws_sdk_iam, "iam", config, environment)
}

/// What is uploaded may take its time, as long as something moves: the SDK sees to that.
fn s3_client(config: &SdkConfig, environment: &Environment) -> aws_sdk_s3::Client {
    let mut own = settings!(aws_sdk_s3, "s3", config, environment);
    // Another S3 need not have a name for each bucket.
    own.set_force_path_style(endpoint(environment, "s3").map(|_| true));
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(10)).build();
    own.set_timeout_config(Some(timeouts));
    aws_sdk_s3::Client::from_conf(own.build())
}

fn ec2_client(config: &SdkConfig, endpoint: Option<String>, region: &str) -> aws_sdk_ec2::Client {
    let mut own = aws_sdk_ec2::config::Builder::from(config);
    if let Some(endpoint) = endpoint {
        own.set_endpoint_url(Some(endpoint));
    }
    aws_sdk_ec2::Client::from_conf(own.region(Region::new(region.to_owned())).build())
}
