//! Is there an AMI that was made from the same? Then none is made.

use std::cmp::Reverse;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{Image, Tag};
use futures::future::try_join_all;

use crate::aws::build_tags::Mark;
use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::image::{creation, filter, matching};
use crate::aws::tags::{self, tag};
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::record_tags;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::unchanged::{self, EarlierImage, tell};
use crate::component::{BuildContext, SkipUnchanged};
use crate::fingerprint::{MadeFrom, Record};
use crate::step::Step;

/// The tag that says which build made an AMI.
const IMAGE_TAG: &str = "imgbake:image";

/// Looks for the newest finished AMI of the same build.
pub(crate) struct FindUnchanged {
    imaging: Imaging,
    source: SourceAmi,
    wanted: SkipUnchanged,
}

/// The finished AMIs of `build` there.
pub(crate) async fn finished(ec2: &Ec2, build: &str) -> Result<Vec<Image>, ApiError> {
    let filters = vec![filter(format!("tag:{IMAGE_TAG}"), [build]), filter("state", ["available"])];
    let mut images = matching(ec2, filters).await?;
    // The filter knows patterns; and what has our tags still is not finished.
    images.retain(|image| {
        tags::value(image.tags(), IMAGE_TAG) == Some(build) && Mark::of(image.tags()).is_none()
    });
    Ok(images)
}

/// What `image` says that it was made from.
pub(crate) fn said_by(image: &Image) -> MadeFrom {
    let build = tags::value(image.tags(), IMAGE_TAG).unwrap_or_default().to_owned();
    MadeFrom { build, ..record_tags::read(image.tags()) }
}

/// Takes the tags off the AMI `id` that say what it was made from. Where the credentials may not do that, it
/// says that no build has made it.
pub(super) async fn forget_made_from(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    let ids = [id.to_owned()];
    let keys: Vec<_> = [IMAGE_TAG.to_owned()].into_iter().chain(record_tags::keys()).collect();
    match tags::remove(ec2, &ids, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Err(error) if error.meaning == Meaning::Denied => {
            tags::put(ec2, &ids, &[tag(IMAGE_TAG, "")]).await
        }
        removed => removed,
    }
}

/// The tags that say what an AMI is made from, where somebody wants to skip what is unchanged.
pub(super) async fn tags_of(cx: &BuildContext, source: &SourceAmi) -> Vec<Tag> {
    let Some(made_from) = made_from(cx, source).await else { return Vec::new() };
    [tag(IMAGE_TAG, &made_from.build)].into_iter().chain(record_tags::of(&made_from)).collect()
}

/// What an AMI is made from, where somebody wants to skip what is unchanged.
pub(crate) async fn made_from(cx: &BuildContext, source: &SourceAmi) -> Option<MadeFrom> {
    cx.skip_unchanged?;
    let record = unchanged::record(cx, source.id()).await.ok()?;
    Some(record_tags::made_from(&cx.facts.unique_name, &record))
}

impl FindUnchanged {
    pub(crate) fn new(imaging: &Imaging, source: &SourceAmi, wanted: SkipUnchanged) -> Self {
        Self { imaging: imaging.clone(), source: source.clone(), wanted }
    }

    /// The finished AMIs of this build in `region`, the newest first.
    async fn earlier(&self, cx: &BuildContext, region: &str) -> anyhow::Result<Vec<Image>> {
        let ec2 = self.imaging.build.ec2_in(cx, region);
        let images = finished(&ec2, &cx.facts.unique_name).await;
        let mut images = images.with_context(|| format!("cannot look for AMIs in {region}"))?;
        images.sort_by_key(|image| Reverse(creation(image)));
        Ok(images)
    }

    /// Why an AMI is made, or what is to be said where all are there, and they.
    async fn judge(
        &self,
        cx: &BuildContext,
        record: &Record,
    ) -> anyhow::Result<Result<(String, Vec<MadeImage>), String>> {
        let own = self.imaging.build.account.region();
        let regions = self.imaging.settings.copies.regions(own);
        let there = try_join_all(regions.iter().map(|region| self.earlier(cx, region))).await?;
        let mut same = Vec::new();
        for (region, images) in regions.iter().zip(&there) {
            let number = Some(record.digest());
            let is_same =
                |image: &&Image| tags::value(image.tags(), record_tags::NUMBER_TAG) == number;
            match (images.iter().find(is_same), images.first()) {
                (Some(image), _) => same.push((region, image)),
                (None, _) if !same.is_empty() => {
                    return Ok(Err(format!("its copy in {region} is not there")));
                }
                (None, Some(newest)) => {
                    let changed = earlier(newest).changes(record);
                    return Ok(Err(changed.unwrap_or_default()));
                }
                (None, None) => break,
            }
        }
        let Some(&(_, first)) = same.first() else {
            return Ok(Err("no finished AMI of this build was found".to_owned()));
        };
        let oldest = same.iter().map(|&(_, image)| image).min_by_key(|image| creation(image));
        if let Some(why) = oldest.and_then(|image| earlier(image).too_old(&self.wanted)) {
            return Ok(Err(why));
        }
        same.sort_by_key(|(region, _)| *region);
        let made = same.into_iter().map(|(region, image)| of(region, image));
        Ok(Ok((format!("{} was made from the same", shown(first)), made.collect())))
    }
}

#[async_trait]
impl Step for FindUnchanged {
    /// AMIs that were made from the same, one in each region.
    type Output = Option<Vec<MadeImage>>;

    fn name(&self) -> &'static str {
        "look for an AMI that was made from the same"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Vec<MadeImage>>> {
        let record = unchanged::record(cx, self.source.id()).await?;
        let (verdict, images) = match self.judge(cx, &record).await? {
            Ok((why, images)) => (Ok(why), Some(images)),
            Err(why) => (Err(why), None),
        };
        tell(cx, &self.wanted, &verdict);
        Ok(images)
    }
}

fn shown(image: &Image) -> String {
    let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
    format!("{id} (`{name}`)")
}

/// An AMI that may have been made from the same.
fn earlier(image: &Image) -> EarlierImage {
    EarlierImage { shown: shown(image), made_from: said_by(image), made_at: creation(image) }
}

fn of(region: &str, image: &Image) -> MadeImage {
    let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
    MadeImage::new(region, id, name, image)
}
