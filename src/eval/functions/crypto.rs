//! Digests, identifiers, and RSA.

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Digest;
use uuid::Uuid;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic(
        "bcrypt",
        "The hash of a password, at a cost of 10 or as given.",
        &[Param::string("str")],
        Param::number("cost"),
        bcrypt,
    )
    .result(Want::String),
    Function::new(
        "md5",
        "The MD5 digest in hexadecimal digits.",
        &[Param::string("str")],
        digest::<md5::Md5>,
    )
    .result(Want::String),
    Function::new(
        "rsadecrypt",
        "The text that was encrypted for an RSA key (PKCS #1 v1.5) and written in Base64.",
        &[Param::string("ciphertext"), Param::string("privatekey")],
        rsadecrypt,
    )
    .result(Want::String),
    Function::new(
        "sha1",
        "The SHA-1 digest in hexadecimal digits.",
        &[Param::string("str")],
        digest::<sha1::Sha1>,
    )
    .result(Want::String),
    Function::new(
        "sha256",
        "The SHA-256 digest in hexadecimal digits.",
        &[Param::string("str")],
        digest::<sha2::Sha256>,
    )
    .result(Want::String),
    Function::new(
        "sha512",
        "The SHA-512 digest in hexadecimal digits.",
        &[Param::string("str")],
        digest::<sha2::Sha512>,
    )
    .result(Want::String),
    Function::new("uuidv4", "A random UUID.", &[], |call| {
        Ok(Value::string(call.host.environment.new_uuid().to_string()))
    })
    .result(Want::String),
    Function::new(
        "uuidv5",
        "The UUID of a name in a namespace: `dns`, `url`, `oid`, `x500` or another UUID.",
        &[Param::string("namespace"), Param::string("name")],
        uuidv5,
    )
    .result(Want::String),
];

fn digest<D: Digest>(call: &Call<'_>) -> Outcome {
    Ok(Value::string(hex::encode(D::digest(call.text(0)))))
}

/// What a round of `bcrypt` costs, of which each step of its cost doubles the number. It takes some
/// 60 µs on a machine of today, so that a whole budget ends within four seconds: after one hash at a
/// cost of 15, or 54 at a cost of 10.
const BCRYPT_ROUND: usize = 300;

/// A cost below 4 is the default, 10.
fn bcrypt(call: &Call<'_>) -> Outcome {
    if call.args.len() > 2 {
        return Err(CallError::failed("bcrypt() takes no more than two arguments"));
    }
    let cost = match call.args.len() {
        1 => 10,
        _ => match call.whole(1)? {
            ..4 => 10,
            cost @ 4..=31 => u32::try_from(cost).unwrap_or(10),
            cost => {
                return Err(CallError::failed(format!(
                    "error occured generating password crypto/bcrypt: cost {cost} is outside \
                     allowed inclusive range 4..31"
                )));
            }
        },
    };
    call.pay(BCRYPT_ROUND << cost)?;
    let text = call.text(0);
    if text.len() > 72 {
        return Err(CallError::failed(
            "error occured generating password bcrypt: password length exceeds 72 bytes",
        ));
    }
    let salt = *call.host.environment.new_uuid().as_bytes();
    let hash = ::bcrypt::hash_with_salt(text, cost, salt).map_err(CallError::failed)?;
    Ok(Value::string(hash.format_for_version(::bcrypt::Version::TwoA)))
}

fn uuidv5(call: &Call<'_>) -> Outcome {
    let namespace = match call.text(0) {
        "dns" => Uuid::NAMESPACE_DNS,
        "url" => Uuid::NAMESPACE_URL,
        "oid" => Uuid::NAMESPACE_OID,
        "x500" => Uuid::NAMESPACE_X500,
        given => Uuid::parse_str(given).map_err(|_| {
            CallError::failed(format!(
                "uuidv5() doesn't support namespace {given} (invalid UUID length: {})",
                given.len()
            ))
        })?,
    };
    Ok(Value::string(Uuid::new_v5(&namespace, call.text(1).as_bytes()).to_string()))
}

fn rsadecrypt(call: &Call<'_>) -> Outcome {
    let sealed: String = call.text(0).chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let sealed = STANDARD.decode(&sealed).map_err(|_| {
        CallError::failed(format!(
            "failed to decode input {:?}: cipher text must be base64-encoded",
            call.text(0)
        ))
    })?;
    call.pay(20_000)?;
    let key = private_key(call.text(1)).map_err(CallError::failed)?;
    let failed = |_| CallError::failed("crypto/rsa: decryption error");
    let key = Pkcs1PrivateDecryptingKey::new(key).map_err(failed)?;
    let mut plain = vec![0; key.min_output_size()];
    let plain = key.decrypt(&sealed, &mut plain).map_err(failed)?.to_vec();
    let plain = String::from_utf8(plain)
        .map_err(|_| CallError::failed("the decrypted data is not valid UTF-8"))?;
    Ok(Value::string(plain))
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
