//! Keys of KMS that sign: nobody sees their private halves.

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::json::{JsonApi, JsonClient, Service};

const KMS: Service = Service { api: "kms", signed_as: "kms", target: "TrentService" };

/// What keys sign with, as KMS calls it; the first that a key knows is taken. Keys of the longer curves
/// know only theirs.
const ALGORITHMS: [(&str, &digest::Algorithm); 4] = [
    ("ECDSA_SHA_256", &SHA256),
    ("RSASSA_PKCS1_V1_5_SHA_256", &SHA256),
    ("ECDSA_SHA_384", &SHA384),
    ("ECDSA_SHA_512", &SHA512),
];

/// The longest name of a key.
const LONGEST: usize = 2048;

/// A key that signs.
#[derive(Debug)]
pub struct SigningKey {
    api: JsonApi,
    name: String,
    algorithm: (&'static str, &'static digest::Algorithm),
    public: Vec<u8>,
}

/// Where a key is: `awskms:///alias/release`, `awskms://HOST/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// The host of another KMS.
    host: Option<String>,
    /// The key's id, its `alias/…`, or its ARN.
    name: String,
}

impl KeyName {
    /// Reads `text`, which has its scheme.
    ///
    /// # Errors
    /// Says what it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (_, rest) = text.split_once("://").unwrap_or_default();
        let (host, name) = rest.split_once('/').unwrap_or_default();
        let is_known = |c: char| c.is_ascii_alphanumeric() || "/_-:".contains(c);
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        let is_name = (1..=LONGEST).contains(&name.len()) && name.chars().all(is_known);
        if !is_name || !host.chars().all(is_host) {
            return Err(format!(
                "{text:?} names no key: `awskms:///` comes before its id, its ARN or its `alias/…`"
            ));
        }
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Ok(Self { host, name: name.to_owned() })
    }

    /// The region of the key, if its ARN says it.
    pub fn region(&self) -> Option<&str> {
        let region = self.name.strip_prefix("arn:")?.split(':').nth(2);
        region.filter(|region| !region.is_empty())
    }

    /// The key as policies and calls name it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl SigningKey {
    /// The key `name` in `account`.
    ///
    /// # Errors
    /// When there is none, or one that does not sign.
    pub async fn open(
        account: &Account,
        key: &KeyName,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let KeyName { host, name } = key;
        let url = host.as_ref().map(|host| format!("https://{host}"));
        let api = JsonClient::of(account, &KMS, url, cancel)?;
        let known = api.ask("GetPublicKey", json!({ "KeyId": name })).await;
        let known = known.with_context(|| format!("the key {name} of KMS"))?;
        let knows = |algorithm: &str| {
            let all = known["SigningAlgorithms"].as_array();
            all.is_some_and(|all| all.iter().any(|one| one == algorithm))
        };
        let algorithm = ALGORITHMS.into_iter().find(|(algorithm, _)| knows(algorithm));
        let Some(algorithm) = algorithm else {
            bail!(
                "the key {name} of KMS signs nothing that others verify: it is {}",
                known["KeySpec"]
            );
        };
        let public = bytes(&known, "PublicKey").context("KMS tells no public key")?;
        Ok(Self { api, name: name.clone(), algorithm, public })
    }

    /// Its public half, as X.509 writes it.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The signature of `message`.
    ///
    /// # Errors
    /// When KMS does not sign.
    pub async fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (algorithm, hash) = self.algorithm;
        // A message may be larger than what KMS takes.
        let input = json!({
            "KeyId": self.name,
            "Message": STANDARD.encode(digest::digest(hash, message)),
            "MessageType": "DIGEST",
            "SigningAlgorithm": algorithm,
        });
        let signed = self.api.ask("Sign", input).await;
        let signed = signed.with_context(|| format!("the key {} of KMS", self.name))?;
        let signature = bytes(&signed, "Signature").context("KMS answers no signature")?;
        ensure!(!signature.is_empty(), "KMS answers an empty signature");
        Ok(signature)
    }
}

/// The bytes that `answer` has under `name`.
fn bytes(answer: &Json, name: &str) -> Option<Vec<u8>> {
    STANDARD.decode(answer[name].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_sigstore_names_them() {
        let parsed = |text: &str| KeyName::parse(text).map(|key| (key.host.clone(), key.name));
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(parsed(&format!("awskms:///{id}")), Ok((None, id.to_owned())));
        let local = (Some("localhost:4566".to_owned()), "alias/release".to_owned());
        assert_eq!(parsed("awskms://localhost:4566/alias/release"), Ok(local));
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234";
        let key = KeyName::parse(&format!("awskms:///{arn}")).unwrap();
        assert_eq!((key.region(), key.name()), (Some("eu-west-1"), arn));
        for wrong in
            ["awskms://", "awskms:///", "awskms://alias", "awskms:///a b", "awskms://a@b/c"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
