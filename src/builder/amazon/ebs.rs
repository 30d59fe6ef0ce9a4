//! The `amazon-ebs` builder: an EC2 instance started from an AMI, provisioned, stopped, and
//! made into an AMI of its own by EC2.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::types::BlockDeviceMapping;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::join;

use super::artifact::Amis;
use super::block_device::{self, BlockDevice};
use super::build::{Build, BuildOptions};
use super::check_account::CheckAccount;
use super::image::{
    self, AbandonedAmi, CheckName, CheckSource, CopyImage, CreateImage, EnableFastLaunch,
    FastLaunchOptions, ImageOptions, ImageSettings, Imaging, MadeImage,
};
use super::machine::{
    self, Bake, FindNetwork, FindSourceAmi, Machine, MachineOptions, MachineSettings, Network,
    SetAttributes,
};
use super::source_ami::SourceAmi;
use crate::aws;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component,
};
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::step::Steps;

/// What artifacts of this builder are known by.

/// Makes an AMI from an instance.
#[derive(Debug)]
pub struct AmazonEbs {
    build: Arc<BuildOptions>,
    machine: Arc<MachineSettings>,
    image: Arc<ImageSettings>,
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
    type Options = (BuildOptions, MachineOptions, ImageOptions, EbsOptions);

    fn lint((_, machine, image, own): &Self::Options, check: &mut Check<'_>) {
        machine.lint(check);
        if !own.skip_create_ami {
            image.lint_volumes(&own.launch_block_device_mappings, check);
        }
    }

    fn prepare((build, machine, image, own): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        build.check(check);
        let devices = own.launch_block_device_mappings.clone();
        devices.iter().for_each(|device| device.check("launch_block_device_mappings", check));
        let networking = machine.networking.clone();
        let machine = machine.prepare(devices, check);
        let image = image.prepare(&build, &networking, check);
        own.fast_launch.check(&build.access.region, &image.copies, check);
        let (build, machine, image) = (Arc::new(build), Arc::new(machine?), Arc::new(image));
        Some(Self { build, machine, image, own })
    }
}

#[async_trait]
impl Builder for AmazonEbs {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        Ok(machine::bake(cx, self).await?.map(|amis| Arc::new(amis) as Arc<dyn Artifact>))
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.machine.run.user_data_file.iter().cloned().collect())
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        let (machine, image) = (&self.machine, &self.image);
        let at = self.build.regions(environment, &image.copies.ami_regions);
        let looks_at_regions = !image.copies.skip_region_validation;
        let mut all = self.build.permissions();
        all.extend(CheckAccount::permissions(&self.build, looks_at_regions, &at));
        all.extend(machine::permissions(machine, &at));
        if !self.own.skip_create_ami {
            all.extend(CheckName::permissions(image, &at));
            all.extend(SetAttributes::permissions(machine, &at));
            all.extend(image::permissions_to_make(image, &at));
            all.extend(CreateImage::permissions(&image.disks.ami_block_device_mappings, &at));
            all.extend(CopyImage::permissions(image, &at));
            all.extend(EnableFastLaunch::permissions(&self.own.fast_launch, &at));
            all.extend(image::permissions_to_finish(&self.build, image, &at));
        }
        all
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(Ec2Cleaner { access: self.build.access.clone(), cx: cx.clone() }))
    }
}

#[async_trait]
impl Bake for AmazonEbs {
    type Made = Option<Amis>;

    fn options(&self) -> &Arc<BuildOptions> {
        &self.build
    }

    /// The steps, in order. Those that do not need each other run at the same time.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Option<Amis>> {
        let machine = &Machine { build: build.clone(), settings: self.machine.clone() };
        let imaging = &Imaging { build, settings: self.image.clone() };
        let abandoned = self.abandoned(cx, imaging).await;
        let regions = imaging.settings.copies.regions_to_check();
        let (account, name, source, network) = join!(
            steps.run(CheckAccount::new(&machine.build, regions)),
            self.check_name(steps, imaging, abandoned.as_ref().map(AbandonedAmi::name)),
            find_source(steps, machine, imaging),
            steps.run(FindNetwork::new(machine)),
        );
        account?;
        name?;
        let (source, network) = (source?, network?);
        let adopted = match abandoned {
            Some(abandoned) => adopt(cx, steps, imaging, &source, abandoned).await?,
            None => None,
        };
        let made = match adopted {
            None => {
                self.make_on_new_machine(cx, steps, machine, imaging, &source, &network).await?
            }
            adopted => adopted,
        };
        let Some((image, instance)) = made else { return Ok(None) };
        let images = steps.run(CopyImage::new(imaging, &source, image)).await?;
        let fast_launch = &self.own.fast_launch;
        steps.run(EnableFastLaunch::new(imaging, fast_launch, &images)).await?;
        image::finish(steps, imaging, &source, &images).await?;
        let (account, data) = (machine.build.account.clone(), source.build_data(&instance));
        Ok((!images.is_empty()).then(|| Amis::new(account, images, data)))
    }
}

impl AmazonEbs {
    /// A machine is started, and an image made of it: both.
    async fn make_on_new_machine(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        machine: &Machine,
        imaging: &Imaging,
        source: &SourceAmi,
        network: &Network,
    ) -> anyhow::Result<Option<(MadeImage, String)>> {
        let started = machine::start(steps, machine, source, network).await?;
        let made = async {
            let stopped = machine::provision_and_stop(cx, steps, machine, source, &started).await?;
            if self.own.skip_create_ami {
                cx.ui.say("No AMI is made: `skip_create_ami` is set");
                return Ok(None);
            }
            steps.run(SetAttributes::new(machine, &stopped)).await?;
            let number = cx.fingerprint.number().await;
            let create = |naming| {
                let disks = self.disks();
                CreateImage::new(imaging, source, &stopped, number.clone(), disks, naming)
            };
            Ok(Some((image::make(steps, imaging, create).await?, stopped.id.clone())))
        };
        machine::explaining(cx, machine, &started.instance, made).await
    }

    /// What a dead run has left of this build.
    async fn abandoned(&self, cx: &BuildContext, imaging: &Imaging) -> Option<AbandonedAmi> {
        if self.own.skip_create_ami { None } else { AbandonedAmi::find(cx, imaging).await }
    }

    async fn check_name(
        &self,
        steps: &Steps<'_>,
        imaging: &Imaging,
        abandoned: Option<&str>,
    ) -> anyhow::Result<()> {
        match self.own.skip_create_ami {
            true => Ok(()),
            false => steps.run(CheckName::new(imaging, abandoned)).await,
        }
    }

    /// The disks of the image that differ from those of the machine.
    fn disks(&self) -> Vec<BlockDeviceMapping> {
        let mut disks = block_device::mappings(&self.image.disks.ami_block_device_mappings);
        if self.own.no_ephemeral {
            disks.extend(('a'..='z').map(|letter| {
                let device = format!("xvdc{letter}");
                BlockDeviceMapping::builder().device_name(device).no_device("").build()
            }));
        }
        disks
    }
}

async fn find_source(
    steps: &Steps<'_>,
    machine: &Machine,
    imaging: &Imaging,
) -> anyhow::Result<SourceAmi> {
    let source = steps.run(FindSourceAmi::new(machine)).await?;
    steps.run(CheckSource::new(imaging, &source)).await?;
    Ok(source)
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
