//! Keys: made for one build, or read from a file.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_encoding::Decode as _;
use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData, RsaKeypair};
use russh::keys::ssh_key::{LineEnding, sec1};
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::{BuildContext, Communicator, Exit};
use crate::guest::shell::in_quotes;
use crate::peer;
use crate::retry;
use crate::secret::Secret;

/// The kinds of keys that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Small, fast and modern.
    Ed25519,
    /// For machines that know nothing newer.
    Rsa,
    /// On the NIST curves.
    Ecdsa,
}

impl KeyType {
    /// What is wrong with `bits` for this kind of key.
    pub(super) fn refuse_bits(self, bits: u32) -> Option<&'static str> {
        match self {
            Self::Rsa if !(1024..=16384).contains(&bits) => {
                Some("an RSA key has 1024 to 16384 bits")
            }
            Self::Ecdsa if ![256, 384, 521].contains(&bits) => {
                Some("an ECDSA key has 256, 384 or 521 bits")
            }
            _ => None,
        }
    }
}

/// A key pair that lives as long as one build.
#[derive(Clone, Debug)]
pub struct TemporaryKey {
    key: PrivateKey,
}

impl TemporaryKey {
    /// Makes a key. `bits` is 4096 for RSA and 521 for ECDSA if not given, and means nothing for
    /// Ed25519. An RSA key takes seconds to find.
    pub fn generate(kind: KeyType, bits: Option<u32>, comment: &str) -> anyhow::Result<Self> {
        let mut rng = russh::keys::key::safe_rng();
        let data = match kind {
            KeyType::Ed25519 => {
                let key = PrivateKey::random(&mut rng, Algorithm::Ed25519)?;
                key.key_data().clone()
            }
            KeyType::Ecdsa => {
                let curve = match bits.unwrap_or(521) {
                    256 => EcdsaCurve::NistP256,
                    384 => EcdsaCurve::NistP384,
                    _ => EcdsaCurve::NistP521,
                };
                KeypairData::Ecdsa(EcdsaKeypair::random(&mut rng, curve)?)
            }
            KeyType::Rsa => {
                let bits = usize::try_from(bits.unwrap_or(4096))?;
                KeypairData::Rsa(RsaKeypair::random(&mut rng, bits)?)
            }
        };
        let key = PrivateKey::new(data, comment).context("cannot make a temporary SSH key")?;
        Ok(Self { key })
    }

    /// Takes a key that somebody else made, e.g. the cloud. `pem` is any of the known forms.
    pub fn from_pem(pem: &Secret, comment: &str) -> anyhow::Result<Self> {
        let mut key = parse(pem.expose()).context("the cloud's key pair cannot be read")?;
        key.set_comment(comment);
        Ok(Self { key })
    }

    /// Takes a key again that was made here, as [`private_openssh`](Self::private_openssh) wrote it.
    pub fn from_openssh(text: &Secret) -> anyhow::Result<Self> {
        let key = parse(text.expose()).context("the temporary SSH key cannot be read")?;
        Ok(Self { key })
    }

    /// The line for `authorized_keys`, with the comment, without a line end.
    pub fn public_openssh(&self) -> String {
        // Encoding a key that was decoded or generated cannot fail.
        self.key.public_key().to_openssh().unwrap_or_default()
    }

    /// The private key as an `OPENSSH PRIVATE KEY` file.
    pub fn private_openssh(&self) -> Secret {
        let text = self.key.to_openssh(LineEnding::LF);
        Secret::new(text.map(|text| text.to_string()).unwrap_or_default())
    }

    /// The name by which it is found again in `authorized_keys`.
    pub fn comment(&self) -> &str {
        self.key.comment().as_str_lossy()
    }

    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }
}

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the key is encrypted, and nobody is there to type its passphrase")]
    Encrypted,
    #[error("this is no private key that is known here: {0}")]
    Unreadable(String),
}

/// Reads a private key: PEM (PKCS#1, SEC1), PKCS#8, OpenSSH or PuTTY.
pub(super) fn parse(text: &str) -> Result<PrivateKey, KeyError> {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    match russh::keys::decode_secret_key(text, None) {
        Ok(key) if key.is_encrypted() => Err(KeyError::Encrypted),
        Ok(key) => Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) => Err(KeyError::Encrypted),
        Err(error) => short_p256(text).ok_or_else(|| KeyError::Unreadable(error.to_string())),
    }
}

