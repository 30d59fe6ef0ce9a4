//! Whether the sums of a release were signed by who they should be.
//!
//! A signature is worth what its key is worth, and no key comes with a plugin: HashiCorp's is built in,
//! for what HashiCorp publishes. Who wants other signatures checked says which keys are trusted.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::process::Command;
use tokio::time::timeout;

use crate::env::Environment;
use crate::guest::harmless;

/// The variable that names the file with the trusted keys, as `gpg --export` writes them.
pub(super) const KEYS: &str = "IMGBAKE_PLUGIN_KEYS";

/// The key of "HashiCorp Security", as HashiCorp publishes it.
const HASHICORP: &str = include_str!("hashicorp.asc");

/// Its fingerprint.
const HASHICORP_FINGERPRINT: &str = "C874011F0AB405110D02105534365D9472D7468F";

/// How long a check may take. `gpgv` is a program of this machine, and prints a few lines.
const CHECK: Duration = Duration::from_secs(30);

/// Whose signature the sums should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publisher {
    /// HashiCorp at its own site: it signs all that is there.
    HashiCorp,
    /// The same from a mirror, which may have no signatures.
    HashiCorpMirrored,
    /// HashiCorp's teams at GitHub: the first releases there were signed with other keys, if at all.
    HashiCorpsTeams,
    /// Somebody of whom no key is known.
    Other,
}

/// What is to be said of the `signature` of `sums`, which may be none; an error if it is not by a trusted
/// key.
pub(super) async fn check(
    publisher: Publisher,
    sums: &[u8],
    signature: anyhow::Result<Option<Vec<u8>>>,
    environment: &Environment,
) -> anyhow::Result<String> {
    let own = environment.get(KEYS).map(|keys| environment.cwd.join(keys));
    let is_known = own.is_some() || publisher != Publisher::Other;
    let signature = match signature {
        Ok(Some(signature)) if is_known => signature,
        Ok(Some(_)) => {
            return Ok(format!("its signature was not checked, as {KEYS} names no keys"));
        }
        Ok(None) if own.is_some() => {
            bail!("its sums are not signed, and {KEYS} asks for a signature")
        }
        Ok(None) => return unsigned(publisher),
        Err(error) if is_known => return Err(error.context("the signature of its sums")),
        Err(error) => {
            return Ok(format!("its signature was not checked, and cannot be had: {error:#}"));
        }
    };
    let dir = tempfile::tempdir()?;
    let file = |name: &str, content: &[u8]| -> std::io::Result<PathBuf> {
        let path = dir.path().join(name);
        std::fs::write(&path, content).map(|()| path)
    };
    let mut keyrings: Vec<PathBuf> = own.clone().into_iter().collect();
    if publisher != Publisher::Other {
        keyrings.push(file("hashicorp.gpg", &without_armour(HASHICORP)?)?);
    }
    let (sums, signature) = (file("sums", sums)?, file("sums.sig", &signature)?);
    match gpgv(&keyrings, &signature, &sums).await? {
        Some(output) => {
            let may_be_unknown = own.is_none() && publisher == Publisher::HashiCorpsTeams;
            match unknown_key(&output).filter(|_| may_be_unknown) {
                Some(key) => {
                    Ok(format!("its signature is by a key that is not known here ({key})"))
                }
                None => verdict(&output),
            }
        }
        None if own.is_some() => bail!("{KEYS} is set, but there is no `gpgv`"),
        None => Ok("its signature was not checked, as there is no `gpgv`".to_owned()),
    }
}

/// What is to be said of sums that nobody has signed, and of which no signature is asked for.
fn unsigned(publisher: Publisher) -> anyhow::Result<String> {
    match publisher {
        Publisher::HashiCorp => bail!("its sums are not signed, and HashiCorp signs all of them"),
        Publisher::HashiCorpMirrored => Ok("the mirror has no signature of it".to_owned()),
        Publisher::HashiCorpsTeams => Ok("it has no signature".to_owned()),
        Publisher::Other => Ok("its publisher does not sign".to_owned()),
    }
}

/// The key of a signature that none of the keys has made.
fn unknown_key(output: &Output) -> Option<String> {
    let status = String::from_utf8_lossy(&output.stdout);
    let key = status.lines().find_map(|line| line.strip_prefix("[GNUPG:] NO_PUBKEY "))?;
    Some(harmless(key.as_bytes()))
}

