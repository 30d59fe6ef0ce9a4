//! Keys in files that sign.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::pkcs8::EncodePublicKey as _;
use rustls::pki_types::pem::{self, SectionKind};
use sha2::{Digest as _, Sha256};

use super::LARGEST_KEY;
use crate::peer;

/// A private key.
pub(super) enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    /// The library of the others signs with such keys over SHA-384 only.
    P384(p384::ecdsa::SigningKey),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// The key in the file `path`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::parse(&peer::read_regular(path, LARGEST_KEY)?)
    }

    /// A key in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub(super) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        if String::from_utf8_lossy(text).contains("ENCRYPTED") {
            bail!("it is protected by a password: decrypt it first, e.g. with `openssl pkey`");
        }
        let is_private = |kind| {
            use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
            matches!(kind, PrivateKey | RsaPrivateKey | EcPrivateKey)
        };
        let (_, der) = section(text, is_private)?.context("no private key in PEM is in it")?;
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

    /// The signature of `message`.
    pub(super) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("the key does not sign");
        Ok(match self {
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Ecdsa(key) => key.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    key.sign_prehash(&Sha256::digest(message)).context("the key does not sign")?;
                signature.to_der().as_bytes().to_vec()
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                signature
            }
        })
    }

    /// Its public half, as X.509 writes it.
    pub(super) fn public(&self) -> anyhow::Result<Vec<u8>> {
        let failed = "its public key cannot be written";
        let der: PublicKeyX509Der<'static> = match self {
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Rsa(key) => key.public_key().as_der(),
            Self::P384(key) => {
                return Ok(key.verifying_key().to_public_key_der().context(failed)?.into_vec());
            }
        }
        .ok()
        .context(failed)?;
        Ok(der.as_ref().to_vec())
    }
}

/// A key of the curve P-384 in PKCS #8 or SEC 1.
fn p384(der: &[u8]) -> Option<p384::ecdsa::SigningKey> {
    p384::SecretKey::from_der(der).ok().map(Into::into)
}

/// The first part of the file `pem` that is `wanted`.
pub(super) fn section(
    mut pem: &[u8],
    wanted: impl Fn(SectionKind) -> bool,
) -> anyhow::Result<Option<(SectionKind, Vec<u8>)>> {
    loop {
        match pem::from_buf(&mut pem).map_err(|error| anyhow!("it is no PEM: {error}"))? {
            Some((kind, der)) if wanted(kind) => return Ok(Some((kind, der))),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}
