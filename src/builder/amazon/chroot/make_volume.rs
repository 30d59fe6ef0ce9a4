//! The volume that becomes the AMI: of the source AMI's snapshot, or empty.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_volume::CreateVolumeOutput;
use aws_sdk_ec2::operation::create_volume::builders::CreateVolumeFluentBuilder;
use aws_sdk_ec2::types::{EbsBlockDevice, Image, ResourceType, VolumeType};

use crate::aws::allow::Regions;
use crate::aws::attachment::{self, Waiting};
use crate::aws::call::Ec2;
use crate::aws::resource::Resource as _;
use crate::aws::resource::own_volume::{self, OwnVolume};
use crate::aws::tags::specification;
use crate::builder::amazon::build::{Build, render_tags};
use crate::builder::amazon::chroot::host::Host;
use crate::builder::amazon::chroot::options::ChrootOptions;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Makes the volume. It goes in the end in any case.
pub(super) struct MakeVolume {
    build: Build,
    options: Arc<ChrootOptions>,
    source: SourceAmi,
    host: Host,
    ours: OwnVolume,
    made: Arc<Thing>,
}

/// The root device of `image`, if it is a volume.
pub(super) fn root(image: &Image) -> Option<&EbsBlockDevice> {
    let mut disks = image.block_device_mappings().iter();
    disks.find(|disk| disk.device_name() == image.root_device_name())?.ebs()
}

impl MakeVolume {
    pub(super) fn new(
        build: &Build,
        options: &Arc<ChrootOptions>,
        source: &SourceAmi,
        host: &Host,
    ) -> Self {
        let ours = OwnVolume { instance: host.id.clone(), token: build.token.clone() };
        let made = ours.thing(&build.account, build.account.region());
        let (options, source, host) = (options.clone(), source.clone(), host.clone());
        Self { build: build.clone(), options, source, host, ours, made: Arc::new(made) }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(options: &ChrootOptions, at: &Regions) -> Vec<Permission> {
        let mut all = vec![
            at.make("volume", &["CreateVolume"]),
            at.on(&["snapshot"], &["CreateVolume"]),
            at.tag_with(&["volume"], &["CreateVolume"]),
        ];
        all.extend(OwnVolume::permissions(at));
        all.extend(at.keys(Some(&options.root_volume_kms_key_id).filter(|key| !key.is_empty())));
        all
    }

    fn request(&self, cx: &BuildContext, ec2: &Ec2) -> anyhow::Result<CreateVolumeFluentBuilder> {
        let ChrootOptions { root_volume_tags, root_volume_tag, .. } = &*self.options;
        let option = "root_volume_tags";
        let mut tags = render_tags(cx, &self.source, option, root_volume_tags, root_volume_tag)?;
        tags.extend(self.build.known_as_ours(cx));
        let request = ec2
            .create_volume()
            .client_token(&self.build.token)
            .availability_zone(&self.host.zone)
            .set_tag_specifications(
                specification(ResourceType::Volume, &tags).map(|one| vec![one]),
            );
        match self.options.from_scratch {
            true => Ok(self.empty(request)),
            false => self.copied(request),
        }
    }

    fn empty(&self, request: CreateVolumeFluentBuilder) -> CreateVolumeFluentBuilder {
        let kind = match self.options.root_volume_type.as_str() {
            "" => "gp2",
            given => given,
        };
        let request = request.set_size(self.options.root_volume_size);
        self.encrypted(request.volume_type(VolumeType::from(kind)))
    }

    fn copied(
        &self,
        request: CreateVolumeFluentBuilder,
    ) -> anyhow::Result<CreateVolumeFluentBuilder> {
        let id = self.source.id();
        let disk = root(self.source.image());
        let disk = disk.with_context(|| format!("{id} does not say what its root volume is"))?;
        let size = disk.volume_size().max(self.options.root_volume_size);
        let request = request
            .set_snapshot_id(disk.snapshot_id().map(str::to_owned))
            .set_size(size)
            .set_encrypted(disk.encrypted())
            .set_kms_key_id(disk.kms_key_id().map(str::to_owned));
        let own = self.options.root_volume_type.as_str();
        let before = disk.volume_type().map_or("", VolumeType::as_str);
        if own.is_empty() || own == before {
            let request = request.set_volume_type(disk.volume_type().cloned());
            return Ok(self.encrypted(request.set_iops(disk.iops())));
        }
        ensure!(
            own != "io1",
            "`root_volume_type` cannot be io1: the root volume of {id} is {before}"
        );
        Ok(self.encrypted(request.volume_type(VolumeType::from(own))))
    }

    fn encrypted(&self, request: CreateVolumeFluentBuilder) -> CreateVolumeFluentBuilder {
        let request = match self.options.root_volume_encrypt_boot {
            Some(true) => request.encrypted(true),
            _ => request,
        };
        match self.options.root_volume_kms_key_id.as_str() {
            "" => request,
            key => request.kms_key_id(key),
        }
    }
}

#[async_trait]
impl Step for MakeVolume {
    type Output = String;

    fn name(&self) -> &'static str {
        "make the volume"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<String> {
        cx.ui.say("Creating the root volume");
        let ec2 = self.build.ec2(cx);
        let request = self.request(cx, &ec2)?;
        let id = |answer: CreateVolumeOutput| answer.volume_id;
        let look = async || Ok(own_volume::find(&ec2, &self.ours, None).await?.ours());
        let call = ec2.make(&self.made, "CreateVolume", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(&self.made, &id);
        cx.ui.say(format!("Volume: {id}"));
        let patience = self.build.patience(cx, attachment::PATIENCE);
        let (ui, cancel, memory) = (&cx.ui, &cx.cancel, &self.build.account.memory);
        attachment::available(&ec2, Waiting { ui, cancel, patience, memory }, &id).await?;
        Ok(id)
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.build.removal(cx).remove(&self.made).await
    }
}
