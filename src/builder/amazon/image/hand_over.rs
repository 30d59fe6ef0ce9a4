//! The AMIs are handed over: from now on they are nobody's garbage.

use anyhow::Context as _;
use async_trait::async_trait;
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::build_tags::hand_over;
use crate::builder::amazon::image::find_unchanged::forget_made_from;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::Imaging;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Takes off the tags that say that the AMIs are not finished. It comes last. The journal says first
/// that they are: whoever is killed in between leaves AMIs that are found again, and kept.
pub(crate) struct HandOver {
    imaging: Imaging,
    images: Vec<MadeImage>,
    /// Whether they have failed their tests, and stay to be looked at.
    have_failed: bool,
}

impl HandOver {
    pub(crate) fn new(imaging: &Imaging, images: &[MadeImage]) -> Self {
        Self { imaging: imaging.clone(), images: images.to_vec(), have_failed: false }
    }

    /// The same for an AMI that has failed its tests: no later run takes it for one that is good.
    pub(crate) fn failed(imaging: &Imaging, image: &MadeImage) -> Self {
        Self { have_failed: true, ..Self::new(imaging, std::slice::from_ref(image)) }
    }

    /// What the account must allow for it. Only some AMIs have snapshots with our tags.
    pub(crate) fn permissions(has_own_snapshots: bool, at: &Regions) -> Vec<Permission> {
        let snapshots = || at.on(&["snapshot"], &["DeleteTags"]);
        let mut all = vec![at.everywhere(&["image"], &["DeleteTags"])];
        all.extend(has_own_snapshots.then(snapshots));
        all
    }
}

#[async_trait]
impl Step for HandOver {
    type Output = ();

    fn name(&self) -> &'static str {
        "hand the AMI over"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.have_failed {
            // First: once the journal says that it is finished, a cleanup hands it over as it is.
            self.forget(cx).await?;
        }
        let written = cx.journal.finished(&cx.facts.unique_name).await;
        written.context("the journal cannot say that the AMI is finished")?;
        let each = self.images.iter().map(async |image| {
            let ids: Vec<_> =
                [&image.id].into_iter().chain(&image.own_snapshots).cloned().collect();
            let handed_over = hand_over(&self.imaging.build.ec2_in(cx, &image.region), &ids).await;
            handed_over.with_context(|| format!("cannot take our own tags off {}", image.id))
        });
        join_all(each).await.into_iter().collect()
    }
}

impl HandOver {
    /// Has the AMIs say no more what they were made from.
    async fn forget(&self, cx: &BuildContext) -> anyhow::Result<()> {
        for image in &self.images {
            let ec2 = self.imaging.build.ec2_in(cx, &image.region);
            let forgotten = forget_made_from(&ec2, &image.id).await;
            forgotten
                .with_context(|| format!("cannot take off {} what it was made from", image.id))?;
        }
        Ok(())
    }
}
