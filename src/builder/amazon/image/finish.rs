//! What happens to every new AMI: the last steps, in order.

use crate::aws::allow::Regions;
use crate::builder::amazon::build::BuildOptions;
use crate::builder::amazon::image::hand_over::HandOver;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::set_lifetime::SetLifetime;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::builder::amazon::image::share_images::ShareImages;
use crate::builder::amazon::image::tag_images::TagImages;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::permission::Permission;
use crate::step::Steps;

/// Shares and tags `images`, protects them, and hands them over.
pub(crate) async fn finish(
    steps: &Steps<'_>,
    imaging: &Imaging,
    source: &SourceAmi,
    images: &[MadeImage],
) -> anyhow::Result<()> {
    steps.run(ShareImages::new(imaging, images)).await?;
    steps.run(TagImages::new(imaging, source, images)).await?;
    steps.run(SetLifetime::new(imaging, images)).await?;
    steps.run(HandOver::new(imaging, images)).await
}

/// What the account must allow for it.
pub(crate) fn permissions(
    build: &BuildOptions,
    settings: &ImageSettings,
    has_own_snapshots: bool,
    at: &Regions,
) -> Vec<Permission> {
    let mut all = ShareImages::permissions(settings, at);
    all.extend(TagImages::permissions(build, settings, at));
    all.extend(SetLifetime::permissions(settings, at));
    all.extend(HandOver::permissions(has_own_snapshots, at));
    all
}
