//! `vagrant`: makes a box of the artifact, for `vagrant box add`.

mod provider;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::config::{Late, late_fields};
use crate::interpolate::{Dot, Template};
use crate::peer;
use crate::post_processor::archive::{self, Algorithm, BlockWriter, Entry, Source};
use crate::post_processor::{Files, base_name, blocking, dot};

use self::provider::{Contents, Provider};

/// A Vagrantfile is a short text.
const LARGEST_TEMPLATE: u64 = 16 << 20;

/// The id of what this makes.
pub const BUILDER_ID: &str = "mitchellh.post-processor.vagrant";

late_fields! {
    /// The fields of `output` and of the Vagrantfile.
    pub OutputFields =
        ["BuildName", "BuilderType", "Provider", "ArtifactId", "Architecture"] and the build;
}

/// The options of `vagrant`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = {
    "aws": "override",
    "digitalocean": "override",
    "virtualbox": "override",
    "vmware": "override",
}))]
pub struct Options {
    /// The box file. `{{.Provider}}`, `{{.Architecture}}`, `{{.BuildName}}` and `{{.ArtifactId}}`
    /// are filled in. Default: `packer_{{ .BuildName }}_{{ .Provider }}_{{ .Architecture }}.box`.
    pub output: Option<Late<OutputFields>>,
    /// From 1 (fast) to 9 (small); 0 does not compress, -1 is the default.
    pub compression_level: Option<i32>,
    /// More files for the top of the box.
    pub include: Option<Vec<String>>,
    /// A Vagrantfile that is packed into the box. The same fields as in `output` are filled in.
    pub vagrantfile_template: Option<String>,
    /// The build itself makes `vagrantfile_template`: whether it exists is not checked before.
    pub vagrantfile_template_generated: Option<bool>,
    /// Makes the box for this provider, whatever the artifact is. Needed after `artifice`.
    pub provider_override: Option<String>,
    /// The machine's architecture, as Go names it: `amd64`, `arm64`, `i386`. Default: this
    /// machine's.
    pub architecture: Option<String>,
    /// Other values of these options for one provider, by its name.
    pub r#override: BTreeMap<String, Override>,
}

/// What may differ for one provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Override {
    /// See the option of that name.
    pub output: Option<Late<OutputFields>>,
    /// See the option of that name.
    pub compression_level: Option<i32>,
    /// See the option of that name.
    pub include: Option<Vec<String>>,
    /// See the option of that name.
    pub vagrantfile_template: Option<String>,
    /// See the option of that name.
    pub vagrantfile_template_generated: Option<bool>,
    /// See the option of that name.
    pub architecture: Option<String>,
}

/// The options for one provider.
#[derive(Debug)]
struct Effective {
    output: Late<OutputFields>,
    compression_level: i32,
    include: Vec<PathBuf>,
    vagrantfile_template: Option<String>,
    architecture: String,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Vagrant {
    own: Options,
    provider: Option<Provider>,
}

impl Component for Vagrant {
    const TYPE: &'static str = "vagrant";
    const ABOUT: &'static str = "Packs an artifact as a Vagrant box.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let mut provider = None;
        if let Some(name) = &own.provider_override {
            match Provider::named(name) {
                Ok(found) => provider = Some(found),
                Err(cause) => {
                    check.error("provider_override", cause);
                }
            }
        }
        // Packer looks at no name; this one is in templates.
        for name in own.r#override.keys().filter(|name| *name != "vmware_desktop") {
            if let Err(cause) = Provider::named(name) {
                check.error("override", cause);
            }
        }
        check_level("compression_level", own.compression_level, check);
        let (template, generated) = (&own.vagrantfile_template, own.vagrantfile_template_generated);
        check_template("vagrantfile_template", template.as_deref(), generated, check);
        check_include("include", own.include.as_deref(), check);
        for (name, special) in &own.r#override {
            let option = |option: &str| format!("override.{name}.{option}");
            check_level(&option("compression_level"), special.compression_level, check);
            let generated = special.vagrantfile_template_generated.or(generated);
            let template = special.vagrantfile_template.as_deref();
            check_template(&option("vagrantfile_template"), template, generated, check);
            check_include(&option("include"), special.include.as_deref(), check);
        }
        Some(Self { own, provider })
    }
}

impl Options {
    /// The options for the provider `name`.
    fn effective(&self, name: &str) -> Effective {
        let special = self.r#override.get(name).cloned().unwrap_or_default();
        let output = special.output.or_else(|| self.output.clone()).unwrap_or_else(|| {
            Late::new("packer_{{ .BuildName }}_{{ .Provider }}_{{ .Architecture }}.box")
        });
        let include = special.include.or_else(|| self.include.clone()).unwrap_or_default();
        let template = special.vagrantfile_template.or_else(|| self.vagrantfile_template.clone());
        let architecture = special.architecture.or_else(|| self.architecture.clone());
        Effective {
            output,
            compression_level: special.compression_level.or(self.compression_level).unwrap_or(-1),
            include: include.into_iter().map(PathBuf::from).collect(),
            vagrantfile_template: template.filter(|path| !path.is_empty()),
            architecture: vagrant_architecture(architecture.as_deref()).to_owned(),
        }
    }
}

