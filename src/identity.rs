//! Who a run is: the role that it takes on in AWS, and what proves that it may.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::secret::Secret;

/// A role that the run takes on before anything else, where the template names no credentials.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The name of the session: what stands in the account's logs.
    pub session_name: String,
    /// How long credentials last; as the role says if not given. They are renewed before they end.
    pub duration: Option<Duration>,
    /// What it is taken on with.
    pub proof: Proof,
}

/// What a role is taken on with.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The credentials that are found.
    Credentials,
    /// Tokens of an identity provider that the account trusts.
    Tokens(Arc<dyn IdentityTokens>),
}

/// An identity provider.
#[async_trait]
pub trait IdentityTokens: fmt::Debug + Send + Sync {
    /// A new token. It may be asked for at any time: one token does not last for a whole build.
    async fn token(&self) -> anyhow::Result<IdentityToken>;
}

/// What an identity provider says of us.
#[derive(Clone, Debug)]
pub struct IdentityToken {
    /// The token itself.
    pub token: Secret,
    /// What it says that roles may ask for, by name: `sub`, `aud`, `iss`.
    pub claims: Vec<(String, String)>,
}
