//! What the servers that have Vagrant boxes have in common: which box of an artifact is published, and how
//! it gets there.
//!
//! | file | what is there |
//! |---|---|
//! | `api` | requests to such a server, and the upload of a box |
//! | `metadata` | what a box says of itself |

pub(super) mod api;
mod metadata;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use self::metadata::Metadata;
use super::{artifice, blocking, dot, vagrant};
use crate::component::{Artifact, Check, PostProcessContext, Processed};
use crate::config::{Late, late_fields};
use crate::event::Ui;
use crate::peer::PeerName;
use crate::web;

/// What the builder `vagrant` calls its boxes.
const VAGRANT_BUILDER: &str = "vagrant";

late_fields! {
    /// The fields of `box_download_url`.
    pub UrlFields =
        ["BuildName", "BuilderType", "Provider", "ArtifactId", "Architecture"] and the build;
}

/// What every such server is told of a box, and how it is talked to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BoxOptions {
    /// The version of the box. One that exists gets the provider, too; else it is made.
    pub version: String,
    /// Uploads the box, and does not release the version.
    pub no_release: bool,
    /// The architecture of the machine, as Go names it. Default: what the box says.
    pub architecture: String,
    /// The architecture that those get who ask for none.
    pub default_architecture: String,
    /// Where the box is: it is not uploaded then. `{{.Provider}}`, `{{.ArtifactId}}` and
    /// `{{.Architecture}}` are filled in.
    pub box_download_url: Option<Late<UrlFields>>,
    /// The digest that `vagrant` should find: `sha256:…`.
    pub box_checksum: String,
    /// Uploads through the server, and not straight to where it stores boxes. What is larger than 5 GiB
    /// goes that way anyway. Either way takes a box in one piece: one that breaks off is sent again from
    /// its start.
    pub no_direct_upload: bool,
    /// Takes any certificate; of another server only.
    pub insecure_skip_tls_verify: bool,
}

impl BoxOptions {
    /// Reports what is missing of the name of what is published, which is called `tag`.
    pub(super) fn check_named(&self, tag: &str, check: &mut Check<'_>) {
        for (option, value) in [("box_tag", tag), ("version", &self.version)] {
            if value.is_empty() {
                check.missing(option, "say what is published");
            }
        }
    }

    /// `box_checksum` taken apart: the digest's type, and the digest.
    pub(super) fn check_sum(&self, check: &mut Check<'_>) -> Option<(String, String)> {
        match self.box_checksum.split_once(':') {
            Some((kind, digest)) => Some((kind.to_owned(), digest.to_owned())),
            None => {
                if !self.box_checksum.is_empty() {
                    check.error("box_checksum", "it is written with its type: `sha256:…`");
                }
                None
            }
        }
    }
}

/// Reports what is wrong with the address `url` of a server that `option` gives.
pub(super) fn check_url(option: &str, url: &str, check: &mut Check<'_>) {
    if let Err(error) = web::safe(url) {
        check.error(option, format!("{url:?} cannot be used: {error:#}"));
    }
}

/// Why no artifact of this builder id is a box, if that is so.
pub(super) fn not_a_box(builder_id: &str) -> Option<String> {
    let is_box = [artifice::BUILDER_ID, vagrant::BUILDER_ID, VAGRANT_BUILDER].contains(&builder_id);
    (!is_box).then(|| {
        format!(
            "Unknown artifact type: this post-processor requires an input artifact from the artifice \
             post-processor, vagrant post-processor, or vagrant builder: {builder_id}"
        )
    })
}

/// A box that is published.
pub(super) struct BoxToPublish {
    pub(super) file: PathBuf,
    pub(super) provider: String,
    pub(super) architecture: String,
    /// Where it is already.
    pub(super) download_url: Option<String>,
}

impl BoxToPublish {
    /// The box of `input`, as the `options` say.
    pub(super) async fn of(
        cx: &PostProcessContext,
        input: &dyn Artifact,
        options: &BoxOptions,
    ) -> anyhow::Result<Self> {
        let BoxOptions { architecture, box_download_url: url, .. } = options;
        let is_artifice = input.builder_id() == artifice::BUILDER_ID;
        let files = input.files();
        let file = files.first().filter(|file| file.extension().is_some_and(|end| end == "box"));
        let file = file.context(
            "Unknown files in artifact, Vagrant box with .box suffix is required as first artifact file",
        )?;
        let needs_metadata = is_artifice || architecture.is_empty();
        let metadata = match needs_metadata {
            true => {
                let path = file.clone();
                blocking(&cx.cancel, move |cancel| Metadata::of(&path, cancel)).await?
            }
            false => Metadata::default(),
        };
        let architecture = match architecture.as_str() {
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
        let architecture = in_address("architecture", architecture)?;
        let provider = in_address("provider", provider)?;
        let mut dot = dot(&cx.facts);
        dot.insert("Provider".into(), provider.clone().into());
        dot.insert("ArtifactId".into(), input.id().into());
        dot.insert("Architecture".into(), architecture.clone().into());
        let url = url.as_ref().map(|url| url.render(&cx.facts.scope, &dot)).transpose();
        let download_url = url.context("cannot render `box_download_url`")?;
        Ok(Self { file: file.clone(), provider, architecture, download_url })
    }

    /// Whether it goes straight to the storage behind the server, unless the `options` forbid that.
    pub(super) async fn uploads_directly(
        &self,
        options: &BoxOptions,
        ui: &Ui,
    ) -> anyhow::Result<bool> {
        let is_forbidden = options.no_direct_upload;
        let size = tokio::fs::metadata(&self.file).await;
        let size = size.with_context(|| self.file.display().to_string())?.len();
        let is_straight = !is_forbidden && size <= api::LARGEST_DIRECT;
        if !is_straight && !is_forbidden {
            ui.say(
                "The box is too large to go straight to the storage: it goes through the server",
            );
        }
        Ok(is_straight)
    }
}

/// `name`, which becomes part of the address of requests that bear the user's token: it must not lead
/// to another address, and the box may be anybody's.
fn in_address(what: &str, name: String) -> anyhow::Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    PeerName::new(&name).with_context(|| format!("the box's {what} cannot be used"))?;
    ensure!(
        name.chars().all(is_plain),
        "the box's {what} {name:?} cannot be used: it may have letters, digits and `-_.+`"
    );
    Ok(name)
}

/// A version of a box with a server. It stays there whatever becomes of this artifact.
pub(super) struct PublishedBox {
    builder_id: &'static str,
    description: String,
}

impl PublishedBox {
    /// What is left of the post-processor `builder_id`: the box `tag` for `provider` is published.
    pub(super) fn processed(builder_id: &'static str, provider: &str, tag: &str) -> Processed {
        let artifact = Self { builder_id, description: format!("'{provider}': {tag}") };
        Processed { artifact: Some(Arc::new(artifact)), keep_input: true, keep_forced: false }
    }
}

#[async_trait]
impl Artifact for PublishedBox {
    fn builder_id(&self) -> &str {
        self.builder_id
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