/// The build may make them: only where they are is looked at.
fn check_include(option: &str, paths: Option<&[String]>, check: &mut Check<'_>) {
    for path in paths.unwrap_or_default() {
        check.may_read(option, path);
    }
}

fn check_level(option: &str, level: Option<i32>, check: &mut Check<'_>) {
    if level.is_some_and(|level| !(-1..=9).contains(&level)) {
        check.error(option, "it must be from -1 to 9");
    }
}

fn check_template(
    option: &str,
    path: Option<&str>,
    generated: Option<bool>,
    check: &mut Check<'_>,
) {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return };
    if !check.may_read(option, path) {
        return;
    }
    match peer::read_regular_text(Path::new(path), LARGEST_TEMPLATE) {
        Ok(text) => {
            if let Err(error) = Template::parse(&text) {
                check.error(option, format!("{path}: {error}"));
            }
        }
        Err(_) if generated == Some(true) => {}
        Err(error) => {
            check.error(option, format!("cannot read {path}: {error}"));
        }
    }
}

/// `given`, or this machine's architecture, as boxes name it.
fn vagrant_architecture(given: Option<&str>) -> &str {
    match given.filter(|name| !name.is_empty()).unwrap_or(std::env::consts::ARCH) {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "386" | "x86" => "i386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

#[async_trait]
impl PostProcessor for Vagrant {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let provider = self.provider_of(&*input)?;
        let name = provider.name();
        cx.ui.say(format!("Creating Vagrant box for '{name}' provider"));
        let own = self.own.effective(name);
        let mut dot = dot(&cx.facts);
        dot.insert("Provider".into(), name.into());
        dot.insert("ArtifactId".into(), input.id().into());
        dot.insert("Architecture".into(), own.architecture.clone().into());
        let target = own.output.render(&cx.facts.scope, &dot).context("cannot render `output`")?;
        let target = PathBuf::from(target);
        let contents = provider.contents(&*input)?;
        let custom = own.custom_vagrantfile(cx, &dot)?;
        let entries = entries(contents, &custom, &own);
        for entry in &entries {
            cx.ui.say(format!("Compressing: {}", entry.name));
        }
        let (to, level) = (target.clone(), own.compression_level);
        blocking(&cx.cancel, move |cancel| write_box(&to, &entries, level, cancel)).await?;
        let artifact = Files {
            builder_id: BUILDER_ID,
            id: name.to_owned(),
            description: format!("'{name}' provider box: {}", target.display()),
            files: vec![target],
            build_data: input.build_data(),
        };
        let keep = provider.keeps_input();
        Ok(Processed {
            artifact: Some(Arc::new(artifact)),
            keep_input: keep,
            // What the box only refers to must not be thrown away.
            keep_forced: keep,
        })
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        match self.provider {
            Some(_) => None,
            None => Provider::of(builder_id).err(),
        }
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

impl Vagrant {
    /// Whom the box is for.
    fn provider_of(&self, input: &dyn Artifact) -> anyhow::Result<Provider> {
        let known = self.provider.map_or_else(|| Provider::of(input.builder_id()), Ok);
        known.map_err(anyhow::Error::msg)
    }
}

impl Effective {
    /// `vagrantfile_template`, rendered.
    fn custom_vagrantfile(&self, cx: &PostProcessContext, dot: &Dot) -> anyhow::Result<String> {
        let Some(path) = &self.vagrantfile_template else { return Ok(String::new()) };
        let context = || format!("`vagrantfile_template` {path}");
        let text =
            peer::read_regular_text(Path::new(path), LARGEST_TEMPLATE).with_context(context)?;
        let template = Template::parse(&text).with_context(context)?;
        template.render(&cx.facts.scope, dot).with_context(context)
    }
}

/// What is in the box, sorted by name.
fn entries(contents: Contents, custom: &str, own: &Effective) -> Vec<Entry> {
    let include = own.include.iter().map(|path| (base_name(path), Source::File(path.clone())));
    let mut files: BTreeMap<_, _> = include.collect();
    files.extend(contents.files);
    let mut metadata = contents.metadata;
    metadata.insert("architecture".into(), own.architecture.clone().into());
    let metadata = Json::Object(metadata).to_string();
    files.entry("metadata.json".to_owned()).or_insert(Source::Text(metadata));
    let vagrantfile = format!(
        "# What the provider needs to know, written by imgbake.\n{}\n\
         # What the template adds in `vagrantfile_template`, if anything.\n{custom}\n",
        contents.vagrantfile
    );
    files.insert("Vagrantfile".to_owned(), Source::Text(vagrantfile));
    files.into_iter().map(|(name, source)| Entry { name, source }).collect()
}

fn write_box(
    target: &Path,
    entries: &[Entry],
    level: i32,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    archive::write_whole(target, |out| {
        if level == 0 {
            archive::tar(entries, out, cancel)?;
            return Ok(());
        }
        let packed = BlockWriter::new(out, Algorithm::Gzip, u32::try_from(level).ok());
        archive::tar(entries, packed, cancel)?.finish()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests;
