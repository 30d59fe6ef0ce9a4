//! Keys of services: how they are named, and those of AWS.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

#[cfg(feature = "aws")]
use crate::aws::access::Access;
#[cfg(feature = "aws")]
use crate::aws::account::{Account, Patience};
#[cfg(feature = "aws")]
pub use crate::aws::kms::{KeyName, SigningKey};
use crate::env::Environment;
use crate::secret::Redactor;

/// The service whose keys are known here.
const AWS: &str = "awskms";

/// Services whose keys Packer knows, but not imgbake.
const OTHERS: [&str; 3] = ["azurekms", "gcpkms", "hashivault"];

/// Why a key is not used.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// It is of a service that is not known here.
    #[error("keys of `{0}` are not built yet")]
    Service(String),
    /// Its name is wrong.
    #[error("{0}")]
    Name(String),
    /// Nothing here speaks with AWS.
    #[error("this imgbake was compiled without the feature `aws`")]
    Feature,
}

/// What stands before the `://` of `text`.
fn scheme(text: &str) -> &str {
    text.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Whether `text` names a key of a service, and no file.
pub fn is_name(text: &str) -> bool {
    scheme(text) == AWS || OTHERS.contains(&scheme(text))
}

/// The key that `text` names.
///
/// # Errors
/// When it names none that can be used.
pub fn parse(text: &str) -> Result<KeyName, NoKey> {
    let scheme = scheme(text);
    if OTHERS.contains(&scheme) {
        return Err(NoKey::Service(scheme.to_owned()));
    }
    #[cfg(not(feature = "aws"))]
    return Err(NoKey::Feature);
    #[cfg(feature = "aws")]
    match KeyName::parse(text).map_err(NoKey::Name)? {
        key if scheme == AWS => Ok(key),
        _ => Err(NoKey::Name("keys of AWS's KMS are named `awskms:///…`".to_owned())),
    }
}

/// The key `key`, as whoever runs this may use it.
///
/// # Errors
/// When there is none, or one that does not sign.
#[cfg(feature = "aws")]
pub async fn open(
    key: &KeyName,
    environment: &Arc<Environment>,
    redactor: &Redactor,
    cancel: &CancellationToken,
) -> anyhow::Result<SigningKey> {
    let region = key.region().unwrap_or_default().to_owned();
    let access = Access { region, ..Access::default() };
    let account = Account::open(&access, environment, redactor, Patience::Long).await?;
    SigningKey::open(&account, key, cancel).await
}

/// Without the feature `aws` no key has a name.
#[cfg(not(feature = "aws"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {}

/// Nor does one sign.
#[cfg(not(feature = "aws"))]
#[derive(Debug)]
pub enum SigningKey {}

#[cfg(not(feature = "aws"))]
impl SigningKey {
    /// Its public half.
    pub fn public(&self) -> &[u8] {
        match *self {}
    }

    /// The signature of `_message`.
    pub async fn sign(&self, _message: &[u8]) -> anyhow::Result<Vec<u8>> {
        match *self {}
    }
}

/// There is nothing to open.
#[cfg(not(feature = "aws"))]
pub async fn open(
    key: &KeyName,
    _environment: &Arc<Environment>,
    _redactor: &Redactor,
    _cancel: &CancellationToken,
) -> anyhow::Result<SigningKey> {
    match *key {}
}
