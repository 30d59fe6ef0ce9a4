//! `imgbake verify-attestation`: whether an attestation holds: who signed it, and what it says.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::cleanup::on_runtime;
use super::{Exit, Session};
use crate::attestation::envelope::Envelope;
use crate::attestation::kms;
use crate::attestation::public_key::PublicKey;
use crate::attestation::statement::{Artifact, Expected, Statement};
use crate::event::Ui;

/// `imgbake verify-attestation [flags] ATTESTATION`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What must have signed; otherwise as `-key` and the attestation itself have it.
    #[arg(long, value_enum)]
    pub signing_mode: Option<SigningMode>,
    /// The key that must have signed: a file in PEM with a public key, a certificate or a private key;
    /// or `awskms:///` and a key's id, its ARN or its `alias/...`.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A file in PEM with the public key or a certificate, which counts instead of `-key`.
    #[arg(long, value_name = "FILE")]
    pub verifier: Option<PathBuf>,
    /// The type of what is attested, e.g. `https://slsa.dev/provenance/v1`.
    #[arg(long, value_name = "URI")]
    pub predicate_type: Option<String>,
    /// Who must have built, as the provenance names it.
    #[arg(long, value_name = "ID")]
    pub builder_id: Option<String>,
    /// What must have been built from, as the provenance names it.
    #[arg(long, value_name = "URI")]
    pub source_uri: Option<String>,
    /// The file that is attested: its name and its SHA-256 must stand in the attestation.
    #[arg(long, value_name = "FILE")]
    pub artifact: Option<PathBuf>,
    /// The attestation, as `provenance` has written it.
    pub attestation: PathBuf,
}

/// What signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SigningMode {
    /// A key in a file.
    Key,
    /// A key of AWS's KMS.
    Kms,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    on_runtime(ui, async {
        match verify(session, arguments).await {
            Ok(()) => {
                ui.say("Attestation verified.");
                Exit::Success
            }
            Err(error) => {
                ui.error(format!("Error: {error:#}"));
                Exit::Failure
            }
        }
    })
}

async fn verify(session: &Session, arguments: &Arguments) -> anyhow::Result<()> {
    let dir = &session.environment.cwd;
    let path = &arguments.attestation;
    let envelope = Envelope::read(&dir.join(path)).with_context(|| about(path))?;
    let (key, named) = key(session, arguments, &envelope).await?;
    ensure!(
        envelope.is_accepted_by(&key),
        "{}: {named} ({}) has not signed it: {}",
        path.display(),
        key.id(),
        envelope.signers()
    );
    let statement = Statement::parse(&envelope.payload).with_context(|| about(path))?;
    let artifact = arguments.artifact.as_deref().map(|file| {
        Artifact::read(&dir.join(file)).with_context(|| format!("-artifact {}", file.display()))
    });
    let expected = Expected {
        predicate_type: arguments.predicate_type.clone(),
        builder_id: arguments.builder_id.clone(),
        source_uri: arguments.source_uri.clone(),
        artifact: artifact.transpose()?,
    };
    statement.check(&expected).with_context(|| about(path))
}

/// What an error is about.
fn about(path: &Path) -> String {
    path.display().to_string()
}

/// The key that must have signed, and what it is called.
async fn key(
    session: &Session,
    arguments: &Arguments,
    envelope: &Envelope,
) -> anyhow::Result<(PublicKey, String)> {
    let read = |path: &Path, read: fn(&Path) -> anyhow::Result<PublicKey>| {
        let named = format!("the key in {}", path.display());
        let key = read(&session.environment.cwd.join(path)).with_context(|| named.clone())?;
        Ok((key, named))
    };
    let given = arguments.key.as_deref();
    match (arguments.signing_mode, given) {
        (Some(SigningMode::Key), Some(name)) if kms::is_name(name) => {
            bail!("-key {name}: with -signing-mode=key it is a file")
        }
        (Some(SigningMode::Kms), Some(name)) if !kms::is_name(name) => {
            bail!("-key {name}: with -signing-mode=kms it begins with `awskms://`")
        }
        _ => {}
    }
    if let Some(path) = &arguments.verifier {
        return read(path, PublicKey::read);
    }
    let Some(given) = given else {
        let certified = envelope.signatures.iter().any(|one| one.certificate.is_some());
        let why = if certified { " (keyless signatures are not verified yet)" } else { "" };
        bail!("say with -key or -verifier whose signature counts{why}");
    };
    if !kms::is_name(given) {
        return read(Path::new(given), PublicKey::read_any);
    }
    let name = kms::parse(given).with_context(|| format!("-key {given}"))?;
    let cancel = CancellationToken::new();
    let key = kms::open(&name, &session.environment, &session.redactor, &cancel).await?;
    Ok((PublicKey::of_kms(&key), format!("the key {given}")))
}
