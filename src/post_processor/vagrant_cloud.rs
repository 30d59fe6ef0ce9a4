//! `vagrant-cloud`: publishes a Vagrant box on Vagrant Cloud, or on a server that speaks as it does.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::boxes::api::{Api, Upload};
use super::boxes::{self, BoxOptions, BoxToPublish, PublishedBox};
use crate::component::{
    Artifact, BuildContext, Check, Component, PostProcessContext, PostProcessor, Processed,
};
use crate::event::Ui;
use crate::retry::or_cancelled;
use crate::secret::Secret;

/// The id of what this makes.
pub const BUILDER_ID: &str = "pearkes.post-processor.vagrant-cloud";

/// Vagrant Cloud's own address.
const VAGRANT_CLOUD: &str = "https://vagrantcloud.com/api/v2";

/// The variables that may hold the token; the second has its name from before Vagrant Cloud.
const TOKENS: [&str; 2] = ["VAGRANT_CLOUD_TOKEN", "ATLAS_TOKEN"];

/// The options of `vagrant-cloud`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The box, which must exist: `user/name`.
    pub box_tag: String,
    /// What people read of the version, in Markdown.
    pub version_description: String,
    /// The token that lets in. Default: `VAGRANT_CLOUD_TOKEN` of the environment, or `ATLAS_TOKEN`.
    /// Vagrant Cloud itself needs one.
    pub access_token: Option<Secret>,
    /// Another server with the same interface. Default: `https://vagrantcloud.com/api/v2`.
    pub vagrant_cloud_url: String,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct VagrantCloud {
    own: Options,
    of_box: BoxOptions,
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
    type Options = (Options, BoxOptions);

    fn prepare((own, of_box): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        of_box.check_named(&own.box_tag, check);
        let is_own = own.vagrant_cloud_url.is_empty();
        let url = if is_own { VAGRANT_CLOUD } else { own.vagrant_cloud_url.trim_end_matches('/') };
        let url = url.to_owned();
        boxes::check_url("vagrant_cloud_url", &url, check);
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
        let checksum = of_box.check_sum(check);
        Some(Self { own, of_box, url, token, checksum, warns })
    }
}

#[async_trait]
impl PostProcessor for VagrantCloud {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let published = BoxToPublish::of(cx, &*input, &self.of_box).await?;
        if self.warns {
            cx.ui.error("Warning: the token is the one in ATLAS_TOKEN; set VAGRANT_CLOUD_TOKEN");
        }
        let api = self.api()?;
        self.publish(cx, &api, &published).await?;
        Ok(PublishedBox::processed(BUILDER_ID, &published.provider, &self.own.box_tag))
    }

    /// Another server need not know this request.
    async fn try_out(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.token.is_none() {
            return Ok(());
        }
        let api = self.api()?;
        let known = or_cancelled(&cx.cancel, api.find("authenticate")).await?;
        known.map(drop).with_context(|| format!("the token is not verified by {}", self.url))
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        boxes::not_a_box(builder_id)
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

impl VagrantCloud {
    /// The server.
    fn api(&self) -> anyhow::Result<Api> {
        let insecure = self.of_box.insecure_skip_tls_verify && self.url != VAGRANT_CLOUD;
        Api::new(&self.url, self.token.clone(), insecure)
    }

    async fn publish(
        &self,
        cx: &PostProcessContext,
        api: &Api,
        published: &BoxToPublish,
    ) -> anyhow::Result<()> {
        let (box_tag, version) = (&self.own.box_tag, &self.of_box.version);
        or_cancelled(&cx.cancel, self.version(cx, api)).await??;
        let providers = format!("box/{box_tag}/version/{version}/providers");
        let BoxToPublish { provider, architecture, .. } = published;
        cx.ui.say(format!("Creating provider: {provider}"));
        let made = api.post(&providers, &self.provider(published)).await;
        made.context("Error creating provider")?;
        let path = format!("box/{box_tag}/version/{version}/provider/{provider}/{architecture}");
        let rest = async {
            if published.download_url.is_none() {
                self.upload(&cx.ui, api, &path, published).await?;
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
        let Options { box_tag, version_description, .. } = &self.own;
        let version = &self.of_box.version;
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
    fn provider(&self, published: &BoxToPublish) -> serde_json::Value {
        let BoxToPublish { provider, architecture, download_url, .. } = published;
        let mut body = json!({ "name": provider, "architecture": architecture });
        if *architecture == self.of_box.default_architecture {
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

    async fn upload(
        &self,
        ui: &Ui,
        api: &Api,
        path: &str,
        published: &BoxToPublish,
    ) -> anyhow::Result<()> {
        let file = &published.file;
        let is_direct = published.uploads_directly(&self.of_box, ui).await?;
        ui.say(format!("Preparing upload of box: {}", file.display()));
        let end = if is_direct { "/upload/direct" } else { "/upload" };
        let prepared = api.get(&format!("{path}{end}")).await.context("Error preparing upload")?;
        let text = |name: &str| prepared.get(name).and_then(Json::as_str).map(str::to_owned);
        let url = text("upload_path").context("the server does not say where the box goes")?;
        let callback = text("callback").filter(|_| is_direct);
        ensure!(
            callback.is_some() || !is_direct,
            "the server does not say what to call after the upload"
        );
        ui.say(format!("Uploading box: {}", file.display()));
        let to = Upload { url, is_presigned: is_direct };
        api.upload(&to, file, ui).await.context("Error uploading box")?;
        if let Some(callback) = callback {
            ui.say("Confirming direct box upload completion");
            api.confirm(&callback).await.context("Error confirming upload")?;
        }
        Ok(())
    }

    async fn release(&self, ui: &Ui, api: &Api) -> anyhow::Result<()> {
        let (box_tag, version) = (&self.own.box_tag, &self.of_box.version);
        if self.of_box.no_release {
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
