//! `vagrant-registry`: publishes a Vagrant box in HashiCorp's box registry (HCP).

mod login;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use self::login::Login;
use super::boxes::api::{Api, Upload};
use super::boxes::{self, BoxOptions, BoxToPublish, PublishedBox};
use crate::component::{
    Artifact, BuildContext, Check, Component, PostProcessContext, PostProcessor, Processed,
};
use crate::event::Ui;
use crate::peer::PeerName;
use crate::retry::or_cancelled;
use crate::secret::Secret;

/// The id of what this makes.
pub const BUILDER_ID: &str = "hashicorp.post-processor.vagrant-registry";

/// HCP's own address.
const HCP: &str = "api.cloud.hashicorp.com:443";

/// How long the server may take to make a box, as it reads durations.
const BOX_WAIT: &str = "60s";

/// The options of `vagrant-registry`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The box: `registry/name`. It is made if it is not there.
    pub box_tag: String,
    /// What people read of a box that is made.
    pub box_description: String,
    /// Makes a box that only its owners see.
    pub box_private: bool,
    /// What people read of a version that is made, in Markdown.
    pub version_description: String,
    /// The id of the service principal that logs in. Default: `HCP_CLIENT_ID` of the environment. HCP
    /// itself needs one.
    pub client_id: String,
    /// Its secret. Default: `HCP_CLIENT_SECRET` of the environment.
    pub client_secret: Option<Secret>,
    /// Another server with the same interface: `host:port`, or a URL. Default: `HCP_API_ADDRESS` of the
    /// environment, or `api.cloud.hashicorp.com:443`.
    pub hcp_api_address: String,
    /// The server that lets in. Default: `HCP_AUTH_URL` of the environment, or
    /// `https://auth.idp.hashicorp.com`.
    pub hcp_auth_url: String,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct VagrantRegistry {
    own: Options,
    of_box: BoxOptions,
    /// The registry, and the box in it.
    registry: String,
    name: String,
    url: String,
    /// How to log in; `None` where the server lets everybody in.
    login: Option<Login>,
    /// The digest's type, and the digest.
    checksum: Option<(String, String)>,
}

impl Component for VagrantRegistry {
    const TYPE: &'static str = "vagrant-registry";
    const ABOUT: &'static str = "Publishes a Vagrant box in the HCP Vagrant Box Registry.";
    type Options = (Options, BoxOptions);

    fn prepare((own, of_box): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        of_box.check_named(&own.box_tag, check);
        let (registry, name) = own.box_tag.split_once('/').unwrap_or_default();
        if !own.box_tag.is_empty() && (registry.is_empty() || name.is_empty()) {
            check.error("box_tag", "it must include the registry and the box: `registry/name`");
        }
        let environment = check.facts.scope.environment.clone();
        let or_variable = |given: &str, variable: &str, usual: &str| {
            let known = Some(given).filter(|given| !given.is_empty());
            known.or_else(|| environment.get(variable)).unwrap_or(usual).to_owned()
        };
        let address = or_variable(&own.hcp_api_address, "HCP_API_ADDRESS", HCP);
        let is_hcp = address == HCP;
        if is_hcp && of_box.insecure_skip_tls_verify {
            check.error("insecure_skip_tls_verify", "it cannot be enabled for HCP");
        }
        let url = if address.contains("://") { address } else { format!("https://{address}") };
        let url = url.trim_end_matches('/').to_owned();
        let login = check_login(&own, is_hcp, &or_variable, check);
        boxes::check_url("hcp_api_address", &url, check);
        let checksum = of_box.check_sum(check);
        let (registry, name) = (registry.to_owned(), name.to_owned());
        Some(Self { registry, name, url, login, checksum, own, of_box })
    }
}

/// Who logs in, if anybody does.
fn check_login(
    own: &Options,
    is_hcp: bool,
    or_variable: &impl Fn(&str, &str, &str) -> String,
    check: &mut Check<'_>,
) -> Option<Login> {
    let id = or_variable(&own.client_id, "HCP_CLIENT_ID", "");
    let given = own.client_secret.as_ref().map_or("", Secret::expose);
    let secret = Secret::new(or_variable(given, "HCP_CLIENT_SECRET", ""));
    check.redactor.register(secret.expose());
    let url = or_variable(&own.hcp_auth_url, "HCP_AUTH_URL", login::HCP);
    boxes::check_url("hcp_auth_url", &url, check);
    let is_known = !id.is_empty() && !secret.is_empty();
    if is_hcp && id.is_empty() {
        check.missing("client_id", "give it, or set HCP_CLIENT_ID");
    }
    if is_hcp && secret.is_empty() {
        check.missing("client_secret", "give it, or set HCP_CLIENT_SECRET");
    }
    is_known.then_some(Login { url, id, secret })
}

