//! One account, seen from one region. The builds of a run that call with the same access share it: one
//! connection pool, one credentials cache, one look at who and where we are.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_config::identity::IdentityCache;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{AppName, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::aws::access::{Access, AssumeRole};
use crate::aws::call::{Api, CallContext, Iam, RetryLimits};
use crate::aws::clients::{Calls, Clients, endpoint, host, iam_client, sts_client};
use crate::aws::credentials::{self, Mfa, RoleProvider};
use crate::aws::error::{ApiError, Meaning};
use crate::aws::insecure;
use crate::aws::keys::Keys;
use crate::aws::place::Place;
use crate::aws::wait::Memory;
use crate::aws::web_identity::WebIdentity;
use crate::diagnostic::did_you_mean;
use crate::env::Environment;
use crate::identity::{Proof, Role};
use crate::secret::{Redactor, Secret};

/// An account as it is seen from one region: its APIs, and what is known of it.
#[derive(Debug)]
pub struct Account {
    clients: Clients,
    regions: OnceCell<Vec<String>>,
    caller: OnceCell<Option<String>>,
    /// How long waits took here.
    pub memory: Memory,
}

impl std::ops::Deref for Account {
    type Target = Clients;
    fn deref(&self) -> &Clients {
        &self.clients
    }
}

/// How much depends on an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Something exists, or is about to be made: a network that fails for a while passes.
    Long,
    /// Nothing is made: people want to hear at once that there is no network.
    Short,
}

impl Patience {
    /// How long calls are tried: `tries` times, but as long only as it makes sense.
    fn limits(self, tries: usize) -> RetryLimits {
        let secs = Duration::from_secs;
        let (unreachable, unsure) = match self {
            Self::Long => (secs(60), secs(180)),
            Self::Short => (Duration::from_millis(1500), secs(10)),
        };
        RetryLimits { tries, unreachable, unsure }
    }

    fn timeouts(self) -> TimeoutConfig {
        let (connect, attempt) = match self {
            Self::Long => (10, 60),
            Self::Short => (2, 10),
        };
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(connect))
            .operation_attempt_timeout(Duration::from_secs(attempt))
            .build()
    }
}

/// What makes two accesses the same: the run, and all that is asked for.
type Key = (String, Access, Patience);

/// Where an account is put as soon as its first build has opened it.
type Slot = Arc<OnceCell<Arc<Account>>>;
type WeakSlot = Weak<OnceCell<Arc<Account>>>;

/// The accounts that builds hold now.
static OPEN: LazyLock<Mutex<Vec<(Key, WeakSlot)>>> = LazyLock::new(Mutex::default);

impl Account {
    /// The account that `access` leads to; the same for all builds of a run while one holds it.
    ///
    /// # Errors
    /// When no region can be found.
    pub async fn open(
        access: &Access,
        environment: &Arc<Environment>,
        redactor: &Redactor,
        patience: Patience,
    ) -> anyhow::Result<Handle> {
        let slot = slot((environment.run_uuid.clone(), access.clone(), patience));
        let make =
            || async { Self::make(access, environment, redactor, patience).await.map(Arc::new) };
        let account = slot.get_or_try_init(make).await?.clone();
        Ok(Handle { account, _slot: slot })
    }

    async fn make(
        access: &Access,
        environment: &Arc<Environment>,
        redactor: &Redactor,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let http = access.insecure_skip_tls_verify.then(insecure::client).transpose();
        let http = http.context("no client for HTTPS can be made")?;
        let region = region(access, environment).await;
        let mut keys = Keys::of(access, environment, region.clone(), http.clone(), redactor);
        let mut config = sdk_config(access, region, &keys, http, patience).await;
        let region = config.region().map(|region| region.as_ref().to_owned()).context(
            "no AWS region: give `region` in the template, or set AWS_REGION or a profile's region",
        )?;
        let (patience, is_unpaced) =
            (patience.limits(tries(access, environment)?), is_unpaced(environment)?);
        let told = environment.role.as_ref().filter(|_| !credentials::are_given(access));
        let roles = told.into_iter().map(RoleToTakeOn::Told);
        let named = access.assume_role.iter();
        let named = named.map(|role| RoleToTakeOn::Named(role, &access.mfa_code));
        for role in roles.chain(named) {
            let (pace, cancel) = Default::default();
            let host = host("sts", &region, endpoint(environment, "sts"));
            let (hearer, expired) = (environment.clone(), keys.expired());
            let context =
                CallContext { patience, host, environment: hearer, pace, expired, cancel };
            let sts = Api::new(sts_client(&config, environment), context.clone());
            let iam = Api::new(iam_client(&config, environment), context);
            keys = role.keys(sts, iam, redactor);
            config = config.into_builder().credentials_provider(shared(&keys)).build();
        }
        let endpoint = match access.custom_endpoint_ec2.as_str() {
            "" => endpoint(environment, "ec2"),
            custom => Some(custom.to_owned()),
        };
        let environment = environment.clone();
        let calls = Calls { config, keys, patience, is_unpaced, region, endpoint, environment };
        let (regions, caller, memory) = Default::default();
        Ok(Self { clients: Clients::new(calls), regions, caller, memory })
    }

