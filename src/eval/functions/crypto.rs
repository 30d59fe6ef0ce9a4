//! Digests, identifiers, and RSA.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Digest;
use uuid::Uuid;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::value::Value;
use crate::secret::RsaKey;

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
    let key = RsaKey::from_pem(call.text(1)).map_err(CallError::failed)?;
    let plain = key.open(&sealed);
    let plain = plain.ok_or_else(|| CallError::failed("crypto/rsa: decryption error"))?;
    let plain = String::from_utf8(plain)
        .map_err(|_| CallError::failed("the decrypted data is not valid UTF-8"))?;
    Ok(Value::string(plain))
}
