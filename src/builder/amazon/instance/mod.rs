//! The `amazon-instance` builder: an EC2 instance is provisioned, bundles its root volume into S3, and an
//! AMI is registered from that.
//!
//! | file | what is there |
//! |---|---|
//! | `options` | how it bundles, and where that goes |
//! | `reserve_bundle` | the place in S3 |
//! | `certificate` | what signs the bundle comes to the machine, and goes again |
//! | `bundle_volume`, `upload_bundle` | the commands on the machine |
//! | `on_machine` | how such a command is run |

mod bundle_volume;
mod certificate;
mod on_machine;
mod options;
mod reserve_bundle;
mod upload_bundle;

use std::sync::Arc;

use async_trait::async_trait;

use self::bundle_volume::BundleVolume;
use self::certificate::{Certificate, UploadCertificate};
use self::options::InstanceOptions;
use self::reserve_bundle::ReserveBundle;
use self::upload_bundle::UploadBundle;
use crate::aws::allow::Regions;
use crate::aws::resource::s3_bundle::S3Bundle;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::builder::amazon::ami_builder::AmiBuilder;
use crate::builder::amazon::ami_plan::{self, AmiPlan, Lookup};
use crate::builder::amazon::artifact::Amis;
use crate::builder::amazon::block_device;
use crate::builder::amazon::build::{Build, BuildOptions};
use crate::builder::amazon::image::{
    self, CheckName, ImageOptions, Imaging, MadeImage, RegisterImage, Registration,
    RegistrationOptions, Root,
};
use crate::builder::amazon::machine::{Connected, MachineOptions, StepList};
use crate::builder::amazon::pairing::{PairChoices, Pairing, RunningPair};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{BuildContext, Check, Communicator, Component};
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::Steps;

/// Makes an AMI of what an instance bundles.
#[derive(Debug)]
pub struct AmazonInstance {
    pair: Pairing,
    own: InstanceOptions,
    certificate: Certificate,
}

impl Component for AmazonInstance {
    const TYPE: &'static str = "amazon-instance";
    const ABOUT: &'static str = "Starts an EC2 instance from an AMI, provisions it, has it bundle its root volume into S3, and makes an AMI of that.";
    const BUILD_DATA: &'static [&'static str] = SOURCE_AMI_DATA;
    type Options = (BuildOptions, MachineOptions, ImageOptions, InstanceOptions);

    fn lint((_, machine, ..): &Self::Options, check: &mut Check<'_>) {
        machine.lint(check);
    }

    fn prepare((build, machine, image, own): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let certificate = own.check(check);
        let choices = PairChoices {
            disks: own.launch_block_device_mappings.clone(),
            may_be_on_store: true,
            needs_hvm: machine.networking.needs_hvm(),
            ..PairChoices::default()
        };
        let pair = Pairing::prepare(build, machine, image, choices, check)?;
        if !pair.connects() {
            check.error("communicator", "the machine is told to bundle itself, over a connection");
        }
        Some(Self { pair, own, certificate: certificate? })
    }
}

impl AmiBuilder for AmazonInstance {
    const BUILDER_ID: &'static str = "mitchellh.amazon.instance";

    fn ami(&self) -> &AmiPlan {
        &self.pair.ami
    }

    fn pairing(&self) -> Option<&Pairing> {
        Some(&self.pair)
    }

    fn permissions_to_build(&self, at: &Regions) -> Vec<Permission> {
        let mut all = self.pair.permissions(at);
        all.extend(UploadBundle::permissions(&self.own.s3_bucket, self.needs_keys(), at));
        all.extend(RegisterImage::permissions(at));
        all.extend(self.pair.ami.permissions_for_image(false, at));
        if !self.pair.ami.image.copies.copies_from(at.own()).is_empty() {
            all.extend(at.copy_bundles(&self.own.s3_bucket));
        }
        all
    }
}

