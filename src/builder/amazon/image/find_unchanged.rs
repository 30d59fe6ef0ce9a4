//! Is there an AMI that was made from the same? Then none is made.

use std::cmp::Reverse;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{Image, Tag};
use futures::future::try_join_all;

use crate::aws::build_tags::Mark;
use crate::aws::image::{creation, filter, matching};
use crate::aws::tags::{self, tag};
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::unchanged::{self, Earlier, tell};
use crate::component::{BuildContext, SkipUnchanged};
use crate::fingerprint::{Brief, MadeFrom, Record};
use crate::step::Step;

/// The tag that says which build made an AMI.
const IMAGE_TAG: &str = "imgbake:image";
/// The tag that says what it was made from, as one number.
const NUMBER_TAG: &str = "imgbake:made-from";
/// The tags that say so part by part begin with this.
const PARTS_TAG: &str = "imgbake:parts";
/// The characters of a tag's value, and how many tags we take of the 50 that an AMI may have.
const LONGEST_VALUE: usize = 256;
const MOST_PARTS: usize = 5;
/// The characters in all of them; at the end of each there may be too few for a part.
const MOST_CHARACTERS: usize = MOST_PARTS * (LONGEST_VALUE - 16);

/// Looks for the newest finished AMI of the same build.
pub(crate) struct FindUnchanged {
    imaging: Imaging,
    source: SourceAmi,
    wanted: SkipUnchanged,
}

/// The tags that say what an AMI is made from, where somebody wants to skip what is unchanged.
pub(super) async fn tags_of(cx: &BuildContext, source: &SourceAmi) -> Vec<Tag> {
    let Some(MadeFrom { build, number, parts }) = made_from(cx, source).await else {
        return Vec::new();
    };
    let parts = Brief::parse([parts.as_str()]).to_texts(LONGEST_VALUE).into_iter().enumerate();
    let parts = parts.map(|(index, text)| tag(format!("{PARTS_TAG}-{index}"), text));
    [tag(IMAGE_TAG, build), tag(NUMBER_TAG, number)].into_iter().chain(parts).collect()
}

/// What an AMI is made from, where somebody wants to skip what is unchanged.
pub(crate) async fn made_from(cx: &BuildContext, source: &SourceAmi) -> Option<MadeFrom> {
    cx.skip_unchanged?;
    let record = unchanged::record(cx, source.id()).await.ok()?;
    Some(MadeFrom::new(&cx.facts.unique_name, &record, MOST_CHARACTERS))
}

impl FindUnchanged {
    pub(crate) fn new(imaging: &Imaging, source: &SourceAmi, wanted: SkipUnchanged) -> Self {
        Self { imaging: imaging.clone(), source: source.clone(), wanted }
    }

    /// The finished AMIs of this build in `region`, the newest first.
    async fn earlier(&self, cx: &BuildContext, region: &str) -> anyhow::Result<Vec<Image>> {
        let filters = vec![
            filter(format!("tag:{IMAGE_TAG}"), [&cx.facts.unique_name]),
            filter("state", ["available"]),
        ];
        let images = matching(&self.imaging.build.ec2_in(cx, region), filters).await;
        let mut images = images.with_context(|| format!("cannot look for AMIs in {region}"))?;
        images.retain(|image| {
            // The filter knows patterns; and what has our tags still is not finished.
            tags::value(image.tags(), IMAGE_TAG) == Some(&cx.facts.unique_name)
                && Mark::of(image.tags()).is_none()
        });
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
            let number = Some(record.number());
            let is_same = |image: &&Image| tags::value(image.tags(), NUMBER_TAG) == number;
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

/// What `image` says that it was made from.
fn earlier(image: &Image) -> Earlier {
    let tag = |key: &str| tags::value(image.tags(), key).unwrap_or_default().to_owned();
    let parts = image.tags().iter();
    let parts = parts.filter(|tag| tag.key().is_some_and(|key| key.starts_with(PARTS_TAG)));
    let mut parts: Vec<_> = parts.filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    parts.sort_unstable();
    let parts = parts.into_iter().map(|(_, text)| text).collect();
    let made_from = MadeFrom { build: tag(IMAGE_TAG), number: tag(NUMBER_TAG), parts };
    Earlier { shown: shown(image), made_from, made_at: creation(image) }
}

fn of(region: &str, image: &Image) -> MadeImage {
    let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
    MadeImage::new(region, id, name, image)
}
