//! `provenance`: says in a signed statement what an artifact was made from, and by whom.
//!
//! | file | what is there |
//! |---|---|
//! | `statement` | what is said: in-toto statements |
//! | `origin` | where the template comes from, and which run builds |
//! | `sign` | signatures, and the envelope that a signed statement comes in |

mod origin;
mod sign;
mod statement;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use smart_default::SmartDefault;

use self::sign::Signer;
use self::statement::Subjects;
use super::{base_name, passed_on, replace};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::diagnostic::code;
use crate::env::PACKER_VERSION;
use crate::sbom::{Format, Sbom};
use crate::whole_file::directory_of;

/// The options of `provenance`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-not-built" = [
    "fulcio_url", "keyless_identity", "keyless_oidc_issuer", "rekor_url", "sbom_exclude", "sbom_scope",
    "trusted_root_path", "upload_tlog"
]))]
pub struct Options {
    /// Whether anything is written.
    #[default(true)]
    pub provenance: bool,
    /// The type of the build, as the statement names it: a URI.
    #[default("https://packer.io/buildtypes/hcl2/v1".to_owned())]
    pub build_type: String,
    /// The directory for the files. Default: that of the artifact's first file, else the working
    /// directory.
    pub output_dir: String,
    /// The template's path, as the statement names it.
    pub template: String,
    /// The builds that were selected, as the statement names them.
    pub only_builds: Vec<String>,
    /// Variables that the statement tells, beside those of the environment (`PKR_VAR_…`). What is
    /// sensitive is not told.
    pub user_variables: BTreeMap<String, String>,
    /// Where the template comes from: a URI. Default: the repository that GitHub or GitLab runs for, or
    /// the Git repository of the working directory.
    pub source_uri: String,
    /// Attests an SBOM, too: that of `sbom_scan_path`.
    pub sbom: bool,
    /// The format of the SBOM.
    pub sbom_format: Format,
    /// The SBOM: a file in JSON, as `hcp-sbom` leaves it in its `destination`. imgbake scans no image
    /// itself.
    pub sbom_scan_path: String,
    /// How statements are signed: `none`, or `key` with a private key in a file. `kms` and `keyless` are
    /// not built yet.
    pub signing_mode: SigningMode,
    /// The private key in PEM: Ed25519, ECDSA (P-256, P-521) or RSA.
    pub signer: String,
    /// The same as `signer`.
    pub key: String,
    /// The public key in PEM that must accept each signature before it is written. Default: that of
    /// `signer`.
    pub verifier: String,
}

/// How statements are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SigningMode {
    /// Not at all.
    #[default]
    None,
    /// With a key in a file.
    Key,
    /// By a service that has the key.
    Kms,
    /// With a key of the moment, which Sigstore certifies.
    Keyless,
}

/// What stands in the place of a sensitive variable.
const REDACTED: &str = "[sensitive value redacted]";

/// The variables of the environment that give values to variables of templates.
const VARIABLE: &str = "PKR_VAR_";

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Provenance {
    own: Options,
    /// The private key's file.
    signer: Option<PathBuf>,
}

impl Component for Provenance {
    const TYPE: &'static str = "provenance";
    const ABOUT: &'static str =
        "Says in an in-toto statement what an artifact was made from, and signs it.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let signer = check_signing(&own, check);
        if own.sbom && own.sbom_scan_path.is_empty() {
            check.missing("sbom_scan_path", "name the SBOM's file: imgbake scans no image itself");
        }
        if !own.sbom {
            check.idle(&["sbom_scan_path", "sbom_format"], "without `sbom`");
        }
        if !own.sbom_scan_path.is_empty() {
            check.may_read("sbom_scan_path", &own.sbom_scan_path);
        }
        Some(Self { own, signer })
    }
}

/// The file of the private key, if there is one to sign with.
fn check_signing(own: &Options, check: &mut Check<'_>) -> Option<PathBuf> {
    let given = if own.signer.is_empty() { &own.key } else { &own.signer };
    let mut refuse = |cause: &str, help: &str| {
        let found = check.error("signing_mode", cause);
        (found.code, found.help) = (code::NOT_BUILT, Some(help.to_owned()));
    };
    match own.signing_mode {
        SigningMode::Kms => refuse(
            "signing by a key management service is not built yet",
            "sign with a key in a file (`key`), or have your service sign what `none` writes",
        ),
        SigningMode::Keyless => refuse(
            "keyless signing is not built yet: nothing here checks Sigstore's certificates",
            "in GitHub Actions, actions/attest signs with the identity of the job",
        ),
        SigningMode::Key if given.is_empty() => {
            check.missing("signer", "`signing_mode = \"key\"` signs with a private key");
        }
        SigningMode::Key => {
            if !own.key.is_empty() && *given != own.key {
                check.error(
                    "key",
                    "it is another name of `signer`, which is given with another value",
                );
            }
            let mut readable = check.may_read("signer", given);
            if !own.verifier.is_empty() {
                readable &= check.may_read("verifier", &own.verifier);
            }
            return readable.then(|| PathBuf::from(given));
        }
        SigningMode::None => {
            for (option, value) in
                [("signer", &own.signer), ("key", &own.key), ("verifier", &own.verifier)]
            {
                if !value.is_empty() {
                    let text = "nothing is signed: `signing_mode` is `none`";
                    check.warn(code::OPTION_VALUE, option, text);
                }
            }
        }
    }
    None
}

#[async_trait]
impl PostProcessor for Provenance {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        if self.own.provenance {
            self.attest(cx, &*input).await?;
        }
        Ok(passed_on(input))
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }
}

