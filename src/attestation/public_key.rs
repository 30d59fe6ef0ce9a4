//! Keys that accept signatures.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::SectionKind;
use sha2::{Digest as _, Sha256};

use super::private_key::{PrivateKey, section};
use super::{LARGEST_KEY, kms};
use crate::peer;

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

/// The longest line in PEM.
const LINE: usize = 64;

/// A public key, as X.509 writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// The key in the file `path`: by itself or in a certificate.
    ///
    /// # Errors
    /// When the file has none, or cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = peer::read_regular(path, LARGEST_KEY)?;
        let none = "no public key in PEM is in it; `openssl pkey -pubout` writes one";
        Self::in_pem(&text)?.context(none)
    }

    /// The key in the file `path`, which may have the private key, too.
    ///
    /// # Errors
    /// When the file has none, or cannot be read.
    pub fn read_any(path: &Path) -> anyhow::Result<Self> {
        let text = peer::read_regular(path, LARGEST_KEY)?;
        match Self::in_pem(&text)? {
            Some(key) => Ok(key),
            None => PrivateKey::parse(&text)
                .context("neither a public key nor a certificate in PEM is in it")?
                .public()
                .map(Self),
        }
    }

    /// The key in `text`: by itself or in a certificate.
    fn in_pem(text: &[u8]) -> anyhow::Result<Option<Self>> {
        if let Some((_, key)) = section(text, |kind| kind == SectionKind::PublicKey)? {
            return Ok(Some(Self(key)));
        }
        let Some((_, der)) = section(text, |kind| kind == SectionKind::Certificate)? else {
            return Ok(None);
        };
        let der = CertificateDer::from(der);
        let certificate = webpki::EndEntityCert::try_from(&der)
            .map_err(|error| anyhow!("its certificate cannot be read: {error}"))?;
        Ok(Some(Self(certificate.subject_public_key_info().as_ref().to_vec())))
    }

    /// The one that X.509 writes as `der`.
    pub(super) fn of_der(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// That of a key of a service.
    pub fn of_kms(key: &kms::SigningKey) -> Self {
        Self(key.public().to_vec())
    }

    /// Whether it accepts `signature` for `message`.
    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        let accepts = |algorithm: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*algorithm, &self.0).verify(message, signature).is_ok()
        };
        ALGORITHMS.iter().any(accepts)
    }

    /// Its digest: what it is called.
    pub fn id(&self) -> String {
        hex::encode(Sha256::digest(self.pem()))
    }

    /// It in PEM.
    pub(super) fn pem(&self) -> String {
        let text = STANDARD.encode(&self.0);
        let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
        let lines = lines.map(|line| format!("{line}\n")).collect::<String>();
        format!("-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n")
    }
}
