//! When the AMI may go, and when it may not: its deprecation, its protection from deregistration.

use async_trait::async_trait;
use aws_smithy_types::DateTime;
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Sets both in every region. It comes late: what is protected is done.
pub(crate) struct SetLifetime {
    imaging: Imaging,
    images: Vec<MadeImage>,
}

impl SetLifetime {
    pub(crate) fn new(imaging: &Imaging, images: &[MadeImage]) -> Self {
        Self { imaging: imaging.clone(), images: images.to_vec() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        let ami = &settings.ami;
        let mut all = Vec::new();
        if !ami.deprecate_at.is_empty() {
            all.push(at.everywhere(&["image"], &["EnableImageDeprecation"]));
        }
        if ami.deregistration_protection.is_on() {
            all.push(at.everywhere(
                &["image"],
                &[
                    "EnableImageDeregistrationProtection",
                    // A build that fails after that has to take its AMI back.
                    "DisableImageDeregistrationProtection",
                ],
            ));
        }
        all
    }

    async fn deprecate(&self, cx: &BuildContext, image: &MadeImage) -> anyhow::Result<()> {
        let Some(at) = self.imaging.settings.ami.deprecated_from()? else { return Ok(()) };
        cx.ui.say(format!("Deprecating {} from {at}", image.id));
        let ec2 = self.imaging.build.ec2_in(cx, &image.region).expecting([&image.id]);
        let request = ec2.enable_image_deprecation().image_id(&image.id);
        let request = request.deprecate_at(DateTime::from_secs(at.as_second()));
        ec2.call("EnableImageDeprecation", |_| request.clone().send()).await?;
        Ok(())
    }

    async fn protect(&self, cx: &BuildContext, image: &MadeImage) -> anyhow::Result<()> {
        let protection = &self.imaging.settings.ami.deregistration_protection;
        if !protection.is_on() {
            return Ok(());
        }
        cx.ui.say(format!("Protecting {} from being deregistered", image.id));
        let ec2 = self.imaging.build.ec2_in(cx, &image.region).expecting([&image.id]);
        let request = ec2.enable_image_deregistration_protection().image_id(&image.id);
        let request = request.with_cooldown(protection.with_cooldown);
        ec2.call("EnableImageDeregistrationProtection", |_| request.clone().send()).await?;
        Ok(())
    }
}

#[async_trait]
impl Step for SetLifetime {
    type Output = ();

    fn name(&self) -> &'static str {
        "set the AMI's lifetime"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let all = self.images.iter().map(async |image| {
            self.deprecate(cx, image).await?;
            self.protect(cx, image).await
        });
        join_all(all).await.into_iter().collect()
    }
}