    /// Where things in `region` are, as the journal says it.
    pub fn place(&self, region: &str) -> Place {
        Place {
            account: self.caller.get().cloned().flatten(),
            region: region.to_owned(),
            endpoint: self.endpoint_of("ec2", region).map(|url| without_credentials(&url)),
        }
    }

    /// Refuses credentials that STS does not know; asked once for all builds.
    pub async fn check_credentials(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        match self.caller.get_or_try_init(|| self.ask_sts(cancel)).await {
            Ok(_) => Ok(()),
            // STS has an answer, and it is no.
            Err(error) if error.code.is_some() && error.is_refusal() => {
                Err(error).context("the AWS credentials do not work")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Learns whose account this is, where nobody is to ask STS: as EC2 says it of any group. STS is
    /// asked only if EC2 does not say it. Without that, nobody could tell later whether what a build
    /// made is gone, or only in another account.
    pub async fn learn_owner(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let ask = || async {
            let ec2 = self.ec2(cancel);
            let request = ec2.describe_security_groups().max_results(5);
            let found = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await;
            let groups = found.map(|found| found.security_groups.unwrap_or_default());
            match groups.as_deref().map(|groups| groups.first().and_then(|one| one.owner_id())) {
                Ok(Some(owner)) => Ok(Some(owner.to_owned())),
                Ok(None) => self.ask_sts(cancel).await,
                Err(error) if error.meaning == Meaning::Denied => self.ask_sts(cancel).await,
                Err(error) => Err(error.clone()),
            }
        };
        let learnt = self.caller.get_or_try_init(ask).await;
        learnt.context("it cannot be learnt whose account this is")?;
        Ok(())
    }

    /// Whose credentials these are.
    async fn ask_sts(&self, cancel: &CancellationToken) -> Result<Option<String>, ApiError> {
        let sts = self.sts(cancel);
        let caller = sts.call("GetCallerIdentity", |sts| sts.get_caller_identity().send());
        let caller = caller.await?;
        tracing::info!(arn = caller.arn(), region = self.region(), "credentials are valid");
        Ok(caller.account)
    }

    /// `error` with what AWS has encoded in it, why a call is not allowed, in words. That is asked for
    /// only where the template wants it: it takes a permission.
    pub async fn decoded(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(encoded) = error.downcast_ref().and_then(ApiError::encoded) else { return error };
        let sts = self.sts(&CancellationToken::new());
        let request = sts.decode_authorization_message().encoded_message(encoded);
        match sts.call("DecodeAuthorizationMessage", |_| request.clone().send()).await {
            Ok(answer) => {
                let decoded = answer.decoded_message().unwrap_or_default();
                anyhow::anyhow!(format!("{error:#}").replace(encoded, decoded))
            }
            Err(why) => error.context(format!("what it says encoded cannot be read: {why}")),
        }
    }

    /// Refuses `regions` that the account does not have; asked once for all builds.
    pub async fn check_regions(
        &self,
        regions: &[&str],
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        let ask = || async {
            let ec2 = self.ec2(cancel);
            let answer = ec2.call("DescribeRegions", |ec2| ec2.describe_regions().send()).await?;
            let names = answer.regions().iter().filter_map(|region| region.region_name());
            anyhow::Ok(names.map(str::to_owned).collect())
        };
        let known = self.regions.get_or_try_init(ask).await?;
        for &region in regions {
            if !known.iter().any(|known| known == region) {
                let near = did_you_mean(region, known.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                bail!("the account has no region `{region}`{hint} (see `skip_region_validation`)");
            }
        }
        Ok(())
    }
}

/// A role that is taken on with the keys before it.
enum RoleToTakeOn<'a> {
    /// The run was told to.
    Told(&'a Role),
    /// The template names it, and may give what the user's MFA device shows.
    Named(&'a AssumeRole, &'a Secret),
}

impl RoleToTakeOn<'_> {
    /// Its keys, which are asked for through `sts`; `iam` knows the devices of the user.
    fn keys(self, sts: Api<aws_sdk_sts::Client>, iam: Iam, redactor: &Redactor) -> Keys {
        let (role, mfa): (AssumeRole, _) = match self {
            Self::Named(role, code) if code.is_empty() => (role.clone(), None),
            Self::Named(role, code) => (role.clone(), Some(Mfa::new(code.clone(), iam))),
            Self::Told(role) => match &role.proof {
                Proof::Credentials => (role.into(), None),
                Proof::Tokens(tokens) => {
                    let role = WebIdentity::new(sts, role.clone(), tokens.clone());
                    return Keys::of_web_identity(role, redactor);
                }
            },
        };
        Keys::of_role(RoleProvider::new(sts, role, mfa), redactor)
    }
}

/// An open [`Account`]. When the last handle is gone, so are the account's clients.
#[derive(Clone, Debug)]
pub struct Handle {
    account: Arc<Account>,
    _slot: Slot,
}

impl std::ops::Deref for Handle {
    type Target = Account;
    fn deref(&self) -> &Account {
        &self.account
    }
}

fn slot(key: Key) -> Slot {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, slot)| slot.strong_count() > 0);
    let found = open.iter().find(|(known, _)| *known == key).and_then(|(_, slot)| slot.upgrade());
    found.unwrap_or_else(|| {
        let slot = Arc::default();
        open.push((key, Arc::downgrade(&slot)));
        slot
    })
}

/// The region that the template, the environment or the profile says.
async fn region(access: &Access, environment: &Environment) -> Option<Region> {
    if let Some(given) = access.region_given(environment) {
        return Some(Region::new(given));
    }
    let mut files = ProfileFileRegionProvider::builder();
    if !access.profile.is_empty() {
        files = files.profile_name(&access.profile);
    }
    files.build().region().await
}

async fn sdk_config(
    access: &Access,
    region: Option<Region>,
    keys: &Keys,
    http: Option<SharedHttpClient>,
    patience: Patience,
) -> SdkConfig {
    let mut loader = aws_config::from_env()
        .credentials_provider(shared(keys))
        .identity_cache(IdentityCache::no_cache())
        // See `aws/call.rs`.
        .retry_config(RetryConfig::disabled())
        .timeout_config(patience.timeouts());
    if let Some(http) = http {
        // It sends what it is given at once, and the SDK sees nothing of that.
        let unwatched = StalledStreamProtectionConfig::disabled();
        loader = loader.http_client(http).stalled_stream_protection(unwatched);
    }
    if let Ok(name) = AppName::new(concat!("imgbake-", env!("CARGO_PKG_VERSION"))) {
        loader = loader.app_name(name);
    }
    if !access.profile.is_empty() {
        loader = loader.profile_name(&access.profile);
    }
    if let Some(region) = region {
        loader = loader.region(region);
    } else if access.skip_metadata_api_check || !access.access_key.is_empty() {
        // The last resort of the SDK is the metadata service: seconds, where there is none.
        loader = loader.region(None::<Region>);
    }
    loader.load().await
}

/// How often a call is tried: as the template says, else the environment, as for AWS's own tools.
fn tries(access: &Access, environment: &Environment) -> anyhow::Result<usize> {
    if access.max_retries > 0 {
        return Ok(access.max_retries as usize);
    }
    let Some(given) = environment.get("AWS_MAX_ATTEMPTS") else { return Ok(10) };
    let tries = given.parse().ok().filter(|&tries: &usize| tries > 0);
    tries.with_context(|| format!("AWS_MAX_ATTEMPTS is `{given}`: give a number from 1"))
}

/// Whether calls are not slowed down when the API throttles them: `AWS_RETRY_MODE` says so. They are
/// made again later all the same.
fn is_unpaced(environment: &Environment) -> anyhow::Result<bool> {
    match environment.get("AWS_RETRY_MODE").unwrap_or("adaptive") {
        "adaptive" => Ok(false),
        "standard" | "legacy" => Ok(true),
        other => bail!("AWS_RETRY_MODE is `{other}`: give `standard` or `adaptive`"),
    }
}

fn shared(keys: &Keys) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(keys.clone())
}

/// `url` without the name and password that it may have in it.
fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return url.to_owned();
    }
    // Only a URL that cannot have any refuses to have none.
    let _ = (parsed.set_username(""), parsed.set_password(None));
    parsed.into()
}