/// Reads an OpenSSH file of a P-256 key whose secret number starts with a zero byte, which OpenSSH
/// does not write. One key of 256 is such a one, and the library refuses them as too short.
fn short_p256(text: &str) -> Option<PrivateKey> {
    let body = text.trim().strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----")?;
    let body = body.strip_suffix("-----END OPENSSH PRIVATE KEY-----")?;
    let file = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    let mut file = file.strip_prefix(b"openssh-key-v1\0")?;
    let [cipher, _kdf] = [String::decode(&mut file).ok()?, String::decode(&mut file).ok()?];
    let _kdf_options = Vec::<u8>::decode(&mut file).ok()?;
    let count = u32::decode(&mut file).ok()?;
    let _public = Vec::<u8>::decode(&mut file).ok()?;
    let private = Vec::<u8>::decode(&mut file).ok()?;
    if cipher != "none" || count != 1 {
        return None;
    }
    let mut private = private.as_slice();
    let [check, again] = [u32::decode(&mut private).ok()?, u32::decode(&mut private).ok()?];
    let [_kind, curve] = [String::decode(&mut private).ok()?, String::decode(&mut private).ok()?];
    let point = Vec::<u8>::decode(&mut private).ok()?;
    let number = Vec::<u8>::decode(&mut private).ok()?;
    let comment = String::decode(&mut private).ok()?;
    if curve != "nistp256" || check != again {
        return None;
    }
    let mut secret = [0; 32];
    secret[32_usize.checked_sub(number.len())?..].copy_from_slice(&number);
    let public = sec1::EncodedPoint::<sec1::consts::U32>::from_bytes(&point).ok()?;
    let pair = EcdsaKeypair::NistP256 { public, private: EcdsaPrivateKey::from(secret) };
    PrivateKey::new(KeypairData::Ecdsa(pair), comment).ok()
}

/// The largest file of a key or a certificate.
pub(super) const LARGEST_FILE: u64 = 1024 * 1024;

/// The text of the file of a key or a certificate.
fn read_now(path: &Path) -> std::io::Result<String> {
    peer::read_regular_text(path, LARGEST_FILE)
}

/// The text of a key file.
pub(super) async fn read(path: &Path) -> anyhow::Result<String> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&file)).await?;
    read.with_context(|| format!("cannot read the key file {}", path.display()))
}

/// The `authorized_keys` line of a private key.
pub(super) fn public_of(private: &Secret) -> Option<String> {
    parse(private.expose()).ok()?.public_key().to_openssh().ok()
}

/// Takes `key` out of the machine's `authorized_keys`. What goes wrong there is said, and is no
/// error.
pub(super) async fn forget(
    cx: &BuildContext,
    communicator: &dyn Communicator,
    key: &TemporaryKey,
) -> anyhow::Result<()> {
    cx.ui.say("Trying to remove ephemeral keys from authorized_keys files");
    let places = [("", "~"), ("sudo -n ", "/root")];
    let command = places.map(|(sudo, home)| forget_command(sudo, home, key)).join("; ");
    let unseen = "Whether the temporary key is gone was not seen";
    if !communicator.shell().is_posix() {
        cx.ui.error(format!("{unseen}: the machine has no POSIX shell; take it out there"));
        return Ok(());
    }
    let ran = retry::or_cancelled(&cx.cancel, communicator.run_captured(&command)).await?;
    let (exit, printed) = match ran {
        Ok(ran) => ran,
        Err(error) => {
            cx.ui.error(format!("{unseen}: {error:#}"));
            return Ok(());
        }
    };
    if exit == Exit::Disconnected {
        cx.ui.error(format!("{unseen}: the connection was lost"));
    }
    let left = crate::guest::harmless(&printed.stdout);
    let left = left.lines().collect::<Vec<_>>().join(", ");
    if !left.is_empty() {
        cx.ui.error(format!(
            "The temporary key is still in {left}, and would be in the image. Nobody has its \
             private half any more when the build is done."
        ));
    }
    Ok(())
}

