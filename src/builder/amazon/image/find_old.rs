//! AMIs that have the name of the new one: where the template or `-force` says so, they give way.

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use futures::future::try_join_all;

use crate::aws::allow::Regions;
use crate::aws::image::own_by_name;
use crate::aws::image_usage::users_of_one;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Finds the account's AMIs that the new ones replace.
pub(crate) struct FindOld {
    imaging: Imaging,
}

/// What is replaced, and where.
#[derive(Clone, Debug)]
pub(crate) struct Old {
    pub region: String,
    pub image: Image,
}

impl FindOld {
    pub(crate) fn new(imaging: &Imaging) -> Self {
        Self { imaging: imaging.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        let looks = at.look(&["DescribeImages"]);
        settings.force.then_some(looks).into_iter().collect()
    }
}

#[async_trait]
impl Step for FindOld {
    type Output = Vec<Old>;

    fn name(&self) -> &'static str {
        "find old AMIs"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<Old>> {
        old_images(cx, &self.imaging).await
    }
}

/// The AMIs that the build replaces, wherever it leaves one.
pub(super) async fn old_images(cx: &BuildContext, imaging: &Imaging) -> anyhow::Result<Vec<Old>> {
    if !imaging.settings.force {
        return Ok(Vec::new());
    }
    let regions = imaging.settings.copies.regions(imaging.build.account.region());
    let looks = regions.into_iter().map(async |region| {
        let found =
            own_by_name(&imaging.build.ec2_in(cx, &region), &imaging.settings.ami.ami_name).await?;
        let old = |image| Old { region: region.clone(), image };
        anyhow::Ok(found.into_iter().map(old).collect::<Vec<_>>())
    });
    Ok(try_join_all(looks).await?.concat())
}

/// Refuses to replace AMIs that are in use, unless the template does not mind.
pub(super) async fn refuse_used(
    cx: &BuildContext,
    imaging: &Imaging,
    all: &[Old],
) -> anyhow::Result<()> {
    if imaging.settings.ami.force_deregister_in_use {
        return Ok(());
    }
    let looks = all.iter().map(async |Old { region, image }| {
        let id = image.image_id().unwrap_or_default();
        let users = users_of_one(&imaging.build.ec2_in(cx, region), id).await?;
        if !users.is_empty() {
            bail!(
                "{id}, the AMI called `{}` in {region}, is in use and not replaced: {}; set \
                 `force_deregister_in_use` to replace it all the same",
                imaging.settings.ami.ami_name,
                users.join(", ")
            );
        }
        Ok(())
    });
    try_join_all(looks).await?;
    Ok(())
}
