//! The AMI is made of the machine.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_image::CreateImageOutput;
use aws_sdk_ec2::types::{BlockDeviceMapping, Image, ImageState, ResourceType};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::{by_id, snapshots};
use crate::aws::name;
use crate::aws::resource::Resource as _;
use crate::aws::resource::ami::{self, Ami, Origin};
use crate::aws::resource::intermediary_ami::IntermediaryAmi;
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::block_device::mappings;
use crate::builder::amazon::ebs::{Job, Settings};
use crate::builder::amazon::steps::{IMAGE_PATIENCE, MadeImage, Running, SourceAmi};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Makes the AMI and waits until it can be used. A failed build leaves neither it nor its
/// snapshots; of a temporary one that is so in any case.
pub(crate) struct CreateImage {
    job: Job,
    source: SourceAmi,
    instance: String,
    name: String,
    made: Arc<Thing>,
}

impl CreateImage {
    /// `number` says what the build is made from.
    pub(crate) fn new(
        job: &Job,
        source: &SourceAmi,
        instance: &Running,
        number: Option<String>,
        temporary: bool,
    ) -> Self {
        let instance = instance.id.clone();
        let origin = number.map(|number| {
            let (source, token) = (source.id().to_owned(), job.token.clone());
            Origin { number, source, token }
        });
        let name = if temporary { name::temporary() } else { job.settings.ami.ami_name.clone() };
        let token = job.token.clone();
        let ami = Ami { name: name.clone(), instance: instance.clone(), token, origin };
        let made = match temporary {
            true => IntermediaryAmi(ami).thing(&job.account, job.account.region()),
            false => ami.thing(&job.account, job.account.region()),
        };
        Self { job: job.clone(), source: source.clone(), instance, name, made: Arc::new(made) }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
        let keys = settings.ebs.ami_block_device_mappings.iter().map(|disk| &disk.kms_key_id);
        let mut all = vec![
            at.on_ours("instance", &["CreateImage"]),
            at.on(&["image", "snapshot"], &["CreateImage"]),
            at.tag_with(&["image"], &["CreateImage"]),
        ];
        all.extend(Ami::permissions(at));
        all.extend(at.keys(keys.filter(|key| !key.is_empty())));
        all
    }

    fn disks(&self) -> Option<Vec<BlockDeviceMapping>> {
        let ebs = &self.job.settings.ebs;
        let mut disks = mappings(&ebs.ami_block_device_mappings).unwrap_or_default();
        if ebs.no_ephemeral {
            disks.extend(('a'..='z').map(|letter| {
                let device = format!("xvdc{letter}");
                BlockDeviceMapping::builder().device_name(device).no_device("").build()
            }));
        }
        (!disks.is_empty()).then_some(disks)
    }

    async fn create(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let mut tags = match self.job.images_take_run_tags() {
            true => self.job.run_tags(cx, &self.source)?,
            false => Vec::new(),
        };
        // Until it is finished, it is ours.
        tags.extend(self.job.known_as_ours(cx));
        // Snapshots get their tags in a later step.
        let tags = specification(ResourceType::Image, &tags).map(|tags| vec![tags]);
        let ec2 = self.job.ec2(cx);
        let request = ec2
            .create_image()
            .instance_id(&self.instance)
            .name(&self.name)
            .set_description(description(cx, &self.job, &self.source)?)
            .set_block_device_mappings(self.disks())
            .set_tag_specifications(tags);
        let id = |answer: CreateImageOutput| answer.image_id;
        let tokens = [self.job.token.as_str()];
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
        let region = self.job.account.region().to_owned();
        cx.ui.say(format!("AMI: {id}"));
        let image = wait_for_image(cx, &self.job, &self.job.ec2(cx), &id).await?;
        let name = self.name.clone();
        Ok(MadeImage { region, id, name, snapshots: snapshots(&image) })
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending {
            Ending::Done if self.made.is_product() => Ok(()),
            _ => self.job.removal(cx).remove(&self.made).await,
        }
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

/// `ami_description` with the facts of the source AMI filled in.
pub(crate) fn description(
    cx: &BuildContext,
    job: &Job,
    source: &SourceAmi,
) -> anyhow::Result<Option<String>> {
    let Some(text) = &job.settings.ami.ami_description else { return Ok(None) };
    let text = text.render(&cx.facts.scope, &source.dot());
    Ok(Some(text.context("cannot render `ami_description`")?).filter(|text| !text.is_empty()))
}

/// Waits until the AMI `id` can be used.
pub(crate) async fn wait_for_image(
    cx: &BuildContext,
    job: &Job,
    ec2: &Ec2,
    id: &str,
) -> anyhow::Result<Image> {
    let patience = job.patience(cx, IMAGE_PATIENCE);
    let wait = Wait { kind: "AMI available", what: id, patience, memory: &job.account.memory };
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
    let percent = |text: &str| text.trim_end_matches('%').parse().ok();
    found.snapshots().iter().filter_map(|snapshot| percent(snapshot.progress()?)).min()
}
