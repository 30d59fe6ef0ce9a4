//! The AMI is made of the machine, by EC2.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::operation::create_image::CreateImageOutput;
use aws_sdk_ec2::types::BlockDeviceMapping;

use crate::aws::allow::Regions;
use crate::aws::resource::Resource as _;
use crate::aws::resource::ami::{Ami, Origin};
use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::make::Naming;
use crate::builder::amazon::image::new_ami::NewAmi;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::machine::Stopped;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Makes the AMI and waits until it can be used.
pub(crate) struct CreateImage {
    new: NewAmi,
    instance: String,
    disks: Vec<BlockDeviceMapping>,
}

impl CreateImage {
    /// `number` says what the build is made from, if the AMI is as good for whoever makes the same;
    /// `disks` are those that differ from the machine's.
    pub(crate) fn new(
        imaging: &Imaging,
        source: &SourceAmi,
        stopped: &Stopped,
        number: Option<String>,
        disks: Vec<BlockDeviceMapping>,
        naming: Naming,
    ) -> Self {
        let instance = stopped.id.clone();
        let origin = number.map(|number| {
            let (source, token) = (source.id().to_owned(), imaging.build.token.clone());
            Origin { number, source, token }
        });
        let ami = Ami { instance: instance.clone(), origin, ..Ami::default() };
        Self { new: NewAmi::new(imaging, source, ami, naming), instance, disks }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(devices: &[BlockDevice], at: &Regions) -> Vec<Permission> {
        let keys = devices.iter().map(|disk| &disk.kms_key_id);
        let mut all = vec![
            at.on_ours("instance", &["CreateImage"]),
            at.on(&["image", "snapshot"], &["CreateImage"]),
            at.tag_with(&["image"], &["CreateImage"]),
        ];
        all.extend(Ami::permissions(at));
        all.extend(at.keys(keys.filter(|key| !key.is_empty())));
        all
    }

    async fn create(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let ec2 = self.new.imaging.build.ec2(cx);
        let request = ec2
            .create_image()
            .instance_id(&self.instance)
            .name(self.new.name())
            .set_description(self.new.description(cx)?)
            .set_block_device_mappings((!self.disks.is_empty()).then(|| self.disks.clone()))
            .set_tag_specifications(self.new.tags(cx).await?);
        let id = |answer: CreateImageOutput| answer.image_id;
        let look = || self.new.look(&ec2);
        ec2.make(&self.new.made, "CreateImage", |_| request.clone().send(), id, look).await
    }
}

#[async_trait]
impl Step for CreateImage {
    type Output = MadeImage;

    fn name(&self) -> &'static str {
        "create the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.new.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeImage> {
        cx.ui.say(format!("Creating {} from {}", self.new, self.instance));
        let id = self.create(cx).await?;
        self.new.wait(cx, id).await
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.new.undo(cx, ending).await
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
