//! `provenance`: says in a signed statement what an artifact was made from, and by whom.
//!
//! | file | what is there |
//! |---|---|
//! | `statement` | what is said: in-toto statements |
//! | `origin` | where the template comes from, and which run builds |

mod origin;
mod statement;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use glob::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use smart_default::SmartDefault;
use tokio_util::sync::CancellationToken;

use self::statement::Subjects;
use super::{base_name, passed_on, replace};
use crate::attestation::kms::{self, KeyName, NoKey};
use crate::attestation::signer::Signer;
use crate::attestation::statement::PROVENANCE;
#[cfg(feature = "aws")]
use crate::aws::access::Access;
#[cfg(feature = "aws")]
use crate::aws::allow::Regions;
use crate::component::{
    Artifact, BuildContext, Check, Component, PostProcessContext, PostProcessor, Processed,
};
use crate::diagnostic::code;
use crate::env::{Environment, PACKER_VERSION};
use crate::event::Ui;
#[cfg(feature = "aws")]
use crate::permission::Permission;
use crate::sbom::{Format, Sbom};
use crate::secret::Redactor;
use crate::whole_file::directory_of;

/// The options of `provenance`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-not-built" = [
    "fulcio_url", "keyless_identity", "keyless_oidc_issuer", "rekor_url", "trusted_root_path",
    "upload_tlog"
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
    /// Attests an SBOM, too: the packages of the machine, which is asked for them after its last
    /// provisioner, or the file `sbom_scan_path`.
    pub sbom: bool,
    /// The format of the SBOM.
    pub sbom_format: Format,
    /// An SBOM that is there: a file in JSON, as `hcp-sbom` leaves it in its `destination`. imgbake looks
    /// into no image itself.
    pub sbom_scan_path: String,
    /// Which packages the SBOM of the machine has: `squashed`, those that are in the image. `all-layers`,
    /// with those that an earlier layer of a container had, is not built.
    pub sbom_scope: SbomScope,
    /// Files whose packages the SBOM of the machine leaves out: patterns that begin with `./`, `*/` or
    /// `**/`, e.g. `**/node_modules`. What Python and Node.js have installed is where it is installed;
    /// what the system has installed is in `/var/lib/dpkg/status`, `/var/lib/rpm`, `/lib/apk/db/installed`
    /// or `/var/lib/pacman/local`.
    pub sbom_exclude: Vec<String>,
    /// How statements are signed: `none`, `key` with a private key in a file, or `kms` by a key of AWS's
    /// KMS. `keyless` is not built yet.
    pub signing_mode: SigningMode,
    /// The private key: a file in PEM (Ed25519, ECDSA with P-256, P-384 or P-521, RSA); with
    /// `signing_mode = "kms"`, `awskms:///` and the key's id, its ARN or its `alias/…`. KMS signs over
    /// SHA-256, with P-384 over SHA-384, with P-521 over SHA-512.
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

/// Which packages an SBOM has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SbomScope {
    /// Those of the image.
    #[default]
    Squashed,
    /// Those of each layer.
    AllLayers,
}

/// What stands in the place of a sensitive variable.
const REDACTED: &str = "[sensitive value redacted]";

/// The variables of the environment that give values to variables of templates.
const VARIABLE: &str = "PKR_VAR_";

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Provenance {
    own: Options,
    signer: Option<SignedBy>,
    /// Files whose packages the SBOM leaves out.
    exclude: Vec<Pattern>,
}

/// Who has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SignedBy {
    /// This file.
    File(PathBuf),
    /// AWS.
    Kms(KeyName),
}

impl Component for Provenance {
    const TYPE: &'static str = "provenance";
    const ABOUT: &'static str =
        "Says in an in-toto statement what an artifact was made from, and signs it.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let signer = check_signing(&own, check);
        if own.sbom_scope == SbomScope::AllLayers {
            let found =
                check.error("sbom_scope", "what was in earlier layers only is not looked for");
            found.code = code::NOT_BUILT;
            let help = "have a scanner write the SBOM, and name its file with `sbom_scan_path`";
            found.help = Some(help.to_owned());
        }
        if !own.sbom {
            let options = ["sbom_scan_path", "sbom_format", "sbom_scope", "sbom_exclude"];
            check.idle(&options, "without `sbom`");
        }
        if !own.sbom_scan_path.is_empty() {
            check.may_read("sbom_scan_path", &own.sbom_scan_path);
            check.idle(&["sbom_exclude"], "with `sbom_scan_path`, whose SBOM is taken as it is");
        }
        let exclude = check_exclude(&own.sbom_exclude, check);
        Some(Self { own, signer, exclude })
    }
}

/// The files that `patterns` name, as paths without the first slash.
fn check_exclude(patterns: &[String], check: &mut Check<'_>) -> Vec<Pattern> {
    let mut parsed = Vec::new();
    for text in patterns {
        let is_known = ["./", "*/", "**/"].iter().any(|start| text.starts_with(start));
        match Pattern::new(text.strip_prefix("./").unwrap_or(text)) {
            Ok(pattern) if is_known => parsed.push(pattern),
            Ok(_) => {
                let cause = format!("`{text}` begins with none of `./`, `*/` and `**/`");
                check.error("sbom_exclude", cause);
            }
            Err(error) => _ = check.error("sbom_exclude", format!("`{text}`: {error}")),
        }
    }
    parsed
}

