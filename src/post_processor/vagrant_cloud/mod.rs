//! `vagrant-cloud`: publishes a Vagrant box on Vagrant Cloud, or on a server that speaks as it does.

mod api;
mod metadata;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use self::api::{Api, Upload};
use self::metadata::Metadata;
use super::{artifice, blocking, dot, vagrant};
use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::config::{Late, late_fields};
use crate::event::Ui;
use crate::retry::or_cancelled;
use crate::secret::Secret;

/// The id of what this makes.
pub const BUILDER_ID: &str = "pearkes.post-processor.vagrant-cloud";

/// Vagrant Cloud's own address.
const VAGRANT_CLOUD: &str = "https://vagrantcloud.com/api/v2";

/// The variables that may hold the token; the second has its name from before Vagrant Cloud.
const TOKENS: [&str; 2] = ["VAGRANT_CLOUD_TOKEN", "ATLAS_TOKEN"];

late_fields! {
    /// The fields of `box_download_url`.
    pub UrlFields =
        ["BuildName", "BuilderType", "Provider", "ArtifactId", "Architecture"] and the build;
}

/// The options of `vagrant-cloud`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The box, which must exist: `user/name`.
    pub box_tag: String,
    /// The version of the box. One that exists gets another provider.
    pub version: String,
    /// What people read of the version, in Markdown.
    pub version_description: String,
    /// Uploads the box, and does not release the version.
    pub no_release: bool,
    /// The architecture of the machine, as Go names it. Default: what the box says.
    pub architecture: String,
    /// The architecture that those get who ask for none.
    pub default_architecture: String,
    /// The token that lets in. Default: `VAGRANT_CLOUD_TOKEN` of the environment, or `ATLAS_TOKEN`.
    /// Vagrant Cloud itself needs one.
    pub access_token: Option<Secret>,
    /// Another server with the same interface. Default: `https://vagrantcloud.com/api/v2`.
    pub vagrant_cloud_url: String,
    /// Takes any certificate; of another server only.
    pub insecure_skip_tls_verify: bool,
    /// Where the box is: it is not uploaded then. `{{.Provider}}`, `{{.ArtifactId}}` and
    /// `{{.Architecture}}` are filled in.
    pub box_download_url: Option<Late<UrlFields>>,
    /// The digest that `vagrant` should find: `sha256:…`.
    pub box_checksum: String,
    /// Uploads through the server, and not straight to where it stores boxes. What is larger than 5 GiB
    /// goes that way anyway.
    pub no_direct_upload: bool,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct VagrantCloud {
    own: Options,
    url: String,
    token: Option<Secret>,
    /// The digest's type, and the digest.
    checksum: Option<(String, String)>,
    /// Whether the token comes from a variable whose name is out of use.
    warns: bool,
}

impl Component for VagrantCloud {
    const TYPE: &'static str = "vagrant-cloud";
    const ABOUT: &'static str = "Publishes a Vagrant box on Vagrant Cloud.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        for (option, value) in [("box_tag", &own.box_tag), ("version", &own.version)] {
            if value.is_empty() {
                check.missing(option, "say what is published");
            }
        }
        let is_own = own.vagrant_cloud_url.is_empty();
        let url = if is_own { VAGRANT_CLOUD } else { own.vagrant_cloud_url.trim_end_matches('/') };
        let url = url.to_owned();
        if let Err(error) = url::Url::parse(&url) {
            check.error("vagrant_cloud_url", format!("{url:?} is no URL: {error}"));
        }
        let environment = &check.facts.scope.environment;
        let set = TOKENS.into_iter().find_map(|name| Some((name, environment.get(name)?)));
        let set = set.map(|(name, value)| (name, Secret::new(value)));
        let warns =
            own.access_token.is_none() && set.as_ref().is_some_and(|(name, _)| *name == TOKENS[1]);
        let token = own.access_token.clone().or(set.map(|(_, token)| token));
        let token = token.filter(|token| !token.is_empty());
        match &token {
            Some(token) => check.redactor.register(token.expose()),
            None if url == VAGRANT_CLOUD => {
                check.missing("access_token", "give it, or set VAGRANT_CLOUD_TOKEN");
            }
            None => {}
        }
        let checksum = checked(&own.box_checksum, check);
        Some(Self { own, url, token, checksum, warns })
    }
}

