//! The `amazon-ebssurrogate` builder: an EC2 instance fills volumes beside its own, and an AMI is made
//! of them.

use std::sync::Arc;

use async_trait::async_trait;

use super::ami_builder::AmiBuilder;
use super::ami_plan::{self, AmiPlan, Lookup};
use super::artifact::Amis;
use super::block_device::{self, BlockDevice};
use super::build::{Build, BuildOptions, render_tags};
use super::image::{
    self, CheckName, CreateImage, ImageOptions, ImageRunTags, MadeImage, RegisterImage,
    Registration, RegistrationOptions, Root, VirtualizationType,
};
use super::machine::{EnhancedNetworking, MachineOptions, SetAttributes, StepList, Stopped};
use super::pairing::{PairChoices, Pairing, RunningPair};
use super::snapshot_volumes::{MadeSnapshot, SnapshotVolumes, WantedSnapshot};
use super::source_ami::SourceAmi;
use super::surrogate::{FindVolumes, SurrogateOptions, SwapVolumes, Volume};
use crate::aws::allow::Regions;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::component::{BuildContext, Check, Component};
use crate::permission::Permission;
use crate::step::Steps;

/// Makes an AMI of volumes that an instance fills.
#[derive(Debug)]
pub struct AmazonEbsSurrogate {
    pair: Pairing,
    own: SurrogateOptions,
    registration: RegistrationOptions,
    virtualization: VirtualizationType,
    /// Of the AMI; its machine has that of the source AMI.
    networking: EnhancedNetworking,
}

impl Component for AmazonEbsSurrogate {
    const TYPE: &'static str = "amazon-ebssurrogate";
    const ABOUT: &'static str = "Starts an EC2 instance from an AMI, provisions it so that it fills other volumes, and makes an AMI of those.";
    const BUILD_DATA: &'static [&'static str] = SOURCE_AMI_DATA;
    type Options = (
        BuildOptions,
        MachineOptions,
        ImageOptions,
        ImageRunTags,
        SurrogateOptions,
        RegistrationOptions,
    );

    fn lint((_, machine, image, _, own, _): &Self::Options, check: &mut Check<'_>) {
        machine.lint(check);
        image.lint_volumes(&own.devices(), check);
    }

    fn prepare(
        (build, mut machine, image, run_tags, own, registration): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        own.check(check);
        registration.check(check);
        let virtualization = image.ami.ami_virtualization_type;
        if virtualization.is_none() {
            check.missing("ami_virtualization_type", "say what the AMI is: `hvm`, as a rule");
        }
        let networking = match own.use_create_image {
            true => EnhancedNetworking::default(),
            // A snapshot does not take it over from the machine.
            false => std::mem::take(&mut machine.networking),
        };
        let choices = PairChoices {
            disks: own.devices(),
            later: own.moved(),
            may_be_on_store: false,
            needs_hvm: networking.needs_hvm() || machine.networking.needs_hvm(),
            tags_image: !run_tags.skip_ami_run_tags,
        };
        let pair = Pairing::prepare(build, machine, image, choices, check);
        let (pair, virtualization) = (pair?, virtualization?);
        Some(Self { pair, own, registration, virtualization, networking })
    }
}

impl AmiBuilder for AmazonEbsSurrogate {
    const BUILDER_ID: &'static str = "mitchellh.amazon.ebssurrogate";

    fn ami(&self) -> &AmiPlan {
        &self.pair.ami
    }

    fn pairing(&self) -> Option<&Pairing> {
        Some(&self.pair)
    }

    fn keeps_failed(&self) -> bool {
        true
    }

    fn permissions_to_build(&self, at: &Regions) -> Vec<Permission> {
        let Pairing { machine, ami } = &self.pair;
        let mut all = self.pair.permissions(at);
        all.extend(FindVolumes::permissions(at));
        if self.own.use_create_image {
            let devices = &ami.image.disks.ami_block_device_mappings;
            all.extend(SetAttributes::permissions(machine, at));
            all.extend(SwapVolumes::permissions(at));
            all.extend(CreateImage::permissions(devices, at));
        } else {
            all.extend(SnapshotVolumes::permissions(false, at));
            all.extend(RegisterImage::permissions(at));
        }
        all.extend(ami.permissions_for_image(!self.own.use_create_image, at));
        all
    }
}