impl Provenance {
    async fn attest(&self, cx: &PostProcessContext, input: &dyn Artifact) -> anyhow::Result<()> {
        let signer = self.signer()?;
        let sbom = self.sbom()?;
        let subjects = Subjects::of(input, &cx.cancel).await?;
        let outputs = self.outputs(cx, input)?;
        let predicate = self.predicate(cx, &subjects).await?;
        let write = |statement: Json, end: &str| -> anyhow::Result<()> {
            let path = outputs.with(end);
            write(&path, sign::sealed(&statement, signer.as_ref())?.as_bytes())?;
            cx.ui.say(format!("Wrote attestation to {}", path.display()));
            Ok(())
        };
        write(subjects.statement(statement::PROVENANCE, predicate), "provenance.json")?;
        let Some(sbom) = sbom else { return Ok(()) };
        let (kind, end) = match sbom.format {
            Format::CycloneDx => ("https://cyclonedx.org/bom", "sbom.cdx.json"),
            Format::Spdx => ("https://spdx.dev/Document", "sbom.spdx.json"),
        };
        let copy = outputs.with(end);
        self::write(&copy, &sbom.bytes)?;
        write(subjects.statement(kind, sbom.document), "sbom.att.json")?;
        cx.ui.say(format!("Wrote SBOM to {}", copy.display()));
        Ok(())
    }

    fn signer(&self) -> anyhow::Result<Option<Signer>> {
        let Some(path) = &self.signer else { return Ok(None) };
        let verifier = Some(&self.own.verifier).filter(|path| !path.is_empty());
        let signer = Signer::read(path, verifier.map(Path::new));
        signer.map(Some).context("cannot sign the attestations")
    }

    fn sbom(&self) -> anyhow::Result<Option<Sbom>> {
        let own = &self.own;
        if !own.sbom {
            return Ok(None);
        }
        let sbom = Sbom::read(Path::new(&own.sbom_scan_path));
        let sbom = sbom.with_context(|| {
            format!("`sbom_scan_path`: {} cannot be attested", own.sbom_scan_path)
        })?;
        ensure!(
            sbom.format == own.sbom_format,
            "{} is in the format `{}`: say so with `sbom_format`",
            own.sbom_scan_path,
            sbom.format.name()
        );
        Ok(Some(sbom))
    }

    fn outputs(&self, cx: &PostProcessContext, input: &dyn Artifact) -> anyhow::Result<Outputs> {
        let files = input.files();
        let dir = match (self.own.output_dir.as_str(), files.first()) {
            ("", Some(first)) => directory_of(first).to_owned(),
            ("", None) => PathBuf::from("."),
            (given, _) => PathBuf::from(given),
        };
        fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        let artifact = match files.first() {
            Some(first) => base_name(first),
            None => as_name(&format!("{}-{}", input.builder_id(), input.id())),
        };
        let build = as_name(cx.facts.source_name().trim());
        let has_build = artifact == build || artifact.starts_with(&format!("{build}."));
        let stem = match build.is_empty() || has_build {
            true => artifact,
            false => format!("{build}.{artifact}"),
        };
        Ok(Outputs { dir, stem })
    }

    /// SLSA's words for how the artifact was made.
    async fn predicate(
        &self,
        cx: &PostProcessContext,
        subjects: &Subjects,
    ) -> anyhow::Result<Json> {
        let environment = &cx.facts.scope.environment;
        let mut definition = json!({
            "buildType": self.own.build_type,
            "externalParameters": self.parameters(cx),
            "internalParameters": {
                "packerBuildName": cx.facts.source_name(),
                "packerBuilderType": cx.facts.builder_type,
                "packerVersion": PACKER_VERSION,
            },
        });
        if let Some(source) = origin::source(cx, &self.own.source_uri).await? {
            definition["resolvedDependencies"] = json!([source]);
        }
        let version = json!({ "imgbake": env!("CARGO_PKG_VERSION"), "packer": PACKER_VERSION });
        let mut details = json!({
            "builder": { "id": origin::builder(environment), "version": version },
            "metadata": { "invocationId": origin::invocation(environment) },
        });
        if let Some(identity) = subjects.identity() {
            details["byproducts"] =
                json!([{ "name": "cloud-artifact-identity", "content": identity }]);
        }
        Ok(json!({ "buildDefinition": definition, "runDetails": details }))
    }

    /// What whoever started the build could choose.
    fn parameters(&self, cx: &PostProcessContext) -> Json {
        let own = &self.own;
        let mut parameters = Map::new();
        if !own.template.is_empty() {
            parameters.insert("template".into(), own.template.as_str().into());
        }
        if !own.only_builds.is_empty() {
            parameters.insert("onlyBuilds".into(), own.only_builds.clone().into());
        }
        let facts = &cx.facts;
        let of_environment = facts.scope.environment.vars();
        let of_environment =
            of_environment.filter_map(|(name, value)| Some((name.strip_prefix(VARIABLE)?, value)));
        let own = own.user_variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: BTreeMap<&str, &str> = of_environment.chain(own).collect();
        let told = |(name, value): (&str, &str)| {
            let is_hidden = facts.sensitive_variables.iter().any(|one| one == name);
            let value = if is_hidden || cx.redactor.holds(value) { REDACTED } else { value };
            (name.to_owned(), Json::from(value))
        };
        if !variables.is_empty() {
            let told: Map<String, Json> = variables.into_iter().map(told).collect();
            parameters.insert("userVariables".into(), told.into());
        }
        Json::Object(parameters)
    }
}

/// Where the files of one artifact go.
struct Outputs {
    dir: PathBuf,
    stem: String,
}

impl Outputs {
    fn with(&self, end: &str) -> PathBuf {
        self.dir.join(format!("{}.{end}", self.stem))
    }
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    replace(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// `text` as a part of a file's name.
fn as_name(text: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests;