fn checked(text: &str, check: &mut Check<'_>) -> Option<(String, String)> {
    match text.split_once(':') {
        Some((kind, digest)) => Some((kind.to_owned(), digest.to_owned())),
        None => {
            if !text.is_empty() {
                check.error("box_checksum", "it is written with its type: `sha256:…`");
            }
            None
        }
    }
}

#[async_trait]
impl PostProcessor for VagrantCloud {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let published = self.published(cx, &*input).await?;
        if self.warns {
            cx.ui.error("Warning: the token is the one in ATLAS_TOKEN; set VAGRANT_CLOUD_TOKEN");
        }
        let insecure = self.own.insecure_skip_tls_verify && self.url != VAGRANT_CLOUD;
        let api = Api::new(&self.url, self.token.clone(), insecure)?;
        self.publish(cx, &api, &published).await?;
        let provider = &published.provider;
        let artifact = Version { description: format!("'{provider}': {}", self.own.box_tag) };
        Ok(Processed { artifact: Some(Arc::new(artifact)), keep_input: true, keep_forced: false })
    }
}

/// What is published.
struct Published {
    file: PathBuf,
    provider: String,
    architecture: String,
    download_url: Option<String>,
}

impl VagrantCloud {
    /// What is published of `input`.
    async fn published(
        &self,
        cx: &PostProcessContext,
        input: &dyn Artifact,
    ) -> anyhow::Result<Published> {
        let is_artifice = input.builder_id() == artifice::BUILDER_ID;
        ensure!(
            is_artifice || [vagrant::BUILDER_ID, "vagrant"].contains(&input.builder_id()),
            "Unknown artifact type: this post-processor requires an input artifact from the artifice \
             post-processor, vagrant post-processor, or vagrant builder: {}",
            input.builder_id()
        );
        let files = input.files();
        let file = files.first().filter(|file| file.extension().is_some_and(|end| end == "box"));
        let file = file.context(
            "Unknown files in artifact, Vagrant box with .box suffix is required as first artifact file",
        )?;
        let needs_metadata = is_artifice || self.own.architecture.is_empty();
        let metadata = match needs_metadata {
            true => {
                let path = file.clone();
                blocking(&cx.cancel, move |cancel| Metadata::of(&path, cancel)).await?
            }
            false => Metadata::default(),
        };
        let architecture = match self.own.architecture.as_str() {
            "" => metadata.architecture.context(
                "the box's metadata.json does not say its architecture: give `architecture`",
            )?,
            given => given.to_owned(),
        };
        let provider = match is_artifice {
            true => {
                metadata.provider.context("the box's metadata.json does not say its provider")?
            }
            false if input.id() == "vmware" => "vmware_desktop".to_owned(),
            false => input.id(),
        };
        let mut dot = dot(&cx.facts);
        dot.insert("Provider".into(), provider.clone().into());
        dot.insert("ArtifactId".into(), input.id().into());
        dot.insert("Architecture".into(), architecture.clone().into());
        let url = self.own.box_download_url.as_ref();
        let url = url.map(|url| url.render(&cx.facts.scope, &dot)).transpose();
        let download_url = url.context("cannot render `box_download_url`")?;
        Ok(Published { file: file.clone(), provider, architecture, download_url })
    }

    async fn publish(
        &self,
        cx: &PostProcessContext,
        api: &Api,
        published: &Published,
    ) -> anyhow::Result<()> {
        let Options { box_tag, version, .. } = &self.own;
        or_cancelled(&cx.cancel, self.version(cx, api)).await??;
        let providers = format!("box/{box_tag}/version/{version}/providers");
        let Published { provider, architecture, .. } = published;
        cx.ui.say(format!("Creating provider: {provider}"));
        let made = api.post(&providers, &self.provider(published)).await;
        made.context("Error creating provider")?;
        let path = format!("box/{box_tag}/version/{version}/provider/{provider}/{architecture}");
        let rest = async {
            if published.download_url.is_none() {
                self.upload(&cx.ui, api, &path, &published.file).await?;
            }
            self.release(&cx.ui, api).await
        };
        let Err(error) = or_cancelled(&cx.cancel, rest).await.map_err(Into::into).flatten() else {
            return Ok(());
        };
        // Without its box nobody can use it, and another run could not make it.
        cx.ui.say(format!("Deleting provider: {provider}"));
        if let Err(error) = api.delete(&path).await {
            cx.ui.error(format!("Error destroying provider: {error:#}"));
        }
        Err(error)
    }

