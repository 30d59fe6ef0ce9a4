//! The `amazon-ebssurrogate` builder: an EC2 instance fills volumes beside its own, and an AMI is made
//! of them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::artifact::Amis;
use super::block_device::{self, BlockDevice};
use super::build::{Build, BuildOptions, render_tags};
use super::image::{
    self, CheckName, CreateImage, ImageOptions, ImageRunTags, MadeImage, RegisterImage,
    Registration, RegistrationOptions, Root, VirtualizationType,
};
use super::machine::{self, Bake, EnhancedNetworking, MachineOptions, SetAttributes, Stopped};
use super::pairing::{AtWork, Decided, Known, Pairing};
use super::snapshot_volumes::{MadeSnapshot, SnapshotVolumes, WantedSnapshot};
use super::source_ami::SourceAmi;
use super::surrogate::{FindVolumes, SurrogateOptions, SwapVolumes, Volume};
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
const BUILDER_ID: &str = "mitchellh.amazon.ebssurrogate";

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
        let decided = Decided {
            disks: own.devices(),
            later: own.moved(),
            may_be_on_store: false,
            needs_hvm: networking.needs_hvm() || machine.networking.needs_hvm(),
            tags_image: !run_tags.skip_ami_run_tags,
        };
        let pair = Pairing::prepare((build, machine, image), decided, check);
        let (pair, virtualization) = (pair?, virtualization?);
        Some(Self { pair, own, registration, virtualization, networking })
    }
}

#[async_trait]
impl Builder for AmazonEbsSurrogate {
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
        Ok(())
    }

    fn can_test(&self) -> bool {
        self.pair.connects()
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
        all.extend(FindVolumes::permissions(&at));
        if self.own.use_create_image {
            all.extend(SetAttributes::permissions(machine, &at));
            all.extend(SwapVolumes::permissions(&at));
            all.extend(CreateImage::permissions(&image.disks.ami_block_device_mappings, &at));
        } else {
            all.extend(SnapshotVolumes::permissions(false, &at));
            all.extend(RegisterImage::permissions(&at));
        }
        all.extend(self.pair.image_permissions(!self.own.use_create_image, &at));
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
impl Bake for AmazonEbsSurrogate {
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
        let known = match at_work.find_unchanged(cx, steps, BUILDER_ID, false).await? {
            Known::Artifact(unchanged) => return Ok(unchanged),
            Known::Source(source) => source,
        };
        let name = CheckName::new(&at_work.imaging, None);
        let (source, network) = at_work.look_around(steps, Some(name), known, false).await?;
        let make = |stopped| self.image(cx, steps, at_work, &source, stopped);
        let (image, instance) = at_work.make(cx, steps, (&source, &network), make).await?;
        at_work.test(cx, steps, &image).await?;
        let images = at_work.copy(steps, &source, image).await?;
        at_work.hand_over(cx, steps, BUILDER_ID, (&source, &instance), images).await
    }
}

impl AmazonEbsSurrogate {
    async fn image(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        at_work: &AtWork,
        source: &SourceAmi,
        stopped: Stopped,
    ) -> anyhow::Result<MadeImage> {
        let filled = self.filled().map(|device| device.device_name.as_str());
        let volumes = FindVolumes::new(&at_work.machine.build, &stopped, filled);
        let volumes = steps.run(volumes).await?;
        match self.own.use_create_image {
            true => self.create(steps, at_work, source, stopped, volumes).await,
            false => self.register(cx, steps, at_work, source, stopped, volumes).await,
        }
    }

    /// The devices of the machine whose volumes become disks of the AMI.
    fn filled(&self) -> impl Iterator<Item = &BlockDevice> {
        self.own.kept().filter(|device| device.is_volume())
    }

    async fn create(
        &self,
        steps: &Steps<'_>,
        AtWork { machine, imaging }: &AtWork,
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
        AtWork { machine, imaging }: &AtWork,
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
        let ami = &self.pair.image.ami;
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
        let mapped = &self.pair.image.disks.ami_block_device_mappings;
        block_device::mappings(&self.own.disks(mapped, snapshots))
    }
}