#[async_trait]
impl PostProcessor for VagrantRegistry {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let published = BoxToPublish::of(cx, &*input, &self.of_box).await?;
        or_cancelled(&cx.cancel, self.publish(cx, &published)).await??;
        Ok(PublishedBox::processed(BUILDER_ID, &published.provider, &self.own.box_tag))
    }

    async fn try_out(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        let token = login.token(self.of_box.insecure_skip_tls_verify);
        cx.redactor.register(or_cancelled(&cx.cancel, token).await??.expose());
        Ok(())
    }

    fn refuses(&self, builder_id: &str) -> Option<String> {
        boxes::not_a_box(builder_id)
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

/// Which version is published, and whether people can have it already.
struct Release {
    path: String,
    is_out: bool,
}

impl VagrantRegistry {
    async fn publish(
        &self,
        cx: &PostProcessContext,
        published: &BoxToPublish,
    ) -> anyhow::Result<()> {
        let insecure = self.of_box.insecure_skip_tls_verify;
        let token = match &self.login {
            Some(login) => Some(login.token(insecure).await?),
            None => None,
        };
        if let Some(token) = &token {
            cx.redactor.register(token.expose());
        }
        let api = Api::new(&self.url, token, insecure)?;
        self.make_box(&cx.ui, &api).await?;
        let version = self.make_version(&cx.ui, &api).await?;
        let provider = self.make_provider(&cx.ui, &api, &version, published).await?;
        let place = self.make_architecture(&api, &provider, published).await?;
        if published.download_url.is_none() {
            self.upload(&cx.ui, &api, &place, published).await?;
        }
        self.release(&cx.ui, &api, &version).await
    }

    /// What `path` is called in the interface.
    fn path(&self, path: &str) -> String {
        format!("vagrant/2022-09-30/registry/{}/{path}", self.registry)
    }

    /// Sees to it that there is the box.
    async fn make_box(&self, ui: &Ui, api: &Api) -> anyhow::Result<()> {
        let tag = &self.own.box_tag;
        let found = api.find(&self.path(&format!("box/{}", self.name))).await;
        if found.context("Failure retrieving box")?.is_some() {
            ui.say(format!("Found box and verified accessible: {tag}"));
            return Ok(());
        }
        let body = json!({
            "name": self.name,
            "description": self.own.box_description,
            "is_private": self.own.box_private,
        });
        let made = api.post(&self.path("boxes"), &body).await;
        let made = made.context("Failure creating new box")?;
        ui.say(format!("Created new box: {tag}"));
        ui.say("Waiting for box to become available...");
        wait_for_box(api, &made).await.context("the box is made, but cannot be waited for")
    }

    /// Sees to it that there is the version.
    async fn make_version(&self, ui: &Ui, api: &Api) -> anyhow::Result<Release> {
        let version = &self.of_box.version;
        let path = self.path(&format!("box/{}/version/{version}", self.name));
        let found = api.find(&path).await.context("Failure retrieving version")?;
        let answer = match found {
            Some(found) => {
                ui.say("Version exists, skipping creation");
                found
            }
            None => {
                let body = json!({ "name": version, "description": self.own.version_description });
                let versions = self.path(&format!("box/{}/versions", self.name));
                let made = api.post(&versions, &body).await;
                let made = made.context("Failure creating new version")?;
                ui.say(format!("Created new version: {version}"));
                made
            }
        };
        let answer = answer.get("version").context("Invalid response body for the version")?;
        let state = answer.get("state").and_then(Json::as_str);
        Ok(Release { path, is_out: state.is_some_and(|state| state != "UNRELEASED") })
    }

    /// Sees to it that the version has the provider; its path.
    async fn make_provider(
        &self,
        ui: &Ui,
        api: &Api,
        version: &Release,
        published: &BoxToPublish,
    ) -> anyhow::Result<String> {
        let provider = &published.provider;
        let path = format!("{}/provider/{provider}", version.path);
        if api.find(&path).await.context("Failure retrieving provider")?.is_some() {
            ui.say("Provider exists, skipping creation");
            return Ok(path);
        }
        let providers = format!("{}/providers", version.path);
        let made = api.post(&providers, &json!({ "name": provider })).await;
        made.context("Failure creating new provider")?;
        ui.say(format!("Created new provider: {provider}"));
        Ok(path)
    }

    /// Sees to it that the provider has the architecture; its path.
    async fn make_architecture(
        &self,
        api: &Api,
        provider: &str,
        published: &BoxToPublish,
    ) -> anyhow::Result<String> {
        let architecture = &published.architecture;
        let path = format!("{provider}/architecture/{architecture}");
        let mut data = match &self.checksum {
            Some((kind, digest)) => {
                json!({ "checksum_type": kind.to_uppercase(), "checksum": digest })
            }
            None => json!({ "checksum_type": "NONE" }),
        };
        if let Some(url) = &published.download_url {
            data["download_url"] = url.as_str().into();
        }
        let found = api.find(&path).await.context("Failure retrieving architecture")?;
        if found.is_some() {
            let replaced = api.replace(&path, &json!({ "box_data": data })).await;
            replaced.context("Failure updating existing architecture")?;
            return Ok(path);
        }
        let body = json!({
            "architecture_type": architecture,
            "default": *architecture == self.of_box.default_architecture,
            "box_data": data,
        });
        let made = api.post(&format!("{provider}/architectures"), &body).await;
        made.context("Failure creating new architecture")?;
        Ok(path)
    }

    async fn upload(
        &self,
        ui: &Ui,
        api: &Api,
        place: &str,
        published: &BoxToPublish,
    ) -> anyhow::Result<()> {
        let file = &published.file;
        let is_direct = published.uploads_directly(&self.of_box, ui).await?;
        ui.say(format!("Preparing upload of box: {}", file.display()));
        let end = if is_direct { "direct/upload" } else { "upload" };
        let prepared = api.get(&format!("{place}/{end}")).await;
        let prepared = prepared.context("Failure preparing upload")?;
        let text = |name: &str| prepared.get(name).and_then(Json::as_str);
        let url = text("url").context("the server does not say where the box goes")?.to_owned();
        let object = match text("object").filter(|_| is_direct) {
            Some(object) => Some(PeerName::new(object)?),
            None if is_direct => bail!("the server does not say what the uploaded box is called"),
            None => None,
        };
        ui.say(format!("Uploading box: {}", file.display()));
        let uploaded = api.upload(&Upload { url, is_presigned: true }, file, ui).await;
        uploaded.context("Failed to upload box asset")?;
        ui.say("Box successfully uploaded");
        if let Some(object) = object {
            let confirmed = api.put(&format!("{place}/direct/complete/{}", object.as_str())).await;
            confirmed.context("Failure confirming upload")?;
        }
        Ok(())
    }

    async fn release(&self, ui: &Ui, api: &Api, version: &Release) -> anyhow::Result<()> {
        if self.of_box.no_release {
            ui.say("Not releasing version due to configuration");
            return Ok(());
        }
        if version.is_out {
            ui.say("Version not in unreleased state, skipping release");
            return Ok(());
        }
        ui.say(format!("Releasing version: {}", self.of_box.version));
        let released = api.put(&format!("{}/release", version.path)).await;
        released.context("Failure releasing version")?;
        ui.say("Version successfully released and available");
        Ok(())
    }
}

/// Waits for the operation that makes a box, which the server's answer names.
async fn wait_for_box(api: &Api, made: &Json) -> anyhow::Result<()> {
    let text = |path: &str| -> anyhow::Result<PeerName> {
        let text = made.pointer(path).and_then(Json::as_str);
        let text = text.context("Please check HCP Vagrant for box status, and try again")?;
        Ok(PeerName::new(text)?)
    };
    let organization = text("/operation/location/organization_id")?;
    let project = text("/operation/location/project_id")?;
    let operation = text("/operation/id")?;
    let path = format!(
        "operation/2020-05-05/organizations/{}/projects/{}/operations/{}/wait?timeout={BOX_WAIT}",
        organization.as_str(),
        project.as_str(),
        operation.as_str()
    );
    let answer = api.get(&path).await?;
    let operation = answer.get("operation").context("the server does not say what it has done")?;
    if let Some(said) = operation.pointer("/error/message").and_then(Json::as_str) {
        let said = crate::guest::harmless(said.as_bytes());
        bail!("Box creation operation reported a failure: {said}");
    }
    match operation.get("state").and_then(Json::as_str) {
        Some("DONE") => Ok(()),
        _ => bail!("it is not there after {BOX_WAIT}: verify it in HCP Vagrant and try again"),
    }
}
