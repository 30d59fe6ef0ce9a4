//! Which algorithms are offered to a server.

use std::borrow::Cow;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::{Names, Preferred, cipher, kex, mac};

/// AES-GCM first: it is what processors are fastest at.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

/// For servers as old as OpenSSH 6, and for appliances: offered last, so that they are agreed on only
/// where the server has nothing better.
const OLD_CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];
/// The same for key exchange.
const OLD_KEY_EXCHANGES: &[kex::Name] = &[kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1];
/// The same for message authentication.
const OLD_MACS: &[mac::Name] = &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// What a client says beside its key exchange algorithms.
const EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// The ciphers called `names`, or the default ones if there are no names.
pub(in crate::communicator) fn ciphers(
    names: &[String],
) -> Result<Cow<'static, [cipher::Name]>, String> {
    if names.is_empty() {
        return Ok(Cow::Owned([CIPHERS, OLD_CIPHERS].concat()));
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
        let is_extension = |name: &kex::Name| {
            name.as_ref().contains("ext-info-") || name.as_ref().contains("kex-strict-")
        };
        let mut all = Preferred::DEFAULT.kex.to_vec();
        all.retain(|name| !is_extension(name));
        // For servers that know neither curve 25519 nor the larger groups.
        all.splice(
            3..3,
            [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521],
        );
        all.extend(OLD_KEY_EXCHANGES);
        all.extend(EXTENSIONS);
        return Ok(Cow::Owned(all));
    }
    let known = |name: &&kex::Name| name.as_ref() != "none";
    let all: Vec<kex::Name> =
        kex::ALL_KEX_ALGORITHMS.iter().copied().filter(known).copied().collect();
    let mut picked = pick("key exchange algorithm", names, &all)?;
    picked.extend(EXTENSIONS);
    Ok(Cow::Owned(picked))
}

/// The algorithms of message authentication; there is no option for them.
pub(super) fn macs() -> Cow<'static, [mac::Name]> {
    Cow::Owned([&*Preferred::DEFAULT.mac, OLD_MACS].concat())
}

/// Which of the algorithms that were agreed on are old ones.
pub(super) fn old_ones(agreed: &Names) -> Vec<String> {
    let mut old = Vec::new();
    if OLD_KEY_EXCHANGES.contains(&agreed.kex) {
        old.push(agreed.kex.as_ref().to_owned());
    }
    if agreed.key == (Algorithm::Rsa { hash: None }) {
        old.push("ssh-rsa with SHA-1".to_owned());
    }
    if OLD_CIPHERS.contains(&agreed.cipher) {
        old.push(agreed.cipher.as_ref().to_owned());
    }
    let mut macs = vec![agreed.client_mac, agreed.server_mac];
    macs.dedup();
    old.extend(macs.iter().filter(|mac| OLD_MACS.contains(mac)).map(|mac| mac.as_ref().to_owned()));
    old
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