/// Who signs, if anybody does.
fn check_signing(own: &Options, check: &mut Check<'_>) -> Option<SignedBy> {
    let given = if own.signer.is_empty() { &own.key } else { &own.signer };
    match own.signing_mode {
        SigningMode::Keyless => {
            let cause =
                "keyless signing is not built yet: nothing here checks Sigstore's certificates";
            let found = check.error("signing_mode", cause);
            let help = "in GitHub Actions, actions/attest signs with the identity of the job";
            (found.code, found.help) = (code::NOT_BUILT, Some(help.to_owned()));
            None
        }
        SigningMode::Key | SigningMode::Kms if given.is_empty() => {
            check.missing("signer", "say which private key signs");
            None
        }
        mode @ (SigningMode::Key | SigningMode::Kms) => {
            if !own.key.is_empty() && *given != own.key {
                let cause = "it is another name of `signer`, which is given with another value";
                check.error("key", cause);
            }
            let readable = own.verifier.is_empty() || check.may_read("verifier", &own.verifier);
            let signer = match mode {
                SigningMode::Kms => check_kms(given, check),
                _ => check.may_read("signer", given).then(|| SignedBy::File(given.into())),
            };
            signer.filter(|_| readable)
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
            None
        }
    }
}

/// The key of KMS that `given` names.
fn check_kms(given: &str, check: &mut Check<'_>) -> Option<SignedBy> {
    let cause = match kms::parse(given) {
        Ok(key) => return Some(SignedBy::Kms(key)),
        Err(cause) => cause,
    };
    let found = check.error("signer", cause.to_string());
    if matches!(cause, NoKey::Service(_)) {
        let help = "sign with a key of AWS (`awskms://`) or in a file, or have your service sign what \
                    `signing_mode = \"none\"` writes";
        (found.code, found.help) = (code::NOT_BUILT, Some(help.to_owned()));
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

    /// A key of KMS that cannot be used is known before anything is built. A file may come later.
    async fn try_out(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.own.provenance && matches!(self.signer, Some(SignedBy::Kms(_))) {
            self.signer(&cx.facts.scope.environment, &cx.redactor, &cx.cancel).await?;
        }
        Ok(())
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }

    fn wants_packages(&self) -> Option<&[Pattern]> {
        let own = &self.own;
        let is_wanted = own.provenance && own.sbom && own.sbom_scan_path.is_empty();
        is_wanted.then_some(&self.exclude)
    }

    #[cfg(feature = "aws")]
    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        let signer = self.signer.as_ref().filter(|_| self.own.provenance);
        let Some(SignedBy::Kms(key)) = signer else { return Vec::new() };
        let region = key.region().map(str::to_owned);
        let region = region.or_else(|| Access::default().region_given(environment));
        vec![Regions::new(region, &[]).sign_with(key.name())]
    }
}

impl Provenance {
    async fn attest(&self, cx: &PostProcessContext, input: &dyn Artifact) -> anyhow::Result<()> {
        let signer = self.signer(&cx.facts.scope.environment, &cx.redactor, &cx.cancel).await?;
        let sbom = self.sbom(cx, input)?;
        let subjects = Subjects::of(input, &cx.cancel).await?;
        let outputs = self.outputs(cx, input)?;
        let predicate = self.predicate(cx, &subjects).await?;
        let signer = signer.as_ref();
        let statement = subjects.statement(PROVENANCE, predicate);
        outputs.attest(&statement, "provenance.json", signer, &cx.ui).await?;
        let Some(sbom) = sbom else { return Ok(()) };
        let (kind, end) = match sbom.format {
            Format::CycloneDx => ("https://cyclonedx.org/bom", "sbom.cdx.json"),
            Format::Spdx => ("https://spdx.dev/Document", "sbom.spdx.json"),
        };
        let copy = outputs.with(end);
        write(&copy, &sbom.bytes)?;
        let statement = subjects.statement(kind, sbom.document);
        outputs.attest(&statement, "sbom.att.json", signer, &cx.ui).await?;
        cx.ui.say(format!("Wrote SBOM to {}", copy.display()));
        Ok(())
    }

    /// What signs, if anything does.
    async fn signer(
        &self,
        environment: &Arc<Environment>,
        redactor: &Redactor,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Option<Signer>> {
        let verifier = Some(&self.own.verifier).filter(|path| !path.is_empty()).map(Path::new);
        let signer = match &self.signer {
            None => return Ok(None),
            Some(SignedBy::File(path)) => Signer::read(path, verifier),
            Some(SignedBy::Kms(key)) => kms::open(key, environment, redactor, cancel)
                .await
                .and_then(|key| Signer::of_kms(key, verifier)),
        };
        signer.map(Some).context("cannot sign the attestations")
    }

    /// The SBOM to attest.
    fn sbom(&self, cx: &PostProcessContext, input: &dyn Artifact) -> anyhow::Result<Option<Sbom>> {
        let own = &self.own;
        if !own.sbom {
            return Ok(None);
        }
        if self.wants_packages().is_some() {
            if input.was_there() {
                cx.ui.say("The SBOM of this image is what the run wrote that has made it");
                return Ok(None);
            }
            let packages = cx.packages.as_deref().context(
                "there is no list of the machine's packages: name an SBOM's file with `sbom_scan_path`",
            )?;
            let document = match own.sbom_format {
                Format::CycloneDx => packages.cyclonedx.clone(),
                Format::Spdx => packages.spdx.clone(),
            };
            return Sbom::of(own.sbom_format, document).map(Some);
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

    /// Writes the `statement` to the file with this `end`, signed if there is a `signer`.
    async fn attest(
        &self,
        statement: &Json,
        end: &str,
        signer: Option<&Signer>,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let path = self.with(end);
        let text = match signer {
            Some(signer) => signer.seal(statement).await?.written()?,
            None => serde_json::to_string_pretty(statement)?,
        };
        write(&path, text.as_bytes())?;
        ui.say(format!("Wrote attestation to {}", path.display()));
        Ok(())
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