/// Takes the lines that end in the comment of `key` out of the `authorized_keys` below `home`, and
/// prints the name of the file if the key is still there.
fn forget_command(sudo: &str, home: &str, key: &TemporaryKey) -> String {
    let mut pattern = String::new();
    for character in key.comment().chars() {
        if r".[]*^$/\".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    let file = format!("{home}/.ssh/authorized_keys");
    let script = in_quotes(&format!("/ {pattern}$/d"));
    let public = key.public_openssh();
    let alone = in_quotes(public.split(' ').nth(1).unwrap_or(&public));
    format!(
        "{sudo}sed -i.bak {script} {file}; {sudo}rm -f {file}.bak; \
         {sudo}grep -lF {alone} {file} 2>/dev/null"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_the_temporary_key_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let key = TemporaryKey::generate(KeyType::Ed25519, None, "packer_1.2").unwrap();
        let forget = || {
            let command = forget_command("", &home.path().display().to_string(), &key);
            let output = std::process::Command::new("sh").arg("-c").arg(command).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let kept = "ssh-ed25519 AAAA me@here\nssh-rsa BBBB packer_1x2\nssh-rsa CCCC spacker_1.2\n";
        std::fs::write(&file, format!("{kept}{}\n", key.public_openssh())).unwrap();
        assert_eq!(forget(), "");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
        assert_eq!(std::fs::read_dir(home.path().join(".ssh")).unwrap().count(), 1);
        // Somebody gave it another comment.
        let renamed = key.public_openssh().replace("packer_1.2", "me");
        std::fs::write(&file, renamed).unwrap();
        assert_eq!(forget(), format!("{}\n", file.display()));
    }

    #[test]
    fn an_encrypted_key_is_said_to_be_one() {
        let key = TemporaryKey::generate(KeyType::Ed25519, None, "me").unwrap();
        let encrypted = key.key.encrypt(&mut russh::keys::key::safe_rng(), "secret").unwrap();
        let text = encrypted.to_openssh(LineEnding::LF).unwrap();
        assert!(matches!(parse(&text), Err(KeyError::Encrypted)));
        assert!(matches!(parse("no key"), Err(KeyError::Unreadable(_))));
    }

    /// An OpenSSH file of `key` with the first byte of its secret number left out, as OpenSSH
    /// leaves out zeros.
    fn without_first_byte(key: &PrivateKey) -> String {
        let KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) = key.key_data() else {
            panic!("no P-256 key")
        };
        let text =
            |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let kind =
            [text(b"ecdsa-sha2-nistp256"), text(b"nistp256"), text(public.as_bytes())].concat();
        let secret = [text(&private.as_slice()[1..]), text(b"me"), vec![1, 2, 3]].concat();
        let private = [vec![7; 8], kind.clone(), secret].concat();
        let head = [b"openssh-key-v1\0".to_vec(), text(b"none"), text(b"none"), text(b"")].concat();
        let file = [head, 1_u32.to_be_bytes().to_vec(), text(&kind), text(&private)].concat();
        let [begin, end] =
            ["BEGIN", "END"].map(|word| format!("-----{word} OPENSSH PRIVATE KEY-----"));
        format!("{begin}\n{}\n{end}\n", STANDARD.encode(file))
    }

    #[test]
    fn a_short_ecdsa_key_is_read_as_openssh_writes_it() {
        let key = TemporaryKey::generate(KeyType::Ecdsa, Some(256), "me").unwrap().key;
        let KeypairData::Ecdsa(whole) = key.key_data() else { panic!("no ECDSA key") };
        let read = parse(&without_first_byte(&key)).unwrap();
        let KeypairData::Ecdsa(short) = read.key_data() else { panic!("no ECDSA key") };
        assert_eq!(short.private_key_bytes()[0], 0);
        assert_eq!(short.private_key_bytes()[1..], whole.private_key_bytes()[1..]);
        assert_eq!(short.public_key_bytes(), whole.public_key_bytes());
        assert_eq!(read.comment().as_str_lossy(), "me");
    }

    #[test]
    fn a_key_of_the_cloud_keeps_its_name() {
        let made = TemporaryKey::generate(KeyType::Ecdsa, Some(256), "mine").unwrap();
        let taken = TemporaryKey::from_pem(&made.private_openssh(), "packer_cloud").unwrap();
        assert_eq!(taken.comment(), "packer_cloud");
        assert!(taken.public_openssh().ends_with(" packer_cloud"));
        let alone = |line: String| line.split(' ').nth(1).map(str::to_owned);
        assert_eq!(alone(taken.public_openssh()), alone(made.public_openssh()));
    }
}
