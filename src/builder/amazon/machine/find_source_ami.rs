//! Which AMI to start from.

use std::sync::Arc;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::types::{DeviceType, Image};

use crate::aws::allow::Regions;
use crate::aws::search::{self, Found};
use crate::builder::amazon::ebs::Job;
use crate::builder::amazon::image::create_image::description;
use crate::builder::amazon::steps::render_tags;
use crate::component::BuildContext;
use crate::interpolate::{BuildData, Dot};
use crate::permission::Permission;
use crate::step::Step;

/// Looks the source AMI up by id, by filter, or by both.
pub(crate) struct FindSourceAmi {
    job: Job,
}

/// The AMI to start from.
#[derive(Clone, Debug)]
pub(crate) struct SourceAmi {
    region: String,
    image: Arc<Image>,
}

impl SourceAmi {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.image.image_id().unwrap_or_default()
    }

    /// The devices that a machine is started with.
    pub(crate) fn devices(&self) -> Vec<String> {
        let disks = self.image.block_device_mappings().iter();
        let named = disks.filter_map(|disk| disk.device_name());
        named.chain(self.image.root_device_name()).map(str::to_owned).collect()
    }

    /// What templates of tags and descriptions know.
    pub(crate) fn dot(&self) -> Dot {
        let tags = self.image.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        let tags = tags.map(|(key, value)| (key.to_owned(), value.into())).collect();
        let mut dot = self.facts();
        dot.insert("SourceAMITags".to_owned(), serde_json::Value::Object(tags));
        dot
    }

    /// What `build.*` says of a machine that was started from it.
    pub(crate) fn build_data(&self, instance: &str) -> BuildData {
        let mut data = self.facts();
        data.insert("ID".to_owned(), instance.into());
        data
    }

    fn facts(&self) -> BuildData {
        let image = &self.image;
        let facts = [
            ("BuildRegion", Some(self.region.as_str())),
            ("SourceAMI", image.image_id()),
            ("SourceAMIName", image.name()),
            ("SourceAMICreationDate", image.creation_date()),
            ("SourceAMIOwner", image.owner_id()),
            ("SourceAMIOwnerName", image.image_owner_alias()),
        ];
        let text = |text: Option<&str>| text.unwrap_or_default().into();
        facts.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }
}

impl FindSourceAmi {
    pub(crate) fn new(job: &Job) -> Self {
        Self { job: job.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeImages"])]
    }

    async fn look_up(&self, cx: &BuildContext) -> anyhow::Result<Image> {
        let run = &self.job.settings.run;
        let id = Some(run.source_ami.as_str()).filter(|id| !id.is_empty());
        let wanted = run.source_ami_filter.as_ref();
        match search::find(&self.job.ec2(cx), id, wanted).await? {
            Found::One(image) => Ok(*image),
            Found::None => bail!(
                "no AMI in {} matches `{}`",
                self.job.account.region(),
                if wanted.is_some() { "source_ami_filter" } else { "source_ami" }
            ),
            Found::Several(several) => bail!(
                "{several} AMIs match `source_ami_filter`: make it narrower, or set `most_recent`"
            ),
        }
    }

    /// Whether the texts of the image to come can be filled in with what `source` says: what is
    /// missing there should not be found out when all is baked.
    fn check_texts(&self, cx: &BuildContext, source: &SourceAmi) -> anyhow::Result<()> {
        let ami = &self.job.settings.ami;
        render_tags(cx, source, "tags", &ami.tags, &ami.tag)?;
        render_tags(cx, source, "snapshot_tags", &ami.snapshot_tags, &ami.snapshot_tag)?;
        description(cx, &self.job, source).map(drop)
    }

    /// Whether an image for this build can be made from `image`.
    fn check(&self, image: &Image) -> anyhow::Result<()> {
        let id = image.image_id().unwrap_or_default();
        let root = image.root_device_type();
        ensure!(
            root.is_none_or(|root| *root == DeviceType::Ebs),
            "{id} has no EBS root device, and amazon-ebs can only use those that have"
        );
        let kind = image.virtualization_type().map(|kind| kind.as_str()).unwrap_or("hvm");
        let ami = &self.job.settings.ami;
        if let Some(wanted) = ami.ami_virtualization_type {
            let wanted = wanted.as_str();
            ensure!(kind == wanted, "{id} is {kind}, but `ami_virtualization_type` is {wanted}");
        }
        let hvm_only = ami.ena_support == Some(true) || ami.sriov_support;
        ensure!(!hvm_only || kind == "hvm", "enhanced networking needs hvm, but {id} is {kind}");
        Ok(())
    }
}

#[async_trait]
impl Step for FindSourceAmi {
    type Output = SourceAmi;

    fn name(&self) -> &'static str {
        "find the source AMI"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<SourceAmi> {
        let image = self.look_up(cx).await?;
        self.check(&image)?;
        let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
        cx.ui.say(format!("Source AMI: {id} ({name})"));
        let region = self.job.account.region().to_owned();
        let source = SourceAmi { region, image: Arc::new(image) };
        self.check_texts(cx, &source)?;
        Ok(source)
    }
}