#[async_trait]
impl StepList for AmazonInstance {
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
        let name = CheckName::new(&running.imaging, None);
        let (source, network) = running.look_around(steps, Some(name), known, true).await?;
        let bundle = self.bundle(&running.imaging);
        let made = steps.run(ReserveBundle::new(&running.imaging, &bundle)).await?;
        let make = |machine| self.image(steps, running, &source, machine, (bundle, made));
        let making = running.make_running(cx, steps, &source, &network, make);
        let (image, instance) = making.await?;
        running.test(cx, steps, &image).await?;
        let images = running.copy(steps, &source, image).await?;
        let made = (&source, instance.as_str());
        ami_plan::hand_over(cx, steps, &running.imaging, Self::BUILDER_ID, made, images).await
    }
}

impl AmazonInstance {
    /// Whether the machine needs keys of the build to upload anything.
    fn needs_keys(&self) -> bool {
        self.pair.machine.profile.iam_instance_profile.is_empty()
    }

    /// The AMI of a machine that runs.
    async fn image(
        &self,
        steps: &Steps<'_>,
        RunningPair { imaging, .. }: &RunningPair,
        source: &SourceAmi,
        machine: Connected,
        (bundle, made): (S3Bundle, Arc<Thing>),
    ) -> anyhow::Result<MadeImage> {
        let Connected { id, connection } = machine;
        self.bundle_volume(steps, source, &connection, &bundle).await?;
        let registration = self.registration(id, &bundle);
        let upload = UploadBundle {
            connection,
            build: imaging.build.clone(),
            bundle,
            own: self.own.clone(),
            needs_keys: self.needs_keys(),
            made,
        };
        steps.run(upload).await?;
        let register = |naming| RegisterImage::new(imaging, source, &registration, naming);
        image::make(steps, imaging, register).await
    }

    /// What the AMI is registered as. The bundle says itself for which processors it is.
    fn registration(&self, instance: String, bundle: &S3Bundle) -> Registration {
        let Pairing { machine, ami } = &self.pair;
        let image = &ami.image;
        let tpm_support = self.own.tpm_support;
        Registration {
            instance,
            snapshots: Vec::new(),
            disks: block_device::mappings(&image.disks.ami_block_device_mappings),
            root: Root::Bundle(bundle.location()),
            virtualization: image.ami.ami_virtualization_type,
            architecture: None,
            kernel: None,
            ramdisk: None,
            options: RegistrationOptions { tpm_support, ..RegistrationOptions::default() },
            networking: machine.networking.clone(),
        }
    }

    /// What the machine makes in S3.
    fn bundle(&self, Imaging { build, settings }: &Imaging) -> S3Bundle {
        let token = build.token.clone();
        let prefix = match self.own.bundle_prefix.as_str() {
            "" => S3Bundle::own_prefix(&token),
            given => given.to_owned(),
        };
        let (bucket, is_temporary) =
            (self.own.s3_bucket.clone(), settings.copies.is_intermediary());
        S3Bundle { bucket, prefix, token, is_temporary }
    }

    async fn bundle_volume(
        &self,
        steps: &Steps<'_>,
        source: &SourceAmi,
        connection: &Arc<dyn Communicator>,
        bundle: &S3Bundle,
    ) -> anyhow::Result<()> {
        let (own, certificate) = (&self.own, self.certificate.clone());
        let upload =
            UploadCertificate { connection: connection.clone(), certificate: certificate.clone() };
        steps.run(upload).await?;
        let architecture = source.image().architecture().map_or("x86_64", |known| known.as_str());
        let dot = [
            ("AccountId", own.account()),
            ("Architecture", architecture.to_owned()),
            ("CertPath", certificate.cert_there()),
            ("Destination", own.bundle_destination.clone()),
            ("KeyPath", certificate.key_there()),
            ("Prefix", bundle.prefix.clone()),
            ("PrivatePath", own.x509_upload_path.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into();
        let (connection, command) = (connection.clone(), own.volume_command());
        steps.run(BundleVolume { connection, certificate, command, dot }).await
    }
}
