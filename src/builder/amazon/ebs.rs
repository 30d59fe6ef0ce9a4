//! The `amazon-ebs` builder: an EC2 instance started from an AMI, provisioned, stopped, and
//! made into an AMI of its own by EC2.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::types::BlockDeviceMapping;
use schemars::JsonSchema;
use serde::Deserialize;

use super::artifact::Amis;
use super::block_device::{self, BlockDevice};
use super::build::{Build, BuildOptions};
use super::image::{
    self, AbandonedAmi, CheckName, CreateImage, EnableFastLaunch, FastLaunchOptions, ImageOptions,
    ImageRunTags, Imaging, MadeImage,
};
use super::machine::{self, Bake, MachineOptions, SetAttributes, Stopped};
use super::pairing::{AtWork, Decided, Known, Pairing};
use super::source_ami::SourceAmi;
use crate::aws;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component, PastImage,
    PastQuery,
};
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::step::Steps;

/// What artifacts of this builder are known by.
const BUILDER_ID: &str = "mitchellh.amazonebs";

/// Makes an AMI from an instance.
#[derive(Debug)]
pub struct AmazonEbs {
    pair: Pairing,
    own: EbsOptions,
}

/// The options that only `amazon-ebs` has.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EbsOptions {
    /// Whether the build ends without making an AMI.
    pub skip_create_ami: bool,
    /// Disks of the machine that differ from those of the source AMI.
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// Whether instance stores are kept out of the AMI (`xvdca` to `xvdcz` are mapped to nothing).
    pub no_ephemeral: bool,
    /// Windows only: instances that EC2 starts ahead of time, so that later ones come up sooner.
    pub fast_launch: FastLaunchOptions,
}

impl Component for AmazonEbs {
    const TYPE: &'static str = "amazon-ebs";
    const ABOUT: &'static str =
        "Starts an EC2 instance from an AMI, provisions it, stops it, and makes an AMI of it.";
    const BUILD_DATA: &'static [&'static str] = SOURCE_AMI_DATA;
    type Options = (BuildOptions, MachineOptions, ImageOptions, ImageRunTags, EbsOptions);

    fn lint((_, machine, image, _, own): &Self::Options, check: &mut Check<'_>) {
        machine.lint(check);
        if !own.skip_create_ami {
            image.lint_volumes(&own.launch_block_device_mappings, check);
        }
    }

    fn prepare(
        (build, machine, image, run_tags, own): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        let devices = own.launch_block_device_mappings.clone();
        devices.iter().for_each(|device| device.check("launch_block_device_mappings", check));
        let decided = Decided {
            disks: devices,
            needs_hvm: machine.networking.needs_hvm(),
            tags_image: !run_tags.skip_ami_run_tags,
            ..Decided::default()
        };
        own.fast_launch.check(&build.access.region, &image.copies, check);
        let pair = Pairing::prepare((build, machine, image), decided, check)?;
        Some(Self { pair, own })
    }
}

#[async_trait]
impl Builder for AmazonEbs {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn makes(&self) -> Option<&'static str> {
        Some(BUILDER_ID)
    }

    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        Ok(machine::bake(cx, self).await?.map(|amis| Arc::new(amis) as Arc<dyn Artifact>))
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.pair.machine.run.user_data_file.iter().cloned().collect())
    }

    fn skips(&self) -> Result<(), &'static str> {
        if self.own.skip_create_ami {
            Err("`skip_create_ami` leaves nothing to compare")
        } else {
            Ok(())
        }
    }

    fn can_test(&self) -> bool {
        !self.own.skip_create_ami && self.pair.connects()
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        self.pair.test(cx, image).await
    }

    fn permissions_to_test(&self, environment: &Environment) -> Vec<Permission> {
        self.pair.permissions_to_test(environment)
    }

    fn can_keep(&self) -> bool {
        true
    }

    fn is_of_image(&self, option: &str) -> bool {
        image::is_option(option)
    }

    fn permissions_to_keep(&self, environment: &Environment) -> Vec<Permission> {
        self.pair.permissions_to_keep(&self.pair.regions(environment))
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        let Pairing { machine, image, .. } = &self.pair;
        let at = self.pair.regions(environment);
        let mut all = self.pair.permissions(&at);
        if !self.own.skip_create_ami {
            all.extend(SetAttributes::permissions(machine, &at));
            all.extend(CreateImage::permissions(&image.disks.ami_block_device_mappings, &at));
            all.extend(EnableFastLaunch::permissions(&self.own.fast_launch, &at));
            all.extend(self.pair.image_permissions(false, &at));
        }
        all
    }

    async fn past(&self, query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        self.pair.past(query).await
    }

    fn permissions_to_look(&self, environment: &Environment) -> Vec<Permission> {
        self.pair.permissions_to_look(environment)
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        self.pair.cleaner(cx)
    }
}

