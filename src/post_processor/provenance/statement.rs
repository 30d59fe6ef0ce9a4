//! In-toto statements: what is said of which files.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::attestation::statement::STATEMENT;
use crate::component::Artifact;
use crate::post_processor::checksum::{ChecksumType, checksums};
use crate::post_processor::{base_name, blocking};

/// Under which name an artifact tells the registry of HCP of itself.
const REGISTRY_STATE: &str = "par.artifact.metadata";

/// What statements are about.
pub(super) struct Subjects {
    /// A name and a SHA-256 each.
    list: Vec<Json>,
    /// What stands for an artifact without files.
    identity: Option<String>,
}

impl Subjects {
    /// The files of `artifact`; where it has none, the artifact by its id.
    pub(super) async fn of(
        artifact: &dyn Artifact,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let files = artifact.files();
        if files.is_empty() {
            let identity = identity(artifact);
            let name = format!("{}:{}", artifact.builder_id(), artifact.id());
            let list = vec![subject(&name, &hex::encode(Sha256::digest(&identity)))];
            return Ok(Self { list, identity: Some(STANDARD.encode(identity)) });
        }
        let list = blocking(cancel, move |cancel| {
            files.iter().map(|file| of_file(file, cancel)).collect::<anyhow::Result<_>>()
        });
        Ok(Self { list: list.await?, identity: None })
    }

    /// The artifact's identity in Base64, if it has no files.
    pub(super) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Says `predicate` of them.
    pub(super) fn statement(&self, predicate_type: &str, predicate: Json) -> Json {
        json!({
            "_type": STATEMENT,
            "subject": self.list,
            "predicateType": predicate_type,
            "predicate": predicate,
        })
    }
}

fn subject(name: &str, sha256: &str) -> Json {
    json!({ "name": name, "digest": { "sha256": sha256 } })
}

fn of_file(file: &Path, cancel: &CancellationToken) -> anyhow::Result<Json> {
    let sums = checksums(file, &[ChecksumType::Sha256], cancel);
    let sums = sums.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(subject(&base_name(file), &sums.concat()))
}

/// What an artifact without files is, always in the same words.
fn identity(artifact: &dyn Artifact) -> Vec<u8> {
    let mut record = json!({ "builderId": artifact.builder_id(), "id": artifact.id() });
    if let Some(state) = artifact.state(REGISTRY_STATE) {
        record["state"] = state;
    }
    record.sort_all_objects();
    record.to_string().into_bytes()
}
