//! Is there an AMI that was made from the same? Then none is made.

use std::cmp::Reverse;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{Image, Tag};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use crate::aws::build_tags::Mark;
use crate::aws::image::{creation, filter, matching};
use crate::aws::tags::{self, tag};
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{BuildContext, SkipUnchanged};
use crate::fingerprint::{Brief, Record};
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

/// Looks for the newest finished AMI of the same build.
pub(crate) struct FindUnchanged {
    imaging: Imaging,
    source: SourceAmi,
    wanted: SkipUnchanged,
}

/// The tags that say what an AMI is made from, where somebody wants to skip what is unchanged.
pub(super) async fn made_from(cx: &BuildContext, source: &SourceAmi) -> Vec<Tag> {
    if cx.skip_unchanged.is_none() {
        return Vec::new();
    }
    let Ok(record) = cx.fingerprint.record().await else { return Vec::new() };
    let record = record.with_source(source.id());
    let texts = record.brief().to_texts(LONGEST_VALUE);
    // With some of them only, all others would seem to be new.
    let texts = if texts.len() > MOST_PARTS { Vec::new() } else { texts };
    let parts = texts
        .into_iter()
        .enumerate()
        .map(|(index, text)| tag(format!("{PARTS_TAG}-{index}"), text));
    let own = [tag(IMAGE_TAG, &cx.facts.unique_name), tag(NUMBER_TAG, record.number())];
    own.into_iter().chain(parts).collect()
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

    /// What is to be said, and the AMIs if all of them are there.
    async fn judge(
        &self,
        cx: &BuildContext,
        record: &Record,
    ) -> anyhow::Result<(String, Option<Vec<MadeImage>>)> {
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
                    return Ok((format!("its copy in {region} is not there"), None));
                }
                (None, Some(newest)) => return Ok((changes(record, newest), None)),
                (None, None) => break,
            }
        }
        let Some(&(_, first)) = same.first() else {
            return Ok(("no finished AMI of this build was found".to_owned(), None));
        };
        let aged = same.iter().filter_map(|&(_, image)| Some((age(image)?, image)));
        if let (Some((age, image)), Some(most)) =
            (aged.max_by_key(|one| one.0), self.wanted.max_age)
            && age.is_positive()
            && age.unsigned_abs() > most
        {
            // Nobody wants its nanoseconds.
            let age = SignedDuration::from_secs(age.as_secs());
            return Ok((format!("{} is {age:#} old", shown(image)), None));
        }
        same.sort_by_key(|(region, _)| *region);
        let made = same.into_iter().map(|(region, image)| of(region, image));
        Ok((format!("{} was made from the same", shown(first)), Some(made.collect())))
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
        let record = cx.fingerprint.record().await;
        let record = record.context("what the build is made from cannot be read")?;
        let record = record.with_source(self.source.id());
        let (why, images) = self.judge(cx, &record).await?;
        let fate = match images {
            Some(_) => "Not baked",
            None if self.wanted.only_says => "It would be baked",
            None => "Baked",
        };
        cx.ui.say(format!("{fate}: {why}"));
        Ok(images)
    }
}

/// What has changed since `image` was made.
fn changes(record: &Record, image: &Image) -> String {
    let parts = image.tags().iter();
    let parts = parts.filter(|tag| tag.key().is_some_and(|key| key.starts_with(PARTS_TAG)));
    let mut parts: Vec<_> = parts.filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    if parts.is_empty() {
        return format!("something changed since {}", shown(image));
    }
    parts.sort_unstable();
    let older = Brief::parse(parts.into_iter().map(|(_, text)| text));
    let changes = record.changes_since(&older);
    let changed = match changes.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "something that has no name".to_owned(),
    };
    format!("{changed} changed since {}", shown(image))
}

fn shown(image: &Image) -> String {
    let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
    format!("{id} (`{name}`)")
}

fn age(image: &Image) -> Option<SignedDuration> {
    Some(Timestamp::now().duration_since(creation(image)?))
}

fn of(region: &str, image: &Image) -> MadeImage {
    let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
    MadeImage::new(region, id, name, image)
}
