//! The AMI is made of the machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_image::CreateImageOutput;
use aws_sdk_ec2::types::{BlockDeviceMapping, Image, ImageState, ResourceType};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::{by_id, snapshots};
use crate::aws::name;
use crate::aws::resource::ami::{self, Ami, Origin};
use crate::aws::resource::intermediary_ami::IntermediaryAmi;
use crate::aws::resource::{Resource as _, snapshot};
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::make::Naming;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::machine::Stopped;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How long an image or snapshot may stay without progress.
const IMAGE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Makes the AMI and waits until it can be used. A failed build leaves neither it nor its
/// snapshots; of a temporary one that is so in any case.
pub(crate) struct CreateImage {
    imaging: Imaging,
    source: SourceAmi,
    instance: String,
    disks: Vec<BlockDeviceMapping>,
    name: String,
    made: Arc<Thing>,
}

impl CreateImage {
    /// `number` says what the build is made from; `disks` are those that differ from the machine's.
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
        let name = match naming {
            Naming::Temporary => name::temporary(),
            Naming::Final => imaging.settings.ami.ami_name.clone(),
        };
        let token = imaging.build.token.clone();
        let ami = Ami { name: name.clone(), instance: instance.clone(), token, origin };
        let made = match naming {
            Naming::Temporary => {
                IntermediaryAmi(ami).thing(&imaging.build.account, imaging.build.account.region())
            }
            Naming::Final => ami.thing(&imaging.build.account, imaging.build.account.region()),
        };
        Self {
            imaging: imaging.clone(),
            source: source.clone(),
            instance,
            disks,
            name,
            made: Arc::new(made),
        }
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
        let mut tags = match self.imaging.takes_run_tags() {
            true => self.imaging.build.run_tags(cx, &self.source)?,
            false => Vec::new(),
        };
        // Until it is finished, it is ours.
        tags.extend(self.imaging.build.known_as_ours(cx));
        // Snapshots get their tags in a later step.
        let tags = specification(ResourceType::Image, &tags).map(|tags| vec![tags]);
        let ec2 = self.imaging.build.ec2(cx);
        let request = ec2
            .create_image()
            .instance_id(&self.instance)
            .name(&self.name)
            .set_description(description(cx, &self.imaging, &self.source)?)
            .set_block_device_mappings((!self.disks.is_empty()).then(|| self.disks.clone()))
            .set_tag_specifications(tags);
        let id = |answer: CreateImageOutput| answer.image_id;
        let tokens = [self.imaging.build.token.as_str()];
        let look = async || {
            let named = (self.name.as_str(), None);
            let found = ami::find(&ec2, named, &self.instance, &tokens, false).await?;
            Ok(found.ours())
        };
        let call = ec2.make(&self.made, "CreateImage", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(&self.made, &id);
        Ok(id)
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
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeImage> {
        let kind = match self.made.is_product() {
            true => "the AMI",
            false => "an intermediary AMI",
        };
        cx.ui.say(format!("Creating {kind} `{}` from {}", self.name, self.instance));
        let id = self.create(cx).await?;
        let region = self.imaging.build.account.region().to_owned();
        cx.ui.say(format!("AMI: {id}"));
        let image = wait_for_image(cx, &self.imaging, &self.imaging.build.ec2(cx), &id).await?;
        let name = self.name.clone();
        Ok(MadeImage { region, id, name, snapshots: snapshots(&image) })
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending {
            Ending::Done if self.made.is_product() => Ok(()),
            _ => self.imaging.build.removal(cx).remove(&self.made).await,
        }
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

/// `ami_description` with the facts of the source AMI filled in.
pub(crate) fn description(
    cx: &BuildContext,
    imaging: &Imaging,
    source: &SourceAmi,
) -> anyhow::Result<Option<String>> {
    let Some(text) = &imaging.settings.ami.ami_description else { return Ok(None) };
    let text = text.render(&cx.facts.scope, &source.dot());
    Ok(Some(text.context("cannot render `ami_description`")?).filter(|text| !text.is_empty()))
}

/// Waits until the AMI `id` can be used.
pub(crate) async fn wait_for_image(
    cx: &BuildContext,
    imaging: &Imaging,
    ec2: &Ec2,
    id: &str,
) -> anyhow::Result<Image> {
    let patience = imaging.build.patience(cx, IMAGE_PATIENCE);
    let wait =
        Wait { kind: "AMI available", what: id, patience, memory: &imaging.build.account.memory };
    wait.until(&cx.ui, &cx.cancel, || look_at_image(ec2, id)).await
}

async fn look_at_image(ec2: &Ec2, id: &str) -> anyhow::Result<Seen<Image>> {
    let Some(image) = by_id(ec2, id).await? else { return Ok(Seen::pending("not known yet")) };
    match image.state() {
        Some(ImageState::Available) => Ok(Seen::Ready(image)),
        Some(ImageState::Pending | ImageState::Transient) | None => {
            let progress = progress(ec2, &snapshots(&image)).await;
            Ok(Seen::Pending { state: "pending".into(), progress })
        }
        Some(other) => {
            let reason = image.state_reason().and_then(|reason| reason.message());
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            bail!("the AMI {id} is {}{reason}", other.as_str())
        }
    }
}

/// The progress of the slowest snapshot, if EC2 says any.
async fn progress(ec2: &Ec2, ids: &[String]) -> Option<u8> {
    if ids.is_empty() {
        return None;
    }
    let request = ec2.describe_snapshots().set_snapshot_ids(Some(ids.to_vec()));
    let found = ec2.call("DescribeSnapshots", |_| request.clone().send()).await.ok()?;
    found.snapshots().iter().filter_map(snapshot::percent).min()
}
