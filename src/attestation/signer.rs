//! What signs a statement.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value as Json;

use super::envelope::{Envelope, Signature};
use super::kms::SigningKey;
use super::private_key::PrivateKey;
use super::public_key::PublicKey;

/// Signs with a private key.
pub struct Signer {
    key: Key,
    /// What its public key is called.
    id: String,
    /// The public key that must accept what is signed.
    verifier: PublicKey,
}

enum Key {
    File(Box<PrivateKey>),
    Kms(Box<SigningKey>),
}

impl Signer {
    /// One with the private key in the file `private`, whose signatures the key in the file `verifier`
    /// must accept; without that, its own public key.
    ///
    /// # Errors
    /// When a file has no such key.
    pub fn read(private: &Path, verifier: Option<&Path>) -> anyhow::Result<Self> {
        let key = PrivateKey::read(private).with_context(|| about(private))?;
        let public = PublicKey::of_der(key.public()?);
        Self::of(Key::File(Box::new(key)), public, verifier)
    }

    /// The same with a private key that a service has.
    ///
    /// # Errors
    /// When the file has no public key.
    pub fn of_kms(key: SigningKey, verifier: Option<&Path>) -> anyhow::Result<Self> {
        let public = PublicKey::of_kms(&key);
        Self::of(Key::Kms(Box::new(key)), public, verifier)
    }

    fn of(key: Key, public: PublicKey, verifier: Option<&Path>) -> anyhow::Result<Self> {
        let id = public.id();
        let verifier = match verifier {
            Some(path) => PublicKey::read(path).with_context(|| about(path))?,
            None => public,
        };
        Ok(Self { key, id, verifier })
    }

    /// `statement` in its envelope, signed; the verifier has accepted it.
    ///
    /// # Errors
    /// When the key does not sign, or the verifier does not accept it.
    pub async fn seal(&self, statement: &Json) -> anyhow::Result<Envelope> {
        let mut envelope = Envelope::of(statement);
        let message = envelope.signed();
        let signature = match &self.key {
            Key::File(key) => key.sign(&message)?,
            Key::Kms(key) => key.sign(&message).await?,
        };
        ensure!(
            self.verifier.accepts(&message, &signature),
            "`verifier` does not accept the signature: it is not the public key of `signer`"
        );
        let id = self.id.clone();
        envelope.signatures.push(Signature { id, signature, certificate: None });
        Ok(envelope)
    }
}

/// What an error is about.
fn about(path: &Path) -> String {
    format!("the key in {}", path.display())
}
