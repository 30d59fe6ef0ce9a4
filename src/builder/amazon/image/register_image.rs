//! The AMI is registered from snapshots, or from a bundle in S3.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::operation::register_image::RegisterImageOutput;
use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{BlockDeviceMapping, BootModeValues, TpmSupportValues};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::resource::Resource as _;
use crate::aws::resource::ami::Ami;
use crate::builder::amazon::image::ami::VirtualizationType;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::make::Naming;
use crate::builder::amazon::image::new_ami::NewAmi;
use crate::builder::amazon::image::registration::RegistrationOptions;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::machine::EnhancedNetworking;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// What an AMI is registered as.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The machine that filled its volumes.
    pub instance: String,
    /// The snapshots that were made for it.
    pub snapshots: Vec<String>,
    /// All of its disks.
    pub disks: Vec<BlockDeviceMapping>,
    /// What its machines start from.
    pub root: Root,
    /// How its machines are virtualized; a bundle may say it itself.
    pub virtualization: Option<VirtualizationType>,
    /// The processors that it is for; a bundle says it itself.
    pub architecture: Option<String>,
    /// The kernel of one that does not start by itself, and its ramdisk.
    pub kernel: Option<String>,
    /// See `kernel`.
    pub ramdisk: Option<String>,
    /// How its machines start.
    pub options: RegistrationOptions,
    /// What its machines do in the network.
    pub networking: EnhancedNetworking,
}

/// What machines of an AMI start from.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// The disk of this device.
    Device(String),
    /// The bundle of this manifest in S3.
    Bundle(String),
}

impl Root {
    fn device(&self) -> Option<String> {
        match self {
            Self::Device(name) => Some(name.clone()),
            Self::Bundle(_) => None,
        }
    }

    fn manifest(&self) -> Option<String> {
        match self {
            Self::Device(_) => None,
            Self::Bundle(manifest) => Some(manifest.clone()),
        }
    }
}

/// Registers the AMI and waits until it can be used.
pub(crate) struct RegisterImage {
    new: NewAmi,
    registration: Registration,
}

impl RegisterImage {
    pub(crate) fn new(
        imaging: &Imaging,
        source: &SourceAmi,
        registration: &Registration,
        naming: Naming,
    ) -> Self {
        let (instance, snapshots) = (registration.instance.clone(), registration.snapshots.clone());
        let location = registration.root.manifest();
        let ami = Ami { instance, snapshots, location, ..Ami::default() };
        let new = NewAmi::new(imaging, source, ami, naming);
        Self { new, registration: registration.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        let mut all = vec![
            at.on(&["image", "snapshot"], &["RegisterImage"]),
            at.tag_with(&["image"], &["RegisterImage"]),
        ];
        all.extend(Ami::permissions(at));
        all
    }

    async fn request(
        &self,
        ec2: &Ec2,
        cx: &BuildContext,
    ) -> anyhow::Result<RegisterImageFluentBuilder> {
        let wanted = &self.registration;
        let options = &wanted.options;
        let boot_mode = options.boot_mode.map(|mode| BootModeValues::from(mode.as_str()));
        let tpm = options.tpm_support.map(|_| TpmSupportValues::V20);
        let uefi_data = Some(options.uefi_data.clone()).filter(|data| !data.is_empty());
        Ok(ec2
            .register_image()
            .name(self.new.name())
            .set_description(self.new.description(cx)?)
            .set_architecture(wanted.architecture.as_deref().map(Into::into))
            .set_image_location(wanted.root.manifest())
            .set_kernel_id(wanted.kernel.clone())
            .set_ramdisk_id(wanted.ramdisk.clone())
            .set_root_device_name(wanted.root.device())
            .set_virtualization_type(wanted.virtualization.map(|kind| kind.as_str().to_owned()))
            .set_block_device_mappings(Some(wanted.disks.clone()))
            .set_sriov_net_support(wanted.networking.sriov_support.then(|| "simple".to_owned()))
            .set_ena_support(wanted.networking.ena_support.filter(|wanted| *wanted))
            .set_boot_mode(boot_mode)
            .set_uefi_data(uefi_data)
            .set_tpm_support(tpm)
            .set_tag_specifications(self.new.tags(cx).await?))
    }
}

#[async_trait]
impl Step for RegisterImage {
    type Output = MadeImage;

    fn name(&self) -> &'static str {
        "register the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.new.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeImage> {
        let snapshots = &self.registration.snapshots;
        let from = self.registration.root.manifest().unwrap_or_else(|| snapshots.join(", "));
        cx.ui.say(format!("Registering {} from {from}", self.new));
        let ec2 = self.new.imaging.build.ec2(cx).expecting(snapshots);
        let request = self.request(&ec2, cx).await?;
        let id = |answer: RegisterImageOutput| answer.image_id;
        let look = || self.new.look(&ec2);
        let call = ec2.make(&self.new.made, "RegisterImage", |_| request.clone().send(), id, look);
        self.new.wait(cx, call.await?).await
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.new.undo(cx, ending).await
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
