//! `checksum`: writes digests of the artifact's files.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::digest::DynDigest;
use smart_default::SmartDefault;
use tokio_util::sync::CancellationToken;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::config::{Late, late_fields};
use crate::peer;
use crate::post_processor::{Files, Stoppable, base_name, blocking, dot, make_parent};

/// The id of what this makes.
pub const BUILDER_ID: &str = "packer.post-processor.checksum";

late_fields! {
    /// The fields of `output`.
    pub OutputFields = ["BuildName", "BuilderType", "ChecksumType"] and the build;
}

/// The options of `checksum`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Which digests.
    #[default(vec![ChecksumType::Md5])]
    pub checksum_types: Vec<ChecksumType>,
    /// The file that the lines are added to. `{{.BuildName}}`, `{{.BuilderType}}` and
    /// `{{.ChecksumType}}` are filled in.
    #[default(Late::new("packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum"))]
    pub output: Late<OutputFields>,
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say all")]
pub enum ChecksumType {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl ChecksumType {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn digest(self) -> Box<dyn DynDigest> {
        match self {
            Self::Md5 => Box::new(md5::Md5::default()),
            Self::Sha1 => Box::new(sha1::Sha1::default()),
            Self::Sha224 => Box::new(sha2::Sha224::default()),
            Self::Sha256 => Box::new(sha2::Sha256::default()),
            Self::Sha384 => Box::new(sha2::Sha384::default()),
            Self::Sha512 => Box::new(sha2::Sha512::default()),
        }
    }
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Checksum(Options);

impl Component for Checksum {
    const TYPE: &'static str = "checksum";
    const ABOUT: &'static str = "Writes checksums of the files of an artifact.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if own.checksum_types.is_empty() {
            check.error("checksum_types", "it names no digest");
        }
        Some(Self(own))
    }
}

#[async_trait]
impl PostProcessor for Checksum {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let mut files = input.files();
        if files.is_empty() {
            cx.ui.say("The artifact has no files: there is nothing to take checksums of.");
        } else {
            let (outputs, inputs) = (self.outputs(cx)?, files.clone());
            let new = blocking(&cx.cancel, move |cancel| write_all(&inputs, &outputs, cancel));
            files.extend(new.await?);
        }
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        let artifact = Files {
            builder_id: BUILDER_ID,
            id: String::new(),
            description: format!("Created artifact from files: {}", names.join(", ")),
            files,
            build_data: input.build_data(),
        };
        Ok(Processed { artifact: Some(Arc::new(artifact)), keep_input: true, keep_forced: true })
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

impl Checksum {
    /// The file for each digest.
    fn outputs(&self, cx: &PostProcessContext) -> anyhow::Result<Vec<(ChecksumType, PathBuf)>> {
        let path = |&kind: &ChecksumType| {
            let mut dot = dot(&cx.facts);
            dot.insert("ChecksumType".into(), kind.name().into());
            let path = self.0.output.render(&cx.facts.scope, &dot);
            Ok((kind, path.context("cannot render `output`")?.into()))
        };
        self.0.checksum_types.iter().map(path).collect()
    }
}

/// Adds a line for every file to every output; returns the outputs that were not there before.
fn write_all(
    files: &[PathBuf],
    outputs: &[(ChecksumType, PathBuf)],
    cancel: &CancellationToken,
) -> anyhow::Result<Vec<PathBuf>> {
    let kinds: Vec<_> = outputs.iter().map(|(kind, _)| *kind).collect();
    let mut lines = vec![String::new(); kinds.len()];
    for file in files {
        let sums = checksums(file, &kinds, cancel)
            .with_context(|| format!("cannot read {}", file.display()))?;
        for (lines, sum) in lines.iter_mut().zip(sums) {
            lines.push_str(&format!("{sum}\t{}\n", base_name(file)));
        }
    }
    let mut new = Vec::new();
    for ((_, output), lines) in outputs.iter().zip(lines) {
        make_parent(output)?;
        if !output.exists() {
            new.push(output.clone());
        }
        let mut options = OpenOptions::new();
        peer::open_regular_as(options.append(true).create(true), output)
            .and_then(|mut opened| opened.write_all(lines.as_bytes()))
            .with_context(|| format!("cannot write {}", output.display()))?;
    }
    Ok(new)
}

/// All digests of a file, read once.
pub(super) fn checksums(
    file: &Path,
    kinds: &[ChecksumType],
    cancel: &CancellationToken,
) -> std::io::Result<Vec<String>> {
    let mut digests: Vec<_> = kinds.iter().map(|kind| kind.digest()).collect();
    let mut content = Stoppable::new(peer::open_regular(file)?, cancel);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        for digest in &mut digests {
            digest.update(&buffer[..read]);
        }
    }
    Ok(digests.into_iter().map(|digest| hex::encode(digest.finalize())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::post_processor::fake::{self, Made};

    #[tokio::test]
    async fn coreutils_agree_with_every_digest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk.img");
        std::fs::write(&file, vec![7; 300_000]).unwrap();
        let types = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
        let output = format!("{}/sums/{{{{.ChecksumType}}}}", dir.path().display());
        let options = json!({"checksum_types": types, "output": output});
        let made = Made { files: vec![file.clone()], ..Made::default() };
        let (processed, _) = fake::run::<Checksum>(options, made).await;
        let artifact = processed.unwrap().artifact.unwrap();
        let sums = dir.path().join("sums");
        let mut all = vec![file];
        all.extend(types.map(|kind| sums.join(kind)));
        assert_eq!(artifact.files(), all);
        for kind in types {
            let check = std::process::Command::new(format!("{kind}sum"))
                .args(["--strict", "-c"])
                .arg(sums.join(kind))
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(check.status.success(), "{check:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_was_there_grows_and_is_no_part_of_the_artifact() {
        let dir = tempfile::tempdir().unwrap();
        let (file, output) = (dir.path().join("a"), dir.path().join("sums"));
        std::fs::write(&file, "").unwrap();
        std::fs::write(&output, "before\n").unwrap();
        let options = json!({"output": output});
        let made = Made { files: vec![file.clone()], ..Made::default() };
        let (processed, _) = fake::run::<Checksum>(options, made).await;
        assert_eq!(processed.unwrap().artifact.unwrap().files(), [file]);
        let text = std::fs::read_to_string(&output).unwrap();
        assert_eq!(text, "before\nd41d8cd98f00b204e9800998ecf8427e\ta\n");
    }
}
