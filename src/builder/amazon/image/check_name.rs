//! Before anything is made: is the AMI's name free, and can its copies be used?

use anyhow::bail;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::image::own_by_name;
use crate::builder::amazon::image::find_old::{old_images, refuse_used};
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Refuses a build whose AMI could not be made, or could not be used.
pub(crate) struct CheckName {
    imaging: Imaging,
    /// The name of an AMI that may be there.
    abandoned: Option<String>,
}

impl CheckName {
    /// An AMI called `abandoned` may be there: a dead run has left it.
    pub(crate) fn new(imaging: &Imaging, abandoned: Option<&str>) -> Self {
        Self { imaging: imaging.clone(), abandoned: abandoned.map(str::to_owned) }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        let looks_for_name = settings.force || !settings.copies.skip_save_build_region;
        let looks_for_users = settings.force && !settings.ami.force_deregister_in_use;
        let calls = [
            ("DescribeImages", looks_for_name),
            ("DescribeInstances", looks_for_users),
            ("DescribeLaunchTemplateVersions", looks_for_users),
        ];
        calls.iter().filter(|(_, is_made)| *is_made).map(|(call, _)| at.look(&[call])).collect()
    }

    async fn check_name(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let settings = &self.imaging.settings;
        let name = &settings.ami.ami_name;
        if settings.force {
            cx.ui.say(format!("AMIs called `{name}` will give way to the new one if it is made"));
            let old = old_images(cx, &self.imaging).await?;
            return refuse_used(cx, &self.imaging, &old).await;
        }
        if settings.copies.skip_save_build_region || self.abandoned.as_ref() == Some(name) {
            return Ok(());
        }
        cx.ui.say(format!("Checking that no AMI is called `{name}`"));
        let known = own_by_name(&self.imaging.build.ec2(cx), name).await?;
        if let Some(known) = known.first() {
            bail!(
                "an AMI called `{name}` exists already in {}: {}; choose another `ami_name`, \
                 or set `force_deregister`",
                self.imaging.build.account.region(),
                known.image_id().unwrap_or_default(),
            );
        }
        Ok(())
    }
}

#[async_trait]
impl Step for CheckName {
    type Output = ();

    fn name(&self) -> &'static str {
        "check the AMI's name"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let settings = &self.imaging.settings;
        let own = self.imaging.build.account.region();
        settings.copies.refuse_useless(settings.shared_by(), own)?;
        self.check_name(cx).await
    }
}
