//! Tags of the AMI and its snapshots, in every region.

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::Tag;
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::tags;
use crate::builder::amazon::build::{BuildOptions, render_tags};
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::mark_tested::mark_tested;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Writes `tags` on AMIs and snapshots, and `snapshot_tags` on the snapshots alone.
pub(crate) struct TagImages {
    imaging: Imaging,
    source: SourceAmi,
    images: Vec<MadeImage>,
}

impl TagImages {
    pub(crate) fn new(imaging: &Imaging, source: &SourceAmi, images: &[MadeImage]) -> Self {
        Self { imaging: imaging.clone(), source: source.clone(), images: images.to_vec() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(
        build: &BuildOptions,
        settings: &ImageSettings,
        at: &Regions,
    ) -> Vec<Permission> {
        let ami = &settings.ami;
        let maps = [&ami.tags, &ami.snapshot_tags];
        let blocks = [&ami.tag, &ami.snapshot_tag];
        let is_tagged = (settings.takes_run_tags && build.run_tags.are_given())
            || maps.iter().any(|map| !map.is_empty())
            || blocks.iter().any(|blocks| !blocks.is_empty());
        let tag = || at.everywhere(&["image", "snapshot"], &["CreateTags"]);
        is_tagged.then(tag).into_iter().collect()
    }

    /// The tags of snapshots: those of the run, of the AMI and their own; the last one wins.
    fn for_snapshots(&self, cx: &BuildContext, of_ami: &[Tag]) -> anyhow::Result<Vec<Tag>> {
        let ami = &self.imaging.settings.ami;
        let own =
            render_tags(cx, &self.source, "snapshot_tags", &ami.snapshot_tags, &ami.snapshot_tag)?;
        let run = match self.imaging.takes_run_tags() {
            true => self.imaging.build.run_tags(cx, &self.source)?,
            false => Vec::new(),
        };
        let mut merged: Vec<Tag> = Vec::new();
        for tag in run.iter().chain(of_ami).chain(&own) {
            merged.retain(|known| known.key() != tag.key());
            merged.push(tag.clone());
        }
        Ok(merged)
    }

    async fn write(
        &self,
        cx: &BuildContext,
        region: &str,
        ids: &[String],
        tags: &[Tag],
    ) -> anyhow::Result<()> {
        if ids.is_empty() || tags.is_empty() {
            return Ok(());
        }
        cx.ui.say(format!("Tagging {} in {region}", ids.join(", ")));
        let tagged = tags::put(&self.imaging.build.ec2_in(cx, region), ids, tags).await;
        tagged.with_context(|| format!("cannot tag {}", ids.join(", ")))?;
        Ok(())
    }
}

#[async_trait]
impl Step for TagImages {
    type Output = ();

    fn name(&self) -> &'static str {
        "tag the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let ami = &self.imaging.settings.ami;
        let of_ami = render_tags(cx, &self.source, "tags", &ami.tags, &ami.tag)?;
        let of_snapshots = self.for_snapshots(cx, &of_ami)?;
        let writes = self.images.iter().map(async |image| {
            let id = std::slice::from_ref(&image.id);
            self.write(cx, &image.region, id, &of_ami).await?;
            if cx.provisioning.has_tests() {
                let ec2 = self.imaging.build.ec2_in(cx, &image.region);
                mark_tested(cx, &ec2, &image.id).await;
            }
            self.write(cx, &image.region, &image.snapshots, &of_snapshots).await
        });
        join_all(writes).await.into_iter().collect()
    }
}
