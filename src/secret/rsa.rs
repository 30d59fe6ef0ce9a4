//! What is sealed for an RSA key, and opened with it.

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A private key that opens what was sealed for it (PKCS #1 v1.5).
#[derive(Debug)]
pub struct RsaKey(Pkcs1PrivateDecryptingKey);

impl RsaKey {
    /// Reads a key in PEM, or says why it cannot be used.
    ///
    /// # Errors
    /// That sentence.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let key = Pkcs1PrivateDecryptingKey::new(private_key(pem)?);
        key.map(Self).map_err(|error| format!("failed to parse key: {error}"))
    }

    /// What was sealed, if it was for this key.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = vec![0; self.0.min_output_size()];
        Some(self.0.decrypt(sealed, &mut plain).ok()?.to_vec())
    }
}

/// An RSA key in PEM, PKCS #1 or PKCS #8, as its first line says.
fn private_key(pem: &str) -> Result<PrivateDecryptingKey, String> {
    const BAD: &str = "failed to parse key";
    let (label, body) = pem
        .split_once("-----BEGIN ")
        .and_then(|(_, rest)| rest.split_once("-----\n").or_else(|| rest.split_once("-----\r\n")))
        .and_then(|(label, rest)| Some((label, rest.split_once("-----END ")?.0)))
        .ok_or_else(|| format!("{BAD}: no key found"))?;
    if body.contains("ENCRYPTED") || label.contains("ENCRYPTED") {
        return Err(format!(
            "{BAD}: password protected keys are not supported. Please decrypt the key prior to use"
        ));
    }
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(body).map_err(|_| format!("{BAD}: no key found"))?;
    let pkcs8 = match label {
        "PRIVATE KEY" => der,
        "RSA PRIVATE KEY" => pkcs8(&der),
        other => return Err(format!("{BAD}: unsupported key type {other:?}")),
    };
    PrivateDecryptingKey::from_pkcs8(&pkcs8)
        .map_err(|error| format!("{BAD}: it is no RSA key of 2048 to 8192 bits ({error})"))
}

/// A PKCS #1 key as PKCS #8 has it: with what kind of key it is in front.
fn pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    const VERSION_0: &[u8] = &[0x02, 1, 0];
    /// The identifier `rsaEncryption`, and no parameters.
    const RSA: &[u8] =
        &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0];
    const OCTETS: u8 = 0x04;
    const SEQUENCE: u8 = 0x30;
    der(SEQUENCE, &[VERSION_0, RSA, &der(OCTETS, pkcs1)].concat())
}

/// `content` with its tag and length in front, in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let header = match length {
        [] => vec![tag, 0],
        [short @ ..0x80] => vec![tag, *short],
        long => [&[tag, 0x80 | long.len().to_le_bytes()[0]], long].concat(),
    };
    [header.as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_its_first_line_says() {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/oracle/fixtures/keys");
        let key = |name: &str| std::fs::read_to_string(format!("{keys}/{name}.pem")).unwrap();
        let said = |pem: &str| private_key(pem).map(|key| key.key_size_bits());
        let (pkcs1, pkcs8) = (key("test-only"), key("test-only-pkcs8"));
        assert_eq!(said(&pkcs1), Ok(2048));
        assert_eq!(said(&pkcs8), Ok(2048));
        assert_eq!(said(&pkcs1.replace('\n', "\r\n")), Ok(2048));
        for (pem, why) in [
            (pkcs1.replace("RSA PRIVATE", "PRIVATE"), "it is no RSA key"),
            (pkcs8.replace("BEGIN PRIVATE", "BEGIN RSA PRIVATE"), "it is no RSA key"),
            (pkcs1.replace("RSA PRIVATE", "EC PRIVATE"), "unsupported key type \"EC PRIVATE KEY\""),
            (key("test-only-encrypted"), "password protected keys are not supported"),
            (String::new(), "no key found"),
        ] {
            let error = said(&pem).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn lengths_are_written_as_der_has_them() {
        for (count, header) in [
            (0, &[4, 0][..]),
            (0x7f, &[4, 0x7f]),
            (0x80, &[4, 0x81, 0x80]),
            (0x1234, &[4, 0x82, 0x12, 0x34]),
        ] {
            assert_eq!(der(4, &vec![0; count])[..header.len()], *header);
        }
    }
}
