//! Whether the sums of a release were signed by who they should be.
//!
//! A signature is worth what its key is worth, and no key comes with a plugin: who wants signatures
//! checked says which keys are trusted.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::timeout;

use crate::env::Environment;
use crate::guest::harmless;

/// The variable that names the file with the trusted keys, as `gpg --export` writes them.
pub(super) const KEYS: &str = "IMGBAKE_PLUGIN_KEYS";

/// How long a check may take. `gpgv` is a program of this machine, and prints a few lines.
const CHECK: Duration = Duration::from_secs(30);

/// What is to be said of the `signature` of `sums`, which may be none; an error if it is not by a trusted
/// key.
pub(super) async fn check(
    sums: &[u8],
    signature: anyhow::Result<Option<Vec<u8>>>,
    environment: &Environment,
) -> anyhow::Result<String> {
    let (keys, signature) = match (environment.get(KEYS), signature) {
        (Some(keys), Ok(Some(signature))) => (environment.cwd.join(keys), signature),
        (Some(_), Ok(None)) => bail!("its sums are not signed, and {KEYS} asks for a signature"),
        (Some(_), Err(error)) => return Err(error.context("the signature of its sums")),
        (None, Ok(Some(_))) => {
            return Ok(format!("its signature was not checked, as {KEYS} names no keys"));
        }
        (None, Ok(None)) => return Ok("its publisher does not sign".to_owned()),
        (None, Err(error)) => {
            return Ok(format!("its signature was not checked, and cannot be had: {error:#}"));
        }
    };
    let dir = tempfile::tempdir()?;
    let (sums_file, signature_file) = (dir.path().join("sums"), dir.path().join("sums.sig"));
    std::fs::write(&sums_file, sums)?;
    std::fs::write(&signature_file, signature)?;
    let good = gpgv(&keys, &signature_file, &sums_file).await?;
    match good {
        Ok(()) => Ok("its signature is by a key of IMGBAKE_PLUGIN_KEYS".to_owned()),
        Err(why) => bail!("the signature of its sums is wrong: {why}"),
    }
}

async fn gpgv(keys: &Path, signature: &Path, sums: &Path) -> anyhow::Result<Result<(), String>> {
    let mut command = Command::new("gpgv");
    command.arg("--keyring").args([keys, signature, sums]).env_clear().env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(CHECK, command.output()).await;
    let output = output.with_context(|| format!("`gpgv` has not ended within {CHECK:?}"))?;
    let output = output.with_context(|| format!("{KEYS} is set, but `gpgv` cannot be run"))?;
    let words = harmless(&output.stderr);
    Ok(if output.status.success() { Ok(()) } else { Err(words.trim().replace('\n', "; ")) })
}
