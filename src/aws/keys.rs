//! The keys that sign calls: found once, kept as long as they are good, and found anew when they
//! have run out, be it in the middle of a build.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::Mutex;

use crate::aws::access::Access;
use crate::aws::credentials::{self, RoleProvider};
use crate::aws::expired::Expired;
use crate::aws::web_identity::WebIdentity;
use crate::env::Environment;
use crate::secret::Redactor;

/// The keys of an account. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    redactor: Redactor,
    /// The keys, and when they were found.
    found: Mutex<Option<(Credentials, Instant)>>,
    /// Whether AWS says that they have run out.
    expired: Expired,
}

#[derive(Debug)]
enum Source {
    /// The usual places, or those that the template names.
    Places {
        access: Box<Access>,
        environment: Arc<Environment>,
        region: Option<Region>,
        http: Option<SharedHttpClient>,
    },
    /// A role that the template names, or the run was told.
    Role(Box<RoleProvider>),
    /// A role for tokens of an identity provider.
    WebIdentity(Box<WebIdentity>),
}

/// How long before their end keys are not used any more.
const MARGIN: Duration = Duration::from_secs(30);
/// Keys that were found this short a time ago are not what AWS refused: the calls were on the way.
const NEW: Duration = Duration::from_secs(1);

impl Keys {
    /// The keys that `access` says or leads to; roles that a profile names are asked for in
    /// `region`, through the client `http`.
    pub fn of(
        access: &Access,
        environment: &Arc<Environment>,
        region: Option<Region>,
        http: Option<SharedHttpClient>,
        redactor: &Redactor,
    ) -> Self {
        let (access, environment) = (Box::new(access.clone()), environment.clone());
        Self::from(Source::Places { access, environment, region, http }, redactor)
    }

    /// The keys of a role.
    pub fn of_role(role: RoleProvider, redactor: &Redactor) -> Self {
        Self::from(Source::Role(Box::new(role)), redactor)
    }

    /// The keys of a role for tokens.
    pub fn of_web_identity(role: WebIdentity, redactor: &Redactor) -> Self {
        Self::from(Source::WebIdentity(Box::new(role)), redactor)
    }

    fn from(source: Source, redactor: &Redactor) -> Self {
        let (found, expired) = Default::default();
        Self(Arc::new(Shared { source, redactor: redactor.clone(), found, expired }))
    }

    /// Whoever makes calls says here that the keys have run out.
    pub fn expired(&self) -> Expired {
        self.0.expired.clone()
    }

    async fn provide(&self) -> Result {
        let mut found = self.0.found.lock().await;
        let ran_out = self.0.expired.take();
        if let Some((keys, since)) = &*found
            && is_good(keys, margin(keys, *since))
            && (!ran_out || since.elapsed() < NEW)
        {
            return Ok(keys.clone());
        }
        if found.is_some() {
            tracing::info!("the AWS credentials have run out: looking for new ones");
        }
        match (self.find().await, &*found) {
            (Ok(keys), _) => {
                *found = Some((keys.clone(), Instant::now()));
                Ok(keys)
            }
            // Seconds are left to try again.
            (Err(error), Some((keys, _))) if !ran_out && is_good(keys, Duration::ZERO) => {
                tracing::warn!(%error, "no new AWS credentials were found");
                Ok(keys.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn find(&self) -> Result {
        let keys = match &self.0.source {
            Source::Role(role) => role.assume().await?,
            Source::WebIdentity(role) => {
                role.assume().await.map_err(CredentialsError::provider_error)?
            }
            Source::Places { access, environment, region, http } => {
                let (region, http) = (region.clone(), http.clone());
                let provider = credentials::provider(access, environment, region, http).await;
                let found = provider.provide_credentials().await;
                found.map_err(|error| explained(error, access, environment))?
            }
        };
        for secret in [Some(keys.secret_access_key()), keys.session_token()].into_iter().flatten() {
            self.0.redactor.register(secret);
        }
        Ok(keys)
    }
}

/// How long before their end keys that were found at `since` are not used any more: a quarter of
/// their time if that is less, for keys that last only seconds are good, too.
fn margin(keys: &Credentials, since: Instant) -> Duration {
    let end = keys.expiry().and_then(|end| end.duration_since(SystemTime::now()).ok());
    MARGIN.min((end.unwrap_or_default() + since.elapsed()) / 4)
}

fn is_good(keys: &Credentials, margin: Duration) -> bool {
    keys.expiry().is_none_or(|end| end > SystemTime::now() + margin)
}

/// An error that says where keys were looked for, and what to do.
fn explained(
    error: CredentialsError,
    access: &Access,
    environment: &Environment,
) -> CredentialsError {
    if !matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return error;
    }
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let (places, advice) = credentials::places(access, environment);
    CredentialsError::not_loaded(format!(
        "no AWS credentials were found in {places}{cause}; {advice}"
    ))
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