#[async_trait]
impl Bake for AmazonEbs {
    type Made = Option<Amis>;

    fn options(&self) -> &Arc<BuildOptions> {
        &self.pair.build
    }

    /// The steps, in order. Those that do not need each other run at the same time.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Option<Amis>> {
        let at_work = &self.pair.at_work(build);
        let known = match at_work.find_unchanged(cx, steps, BUILDER_ID, true).await? {
            Known::Artifact(unchanged) => return Ok(unchanged),
            Known::Source(source) => source,
        };
        let imaging = &at_work.imaging;
        let abandoned = self.abandoned(cx, imaging).await;
        let name = abandoned.as_ref().map(AbandonedAmi::name);
        let name = (!self.own.skip_create_ami).then(|| CheckName::new(imaging, name));
        let (source, network) = at_work.look_around(steps, name, known, true).await?;
        let adopted = match abandoned {
            Some(abandoned) => adopt(cx, steps, imaging, &source, abandoned).await?,
            None => None,
        };
        let (image, instance) = match adopted {
            Some(adopted) => adopted,
            None => {
                let make = |stopped| self.image(cx, steps, at_work, &source, stopped);
                let made = at_work.make(cx, steps, (&source, &network), make).await?;
                let (Some(image), instance) = made else { return Ok(None) };
                (image, instance)
            }
        };
        at_work.test(cx, steps, &image).await?;
        let images = at_work.copy(steps, &source, image).await?;
        let fast_launch = &self.own.fast_launch;
        steps.run(EnableFastLaunch::new(imaging, fast_launch, &images)).await?;
        at_work.hand_over(cx, steps, BUILDER_ID, (&source, &instance), images).await
    }
}

impl AmazonEbs {
    /// The image of a machine that is stopped; `None` if none is wanted.
    async fn image(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        AtWork { machine, imaging }: &AtWork,
        source: &SourceAmi,
        stopped: Stopped,
    ) -> anyhow::Result<Option<MadeImage>> {
        if self.own.skip_create_ami {
            cx.ui.say("No AMI is made: `skip_create_ami` is set");
            return Ok(None);
        }
        steps.run(SetAttributes::new(machine, &stopped)).await?;
        let number = cx.fingerprint.number().await;
        let create = |naming| {
            CreateImage::new(imaging, source, &stopped, number.clone(), self.disks(), naming)
        };
        image::make(steps, imaging, create).await.map(Some)
    }

    /// What a dead run has left of this build.
    async fn abandoned(&self, cx: &BuildContext, imaging: &Imaging) -> Option<AbandonedAmi> {
        if self.own.skip_create_ami { None } else { AbandonedAmi::find(cx, imaging).await }
    }

    /// The disks of the image that differ from those of the machine.
    fn disks(&self) -> Vec<BlockDeviceMapping> {
        let mut disks = block_device::mappings(&self.pair.image.disks.ami_block_device_mappings);
        if self.own.no_ephemeral {
            disks.extend(('a'..='z').map(|letter| {
                let device = format!("xvdc{letter}");
                BlockDeviceMapping::builder().device_name(device).no_device("").build()
            }));
        }
        disks
    }
}

/// The AMI that a dead run has left, with the machine that it was made of, if this build would make
/// the same.
async fn adopt(
    cx: &BuildContext,
    steps: &Steps<'_>,
    imaging: &Imaging,
    source: &SourceAmi,
    abandoned: AbandonedAmi,
) -> anyhow::Result<Option<(MadeImage, String)>> {
    match abandoned.adopt(cx, imaging, source).await? {
        Some(adoption) => {
            let instance = adoption.instance();
            Ok(Some((steps.run(adoption).await?, instance)))
        }
        // Then its name must be free.
        None => steps.run(CheckName::new(imaging, None)).await.map(|()| None),
    }
}
