//! The AMI that a builder makes, whatever it is made of: what may spare making it, and what becomes of it.

use std::sync::Arc;

use super::artifact::Amis;
use super::build::{Build, BuildOptions};
use super::check_account::CheckAccount;
use super::image::{self, CheckName, CopyImage, FindUnchanged, ImageSettings, Imaging, MadeImage};
use super::source_ami::SourceAmi;
use crate::aws::allow::Regions;
use crate::builder::unchanged;
use crate::component::BuildContext;
use crate::env::Environment;
use crate::permission::Permission;
use crate::step::Steps;

/// The AMI that a builder makes: in which account, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct AmiPlan {
    pub build: Arc<BuildOptions>,
    pub image: Arc<ImageSettings>,
}

impl AmiPlan {
    /// Where the build works.
    pub(super) fn regions(&self, environment: &Environment) -> Regions {
        self.build.regions(environment, &self.image.copies.ami_regions)
    }

    /// What the account must allow to begin with.
    pub(super) fn permissions_to_begin(&self, at: &Regions) -> Vec<Permission> {
        let looks_at_regions = !self.image.copies.skip_region_validation;
        let mut all = self.build.permissions();
        all.extend(CheckAccount::permissions(&self.build, looks_at_regions, at));
        all
    }

    /// What the account must allow for the AMI, beside the calls that make it; of snapshots that the
    /// build itself makes, if it does.
    pub(super) fn permissions_for_image(
        &self,
        has_own_snapshots: bool,
        at: &Regions,
    ) -> Vec<Permission> {
        let mut all = CheckName::permissions(&self.image, at);
        all.extend(image::permissions_to_make(&self.image, at));
        all.extend(CopyImage::permissions(&self.image, at));
        all.extend(image::permissions_to_finish(&self.build, &self.image, has_own_snapshots, at));
        all
    }

    /// The AMI in one build.
    pub(super) fn imaging(&self, build: &Build) -> Imaging {
        Imaging { build: build.clone(), settings: self.image.clone() }
    }
}

/// What a look for AMIs that were made from the same has found.
pub(super) enum Lookup {
    /// They are what the build leaves; or nothing is, where somebody only wants to know.
    Unchanged(Option<Amis>),
    /// The build goes on, with the source AMI if that was found on the way.
    Source(Option<SourceAmi>),
}

/// Looks for AMIs that were made from the same as one that is made of `source` now, if they are enough.
pub(super) async fn find_unchanged(
    cx: &BuildContext,
    steps: &Steps<'_>,
    imaging: &Imaging,
    builder_id: &'static str,
    source: impl Future<Output = anyhow::Result<SourceAmi>>,
) -> anyhow::Result<Lookup> {
    let Some(wanted) = unchanged::wanted(cx) else { return Ok(Lookup::Source(None)) };
    let source = source.await?;
    let found = steps.run(FindUnchanged::new(imaging, &source, wanted)).await?;
    Ok(match found {
        // Nothing is to come of it, a post-processor's work neither.
        _ if wanted.only_explains => Lookup::Unchanged(None),
        Some(images) => {
            let (account, data) = (imaging.build.account.clone(), source.build_data(""));
            let amis = Amis::new(builder_id, account, images, data).that_were_there();
            let made_from = image::made_from(cx, &source).await;
            Lookup::Unchanged(Some(amis.made_from(made_from)))
        }
        None => Lookup::Source(Some(source)),
    })
}

/// Finishes `images`, which were made on `instance`: what they are as an artifact; nothing if there are
/// none.
pub(super) async fn hand_over(
    cx: &BuildContext,
    steps: &Steps<'_>,
    imaging: &Imaging,
    builder_id: &'static str,
    (source, instance): (&SourceAmi, &str),
    images: Vec<MadeImage>,
) -> anyhow::Result<Option<Amis>> {
    image::finish(steps, imaging, source, &images).await?;
    let (account, data) = (imaging.build.account.clone(), source.build_data(instance));
    let made_from = image::made_from(cx, source).await;
    let is_made = !images.is_empty();
    let amis = || Amis::new(builder_id, account, images, data).made_from(made_from);
    Ok(is_made.then(amis))
}