/// What `gpgv` has found.
fn verdict(output: &Output) -> anyhow::Result<String> {
    if !output.status.success() {
        let words = harmless(&output.stderr);
        bail!("the signature of its sums is wrong: {}", words.trim().replace('\n', "; "));
    }
    let status = String::from_utf8_lossy(&output.stdout);
    let mut valid = status.lines().filter(|line| line.starts_with("[GNUPG:] VALIDSIG "));
    Ok(match valid.any(|line| line.ends_with(HASHICORP_FINGERPRINT)) {
        true => "its signature is HashiCorp's".to_owned(),
        false => format!("its signature is by a key of {KEYS}"),
    })
}

/// An armoured key as `gpgv` reads it: the lines between the empty one and the checksum.
fn without_armour(text: &str) -> anyhow::Result<Vec<u8>> {
    let lines = text.lines().skip_while(|line| !line.is_empty());
    let body: String = lines.take_while(|line| !line.starts_with(['=', '-'])).collect();
    BASE64.decode(body).context("a key that is built in cannot be read")
}

/// What `gpgv` says of `signature`; `None` if there is no such program.
async fn gpgv(
    keyrings: &[PathBuf],
    signature: &Path,
    sums: &Path,
) -> anyhow::Result<Option<Output>> {
    let mut command = Command::new("gpgv");
    command.args(["--status-fd", "1"]);
    for keyring in keyrings {
        command.arg("--keyring").arg(keyring);
    }
    command.args([signature, sums]).env_clear().env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(CHECK, command.output()).await;
    match output.with_context(|| format!("`gpgv` has not ended within {CHECK:?}"))? {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("`gpgv` cannot be run"),
    }
}

#[cfg(test)]
mod tests {
    use sha1::{Digest as _, Sha1};

    use super::*;

    /// The sums of a release of HashiCorp's, and its signature of them.
    const SUMS: &[u8] = include_bytes!("../../../tests/fixtures/hashicorp/SHA256SUMS");
    const SIGNATURE: &[u8] = include_bytes!("../../../tests/fixtures/hashicorp/SHA256SUMS.sig");

    async fn checked(
        publisher: Publisher,
        sums: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<String, String> {
        let signature = Ok(signature.map(<[u8]>::to_vec));
        let environment = crate::interpolate::Scope::for_tests().environment;
        let said = check(publisher, sums, signature, &environment).await;
        said.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_key_that_is_built_in_is_hashicorps() {
        let key = without_armour(HASHICORP).unwrap();
        // A packet with a length of two bytes; the fingerprint is the sum of the same.
        let [0x99, high, low, ..] = key[..] else { panic!("{:x?}", &key[..4]) };
        let packet = &key[..3 + usize::from(u16::from_be_bytes([high, low]))];
        assert_eq!(hex::encode_upper(Sha1::digest(packet)), HASHICORP_FINGERPRINT);
    }

    #[tokio::test]
    async fn what_hashicorp_has_signed_is_taken_and_nothing_else() {
        use Publisher::{HashiCorp, HashiCorpMirrored, HashiCorpsTeams, Other};
        let said = checked(HashiCorp, SUMS, Some(SIGNATURE)).await.unwrap();
        if said.contains("there is no `gpgv`") {
            #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
            {
                println!("no gpgv here: signatures are not tested");
            }
            return;
        }
        assert_eq!(said, "its signature is HashiCorp's");
        for publisher in [HashiCorp, HashiCorpMirrored, HashiCorpsTeams] {
            let swapped = [SUMS, b"\n"].concat();
            let error = checked(publisher, &swapped, Some(SIGNATURE)).await.unwrap_err();
            assert!(error.contains("is wrong") && error.contains("BAD signature"), "{error}");
        }
        let error = checked(HashiCorp, SUMS, None).await.unwrap_err();
        assert!(error.contains("HashiCorp signs all of them"), "{error}");
        let said = checked(HashiCorpMirrored, SUMS, None).await.unwrap();
        assert_eq!(said, "the mirror has no signature of it");
        assert_eq!(checked(HashiCorpsTeams, SUMS, None).await.unwrap(), "it has no signature");
        assert_eq!(checked(Other, SUMS, None).await.unwrap(), "its publisher does not sign");
    }
}
