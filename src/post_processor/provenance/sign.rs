//! Signatures, and the envelope (DSSE) that a signed statement comes in.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::pkcs8::EncodePublicKey as _;
use rustls::pki_types::pem::{self, SectionKind};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

#[cfg(feature = "aws")]
use crate::aws::kms::SigningKey;
use crate::peer;

/// What a statement is, for who opens the envelope.
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The largest file of a key.
const LARGEST: u64 = 1 << 20;

/// The longest line in PEM.
const LINE: usize = 64;

/// The kinds of public keys. Each accepts only signatures of its own kind.
const ALGORITHMS: [&dyn VerificationAlgorithm; 7] = [
    &ED25519,
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    // KMS signs with the longer curves so.
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// `statement` as it is written: by itself, or signed in its envelope.
pub(super) async fn sealed(statement: &Json, signer: Option<&Signer>) -> anyhow::Result<String> {
    let Some(signer) = signer else { return Ok(serde_json::to_string_pretty(statement)?) };
    let payload = statement.to_string();
    let signature = signer.sign(&encoded(payload.as_bytes())).await?;
    let envelope = json!({
        "payloadType": PAYLOAD,
        "payload": STANDARD.encode(payload),
        "signatures": [{ "keyid": signer.id, "sig": STANDARD.encode(signature) }],
    });
    Ok(serde_json::to_string_pretty(&envelope)?)
}

/// What is signed for `payload`: with its type, so that it stands for nothing else.
fn encoded(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Signs with a private key.
pub(super) struct Signer {
    key: Key,
    /// The digest of the public key.
    id: String,
    /// The public key that must accept what is signed.
    verifier: Vec<u8>,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    /// The library of the others signs with such keys over SHA-384 only.
    P384(p384::ecdsa::SigningKey),
    Rsa(RsaKeyPair),
    #[cfg(feature = "aws")]
    Kms(SigningKey),
}

impl Signer {
    /// One with the private key in the file `private`, whose signatures the key in the file `verifier`
    /// must accept; without that, its own public key.
    pub(super) fn read(private: &Path, verifier: Option<&Path>) -> anyhow::Result<Self> {
        Self::of(Key::read(private).with_context(|| about(private))?, verifier)
    }

    /// The same with a private key that KMS has.
    #[cfg(feature = "aws")]
    pub(super) fn of_kms(key: SigningKey, verifier: Option<&Path>) -> anyhow::Result<Self> {
        Self::of(Key::Kms(key), verifier)
    }

    fn of(key: Key, verifier: Option<&Path>) -> anyhow::Result<Self> {
        let public = key.public().context("its public key cannot be written")?;
        let id = hex::encode(Sha256::digest(public_pem(&public)));
        let verifier = match verifier {
            Some(path) => public_key(path).with_context(|| about(path))?,
            None => public,
        };
        Ok(Self { key, id, verifier })
    }

    /// The signature of `message`, which the verifier has accepted.
    async fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("the key does not sign");
        let signature = match &self.key {
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Ecdsa(key) => key.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    key.sign_prehash(&Sha256::digest(message)).context("the key does not sign")?;
                signature.to_der().as_bytes().to_vec()
            }
            #[cfg(feature = "aws")]
            Key::Kms(key) => key.sign(message).await?,
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                signature
            }
        };
        let accepts = |algorithm: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*algorithm, &self.verifier).verify(message, &signature).is_ok()
        };
        ensure!(
            ALGORITHMS.iter().any(accepts),
            "`verifier` does not accept the signature: it is not the public key of `signer`"
        );
        Ok(signature)
    }
}

impl Key {
    /// A key in PEM: PKCS #8, PKCS #1 or SEC 1.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = peer::read_regular(path, LARGEST)?;
        if String::from_utf8_lossy(&text).contains("ENCRYPTED") {
            bail!("it is protected by a password: decrypt it first, e.g. with `openssl pkey`");
        }
        let is_private = |kind| {
            use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
            matches!(kind, PrivateKey | RsaPrivateKey | EcPrivateKey)
        };
        let der = section(&text, is_private)?.context("no private key in PEM is in it")?;
        let ecdsa = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, &der).ok();
        let ed25519 = || Ed25519KeyPair::from_pkcs8(&der).ok().map(Self::Ed25519);
        let rsa = || RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok();
        ed25519()
            .or_else(|| ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self::Ecdsa))
            .or_else(|| p384(&der).map(Self::P384))
            .or_else(|| ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING).map(Self::Ecdsa))
            .or_else(|| rsa().map(Self::Rsa))
            .context(
                "it is none of Ed25519, ECDSA (P-256, P-384, P-521) and RSA (2048 to 8192 bits)",
            )
    }

    /// The public key, as X.509 writes it.
    fn public(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'static> = match self {
            Self::Ed25519(key) => key.public_key().as_der().ok()?,
            Self::Ecdsa(key) => key.public_key().as_der().ok()?,
            Self::Rsa(key) => key.public_key().as_der().ok()?,
            Self::P384(key) => {
                return Some(key.verifying_key().to_public_key_der().ok()?.into_vec());
            }
            #[cfg(feature = "aws")]
            Self::Kms(key) => return Some(key.public().to_vec()),
        };
        Some(der.as_ref().to_vec())
    }
}

/// A key of the curve P-384 in PKCS #8 or SEC 1.
fn p384(der: &[u8]) -> Option<p384::ecdsa::SigningKey> {
    p384::SecretKey::from_der(der).ok().map(Into::into)
}

/// What an error is about.
fn about(path: &Path) -> String {
    format!("the key in {}", path.display())
}

/// The public key in the file `path`.
fn public_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = peer::read_regular(path, LARGEST)?;
    let key = section(&text, |kind| kind == SectionKind::PublicKey)?;
    key.context(
        "no public key in PEM is in it; `openssl pkey -pubout` and `openssl x509 -pubkey` write one",
    )
}

/// The first part of the file `pem` that is `wanted`.
fn section(
    mut pem: &[u8],
    wanted: impl Fn(SectionKind) -> bool,
) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        match pem::from_buf(&mut pem).map_err(|error| anyhow!("it is no PEM: {error}"))? {
            Some((kind, der)) if wanted(kind) => return Ok(Some(der)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// A public key in PEM, as the key's id is made from it.
fn public_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    let lines = lines.map(|line| format!("{line}\n")).collect::<String>();
    format!("-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n")
}
