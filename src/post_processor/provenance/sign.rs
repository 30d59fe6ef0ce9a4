//! Signatures, and the envelope (DSSE) that a signed statement comes in.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA256_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{self, SectionKind};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::peer;

/// What a statement is, for who opens the envelope.
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The largest file of a key.
const LARGEST: u64 = 1 << 20;

/// The longest line in PEM.
const LINE: usize = 64;

/// The kinds of public keys. Each accepts only signatures of its own kind.
const ALGORITHMS: [&dyn VerificationAlgorithm; 5] = [
    &ED25519,
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// `statement` as it is written: by itself, or signed in its envelope.
pub(super) fn sealed(statement: &Json, signer: Option<&Signer>) -> anyhow::Result<String> {
    let Some(signer) = signer else { return Ok(serde_json::to_string_pretty(statement)?) };
    let payload = statement.to_string();
    let signature = signer.sign(&encoded(payload.as_bytes()))?;
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
    Rsa(RsaKeyPair),
}

impl Signer {
    /// One with the private key in the file `private`, whose signatures the key in the file `verifier`
    /// must accept; without that, its own public key.
    pub(super) fn read(private: &Path, verifier: Option<&Path>) -> anyhow::Result<Self> {
        let about = |path: &Path| format!("the key in {}", path.display());
        let key = Key::read(private).with_context(|| about(private))?;
        let public = key.public().map_err(|_| anyhow!("its public key cannot be written"))?;
        let id = hex::encode(Sha256::digest(public_pem(public.as_ref())));
        let verifier = match verifier {
            Some(path) => public_key(path).with_context(|| about(path))?,
            None => public.as_ref().to_vec(),
        };
        Ok(Self { key, id, verifier })
    }

    /// The signature of `message`, which the verifier has accepted.
    fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("the key does not sign");
        let signature = match &self.key {
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Ecdsa(key) => key.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
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
            .or_else(|| ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING).map(Self::Ecdsa))
            .or_else(|| rsa().map(Self::Rsa))
            .context("it is none of Ed25519, ECDSA (P-256, P-521) and RSA (2048 to 8192 bits)")
    }

    fn public(&self) -> Result<PublicKeyX509Der<'static>, aws_lc_rs::error::Unspecified> {
        match self {
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Rsa(key) => key.public_key().as_der(),
        }
    }
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
