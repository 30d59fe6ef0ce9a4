//! The `amazon-ebs` builder: an EC2 instance started from an AMI, provisioned, stopped, and
//! made into an AMI of its own by EC2.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::types::BlockDeviceMapping;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ami_builder::AmiBuilder;
use super::ami_plan::{self, AmiPlan, Lookup};
use super::artifact::Amis;
use super::block_device::{self, BlockDevice};
use super::build::{Build, BuildOptions};
use super::image::{
    self, AbandonedAmi, CheckName, CreateImage, EnableFastLaunch, FastLaunchOptions, ImageOptions,
    ImageRunTags, Imaging, MadeImage,
};
use super::machine::{MachineOptions, SetAttributes, StepList, Stopped};
use super::pairing::{PairChoices, Pairing, RunningPair};
use super::source_ami::SourceAmi;
use crate::aws::allow::Regions;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::component::{BuildContext, Check, Component};
use crate::permission::Permission;
use crate::step::Steps;

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
        let choices = PairChoices {
            disks: devices,
            needs_hvm: machine.networking.needs_hvm(),
            tags_image: !run_tags.skip_ami_run_tags,
            ..PairChoices::default()
        };
        own.fast_launch.check(&build.access.region, &image.copies, check);
        let pair = Pairing::prepare(build, machine, image, choices, check)?;
        Some(Self { pair, own })
    }
}

impl AmiBuilder for AmazonEbs {
    const BUILDER_ID: &'static str = "mitchellh.amazonebs";

    fn ami(&self) -> &AmiPlan {
        &self.pair.ami
    }

    fn pairing(&self) -> Option<&Pairing> {
        Some(&self.pair)
    }

    fn makes_no_ami(&self) -> Option<&'static str> {
        self.own.skip_create_ami.then_some("`skip_create_ami` leaves nothing to compare")
    }

    fn keeps_failed(&self) -> bool {
        true
    }

    fn permissions_to_build(&self, at: &Regions) -> Vec<Permission> {
        let Pairing { machine, ami } = &self.pair;
        let mut all = self.pair.permissions(at);
        if !self.own.skip_create_ami {
            let devices = &ami.image.disks.ami_block_device_mappings;
            all.extend(SetAttributes::permissions(machine, at));
            all.extend(CreateImage::permissions(devices, at));
            all.extend(EnableFastLaunch::permissions(&self.own.fast_launch, at));
            all.extend(ami.permissions_for_image(false, at));
        }
        all
    }
}

#[async_trait]
impl StepList for AmazonEbs {
    type Made = Option<Amis>;

    fn options(&self) -> &Arc<BuildOptions> {
        &self.pair.ami.build
    }

    /// The steps, in order. Those that do not need each other run at the same time.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Option<Amis>> {
        let running = &self.pair.running(build);
        let known = match running.find_unchanged(cx, steps, Self::BUILDER_ID, true).await? {
            Lookup::Unchanged(unchanged) => return Ok(unchanged),
            Lookup::Source(source) => source,
        };
        let imaging = &running.imaging;
        let abandoned = self.abandoned(cx, imaging).await;
        let name = abandoned.as_ref().map(AbandonedAmi::name);
        let name = (!self.own.skip_create_ami).then(|| CheckName::new(imaging, name));
        let (source, network) = running.look_around(steps, name, known, true).await?;
        let adopted = match abandoned {
            Some(abandoned) => adopt(cx, steps, imaging, &source, abandoned).await?,
            None => None,
        };
        let (image, instance) = match adopted {
            Some(adopted) => adopted,
            None => {
                let make = |stopped| self.image(cx, steps, running, &source, stopped);
                let made = running.make(cx, steps, &source, &network, make).await?;
                let (Some(image), instance) = made else { return Ok(None) };
                (image, instance)
            }
        };
        running.test(cx, steps, &image).await?;
        let images = running.copy(steps, &source, image).await?;
        let fast_launch = &self.own.fast_launch;
        steps.run(EnableFastLaunch::new(imaging, fast_launch, &images)).await?;
        let made = (&source, instance.as_str());
        ami_plan::hand_over(cx, steps, imaging, Self::BUILDER_ID, made, images).await
    }
}

impl AmazonEbs {
    /// The image of a machine that is stopped; `None` if none is wanted.
    async fn image(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        RunningPair { machine, imaging }: &RunningPair,
        source: &SourceAmi,
        stopped: Stopped,
    ) -> anyhow::Result<Option<MadeImage>> {
        if self.own.skip_create_ami {
            cx.ui.say("No AMI is made: `skip_create_ami` is set");
            return Ok(None);
        }
        steps.run(SetAttributes::new(machine, &stopped)).await?;
        let number = cx.fingerprint.digest().await;
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
        let mut disks =
            block_device::mappings(&self.pair.ami.image.disks.ami_block_device_mappings);
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