    /// Sees to it that there is the version.
    async fn version(&self, cx: &PostProcessContext, api: &Api) -> anyhow::Result<()> {
        let Options { box_tag, version, version_description, .. } = &self.own;
        cx.ui.say(format!("Verifying box is accessible: {box_tag}"));
        let found = api.get(&format!("box/{box_tag}")).await.context("Error retrieving box")?;
        let tag = found.get("tag").and_then(|tag| tag.as_str()).unwrap_or_default();
        ensure!(tag == box_tag, "Could not verify box: {box_tag}; the server has {tag:?}");
        cx.ui.say(format!("Creating version: {version}"));
        let versions = found.get("versions").and_then(|all| all.as_array()).into_iter().flatten();
        if versions.into_iter().any(|one| one.get("version").is_some_and(|is| is == version)) {
            cx.ui.say("Version exists, skipping creation");
            return Ok(());
        }
        let mut body = json!({ "version": version });
        if !version_description.is_empty() {
            body["description"] = version_description.as_str().into();
        }
        let made = api.post(&format!("box/{box_tag}/versions"), &json!({ "version": body })).await;
        made.context("Error creating version").map(drop)
    }

    /// The provider, as the server is told it.
    fn provider(&self, published: &Published) -> serde_json::Value {
        let Published { provider, architecture, download_url, .. } = published;
        let mut body = json!({ "name": provider, "architecture": architecture });
        if *architecture == self.own.default_architecture {
            body["default_architecture"] = true.into();
        }
        if let Some(url) = download_url {
            body["url"] = url.as_str().into();
        }
        if let Some((kind, digest)) = &self.checksum {
            body["checksum_type"] = kind.as_str().into();
            body["checksum"] = digest.as_str().into();
        }
        json!({ "provider": body })
    }

    async fn upload(&self, ui: &Ui, api: &Api, path: &str, file: &Path) -> anyhow::Result<()> {
        let size = tokio::fs::metadata(file).await.with_context(|| file.display().to_string())?;
        let is_direct = !self.own.no_direct_upload && size.len() <= api::LARGEST_DIRECT;
        if !is_direct && !self.own.no_direct_upload {
            ui.say(
                "The box is too large to go straight to the storage: it goes through the server",
            );
        }
        ui.say(format!("Preparing upload of box: {}", file.display()));
        let end = if is_direct { "/upload/direct" } else { "/upload" };
        let prepared = api.get(&format!("{path}{end}")).await.context("Error preparing upload")?;
        let upload = Upload::of(&prepared, is_direct)?;
        ui.say(format!("Uploading box: {}", file.display()));
        api.upload(&upload, file, ui).await.context("Error uploading box")?;
        if let Some(callback) = &upload.callback {
            ui.say("Confirming direct box upload completion");
            api.confirm(callback).await.context("Error confirming upload")?;
        }
        Ok(())
    }

    async fn release(&self, ui: &Ui, api: &Api) -> anyhow::Result<()> {
        let Options { box_tag, version, no_release, .. } = &self.own;
        if *no_release {
            ui.say(format!("Not releasing version {version}, as `no_release` says"));
            return Ok(());
        }
        ui.say(format!("Releasing version: {version}"));
        match api.put(&format!("box/{box_tag}/version/{version}/release")).await {
            Ok(()) => ui.say("Version successfully released and available"),
            Err(error) if error.to_string().contains("already been released") => {
                ui.say("Not releasing version, already released");
            }
            Err(error) => bail!(error.context("Error releasing version")),
        }
        Ok(())
    }
}

/// A version of a box with a server. It stays there whatever becomes of this artifact.
struct Version {
    description: String,
}

#[async_trait]
impl Artifact for Version {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        String::new()
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
