//! Which algorithms are offered to a server.

use std::borrow::Cow;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::{Preferred, cipher, kex};

/// AES-GCM first: it is what processors are fastest at.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

/// What a client says beside its key exchange algorithms.
const EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// The ciphers called `names`, or the default ones if there are no names.
pub(in crate::communicator) fn ciphers(
    names: &[String],
) -> Result<Cow<'static, [cipher::Name]>, String> {
    if names.is_empty() {
        return Ok(Cow::Borrowed(CIPHERS));
    }
    let known = |name: &&cipher::Name| !["clear", "none"].contains(&name.as_ref());
    let all: Vec<cipher::Name> =
        cipher::ALL_CIPHERS.iter().copied().filter(known).copied().collect();
    pick("cipher", names, &all).map(Cow::Owned)
}

/// The key exchange algorithms called `names`, or the default ones if there are no names.
pub(in crate::communicator) fn key_exchanges(
    names: &[String],
) -> Result<Cow<'static, [kex::Name]>, String> {
    if names.is_empty() {
        let mut all = Preferred::DEFAULT.kex.to_vec();
        // For servers that know neither curve 25519 nor the larger groups.
        all.splice(
            3..3,
            [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521],
        );
        return Ok(Cow::Owned(all));
    }
    let known = |name: &&kex::Name| name.as_ref() != "none";
    let all: Vec<kex::Name> =
        kex::ALL_KEX_ALGORITHMS.iter().copied().filter(known).copied().collect();
    let mut picked = pick("key exchange algorithm", names, &all)?;
    picked.extend(EXTENSIONS);
    Ok(Cow::Owned(picked))
}

fn pick<N: AsRef<str> + Copy>(kind: &str, names: &[String], all: &[N]) -> Result<Vec<N>, String> {
    let find = |name: &String| {
        all.iter().copied().find(|known| known.as_ref() == name).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
            format!("there is no {kind} `{name}`; these are known: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// The algorithms by which a server can prove that it has one of `keys`.
pub(super) fn for_host_keys(keys: &[PublicKey]) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    for key in keys {
        match key.algorithm() {
            Algorithm::Rsa { .. } => {
                let hashes = [Some(HashAlg::Sha512), Some(HashAlg::Sha256), None];
                algorithms.extend(hashes.map(|hash| Algorithm::Rsa { hash }));
            }
            other => algorithms.push(other),
        }
    }
    algorithms
}