#[async_trait]
impl StepList for AmazonEbsSurrogate {
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
        let known = match running.find_unchanged(cx, steps, Self::BUILDER_ID, false).await? {
            Lookup::Unchanged(unchanged) => return Ok(unchanged),
            Lookup::Source(source) => source,
        };
        let name = CheckName::new(&running.imaging, None);
        let (source, network) = running.look_around(steps, Some(name), known, false).await?;
        let make = |stopped| self.image(cx, steps, running, &source, stopped);
        let (image, instance) = running.make(cx, steps, &source, &network, make).await?;
        running.test(cx, steps, &image).await?;
        let images = running.copy(steps, &source, image).await?;
        let made = (&source, instance.as_str());
        ami_plan::hand_over(cx, steps, &running.imaging, Self::BUILDER_ID, made, images).await
    }
}

impl AmazonEbsSurrogate {
    async fn image(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        running: &RunningPair,
        source: &SourceAmi,
        stopped: Stopped,
    ) -> anyhow::Result<MadeImage> {
        let filled = self.filled().map(|device| device.device_name.as_str());
        let volumes = FindVolumes::new(&running.machine.build, &stopped, filled);
        let volumes = steps.run(volumes).await?;
        match self.own.use_create_image {
            true => self.create(steps, running, source, stopped, volumes).await,
            false => self.register(cx, steps, running, source, stopped, volumes).await,
        }
    }

    /// The devices of the machine whose volumes become disks of the AMI.
    fn filled(&self) -> impl Iterator<Item = &BlockDevice> {
        self.own.kept().filter(|device| device.is_volume())
    }

    async fn create(
        &self,
        steps: &Steps<'_>,
        RunningPair { machine, imaging }: &RunningPair,
        source: &SourceAmi,
        stopped: Stopped,
        volumes: Vec<Volume>,
    ) -> anyhow::Result<MadeImage> {
        steps.run(SetAttributes::new(machine, &stopped)).await?;
        steps.run(SwapVolumes::new(&machine.build, &stopped, &self.own, volumes)?).await?;
        let disks = self.disks(&[]);
        let create =
            |naming| CreateImage::new(imaging, source, &stopped, None, disks.clone(), naming);
        image::make(steps, imaging, create).await
    }

    async fn register(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        RunningPair { machine, imaging }: &RunningPair,
        source: &SourceAmi,
        stopped: Stopped,
        volumes: Vec<Volume>,
    ) -> anyhow::Result<MadeImage> {
        let wanted = self.snapshots(cx, source, volumes)?;
        let is_intermediary = imaging.settings.copies.is_intermediary();
        let snapshots = SnapshotVolumes::new(&machine.build, wanted, is_intermediary)
            .with_force(imaging.settings.force);
        let snapshots = steps.run(snapshots).await?;
        let registration = Registration {
            instance: stopped.id,
            disks: self.disks(&snapshots),
            snapshots: snapshots.into_iter().map(|snapshot| snapshot.id).collect(),
            root: Root::Device(self.own.ami_root_device.device_name.clone()),
            virtualization: Some(self.virtualization),
            architecture: Some(
                self.registration.ami_architecture.unwrap_or_default().as_str().to_owned(),
            ),
            kernel: None,
            ramdisk: None,
            options: self.registration.clone(),
            networking: self.networking.clone(),
        };
        let register = |naming| RegisterImage::new(imaging, source, &registration, naming);
        image::make(steps, imaging, register).await
    }

    /// The snapshots of those of `volumes` that become disks of the AMI.
    fn snapshots(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
        volumes: Vec<Volume>,
    ) -> anyhow::Result<Vec<WantedSnapshot>> {
        let ami = &self.pair.ami.image.ami;
        let tags = render_tags(cx, source, "snapshot_tags", &ami.snapshot_tags, &ami.snapshot_tag)?;
        let is_filled = |volume: &Volume| self.filled().any(|one| one.device_name == volume.device);
        let wanted = volumes.into_iter().filter(is_filled).map(|volume| WantedSnapshot {
            volume: volume.id,
            device: volume.device,
            description: self.own.snapshot_description.clone(),
            tags: tags.clone(),
            // The AMI is shared as a whole.
            users: Vec::new(),
            groups: Vec::new(),
        });
        Ok(wanted.collect())
    }

    fn disks(&self, snapshots: &[MadeSnapshot]) -> Vec<aws_sdk_ec2::types::BlockDeviceMapping> {
        let mapped = &self.pair.ami.image.disks.ami_block_device_mappings;
        block_device::mappings(&self.own.disks(mapped, snapshots))
    }
}
