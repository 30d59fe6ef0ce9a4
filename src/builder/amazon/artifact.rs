//! What a build leaves: an AMI in each region.

use std::path::PathBuf;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use crate::aws::account::Handle;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image;
use crate::aws::resource::snapshot;
use crate::builder::amazon::image::MadeImage;
use crate::component::Artifact;
use crate::fingerprint::MadeFrom;
use crate::interpolate::BuildData;

/// AMIs, by region.
pub(crate) struct Amis {
    builder_id: &'static str,
    account: Handle,
    images: Vec<MadeImage>,
    data: BuildData,
    /// Whether an earlier run has made them.
    were_there: bool,
    made_from: Option<MadeFrom>,
}

impl Amis {
    /// `images` of `account`, sorted by region, that the component of `builder_id` made from a machine
    /// which said `data` of itself.
    pub(super) fn new(
        builder_id: &'static str,
        account: Handle,
        images: Vec<MadeImage>,
        data: BuildData,
    ) -> Self {
        Self { builder_id, account, images, data, were_there: false, made_from: None }
    }

    /// The same, made by an earlier run.
    pub(super) fn that_were_there(self) -> Self {
        Self { were_there: true, ..self }
    }

    /// The same, with what they say that they were made from.
    pub(super) fn made_from(self, made_from: Option<MadeFrom>) -> Self {
        Self { made_from, ..self }
    }

    fn each(&self, separator: &str) -> impl Iterator<Item = String> {
        self.images.iter().map(move |image| format!("{}{separator}{}", image.region, image.id))
    }
}

#[async_trait]
impl Artifact for Amis {
    fn builder_id(&self) -> &str {
        self.builder_id
    }

    fn id(&self) -> String {
        self.each(":").collect::<Vec<_>>().join(",")
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn describe(&self) -> String {
        let lines: Vec<_> = self.each(": ").collect();
        let fate = if self.were_there { "unchanged" } else { "created" };
        format!("AMIs were {fate}:\n{}\n", lines.join("\n"))
    }

    fn state(&self, name: &str) -> Option<Json> {
        match name {
            "generated_data" => Some(Json::Object(self.data.clone().into_iter().collect())),
            "atlas.artifact.metadata" => {
                let entry = |image: &MadeImage| {
                    (format!("region.{}", image.region), Json::from(image.id.as_str()))
                };
                Some(Json::Object(self.images.iter().map(entry).collect::<Map<_, _>>()))
            }
            _ => None,
        }
    }

    fn build_data(&self) -> BuildData {
        self.data.clone()
    }

    fn made_from(&self) -> Option<MadeFrom> {
        self.made_from.clone()
    }

    fn was_there(&self) -> bool {
        self.were_there
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        for made in &self.images {
            let ec2 = self.account.ec2_in(&made.region, &CancellationToken::new());
            let image = image::by_id(&ec2, &made.id).await?;
            let image = image.with_context(|| {
                format!("there is no AMI {} in {} any more", made.id, made.region)
            })?;
            image::lift_protection(&ec2, &image).await?;
            remove(&ec2, &image, &made.own_snapshots).await?;
        }
        Ok(())
    }
}

/// Removes an AMI and the snapshots that EC2 or the build itself (its `own`) made for it. One that the
/// template has mapped into the AMI was there before, and stays.
async fn remove(ec2: &Ec2, image: &Image, own: &[String]) -> Result<(), ApiError> {
    let id = image.image_id().unwrap_or_default();
    image::deregister(ec2, id).await?;
    for snapshot in image::snapshots(image) {
        if own.contains(&snapshot) || snapshot::is_made_for(ec2, &snapshot, id).await? {
            image::delete_snapshot(ec2, &snapshot).await?;
        }
    }
    Ok(())
}
