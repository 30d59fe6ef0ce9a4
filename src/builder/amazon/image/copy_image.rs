//! The AMI is copied to the other regions, all at the same time; where it is to be encrypted, to its
//! own region, too.

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::operation::copy_image::CopyImageOutput;
use aws_sdk_ec2::types::ResourceType;
use futures::future::join_all;
use jiff::Timestamp;

use crate::aws::allow::Regions;
use crate::aws::name::time_ordered_id;
use crate::aws::resource::Resource as _;
use crate::aws::resource::ami_copy::{self, AmiCopy};
use crate::aws::tags::specification;
use crate::builder::amazon::image::copies::CopyTo;
use crate::builder::amazon::image::find_unchanged::tags_of;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::new_ami::{description, wait_for_image};
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Copies the AMI. A failed build leaves no copy.
pub(crate) struct CopyImage {
    imaging: Imaging,
    source: SourceAmi,
    original: MadeImage,
    /// What the copies are called.
    name: String,
    /// What is copied where, and what is made there.
    copies: Vec<(CopyTo, Arc<Thing>)>,
    /// No copy is older than this, in seconds since 1970.
    since: i64,
}

impl CopyImage {
    pub(crate) fn new(imaging: &Imaging, source: &SourceAmi, original: MadeImage) -> Self {
        let since = Timestamp::now().as_second();
        // An AMI that was adopted has the name that its first run chose.
        let name = match imaging.settings.copies.is_intermediary() {
            true => imaging.settings.ami.ami_name.clone(),
            false => original.name.clone(),
        };
        let copy = |to: CopyTo| {
            let name = name.clone();
            let (source, token) = (original.id.clone(), imaging.build.token.clone());
            let made = AmiCopy { name, source, since, token };
            let made = made.thing(&imaging.build.account, &to.region);
            (to, Arc::new(made))
        };
        let copies = imaging.settings.copies.copies_from(imaging.build.account.region());
        let copies = copies.into_iter().map(copy).collect();
        Self { imaging: imaging.clone(), source: source.clone(), original, name, copies, since }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        let copies = settings.copies.copies_from(at.own());
        if copies.is_empty() {
            return Vec::new();
        }
        let mut all = vec![
            at.everywhere(&["image", "snapshot"], &["CopyImage"]),
            at.tag_everywhere_with(&["image"], &["CopyImage"]),
        ];
        all.extend(AmiCopy::permissions(at));
        all.extend(at.keys(copies.iter().filter_map(|copy| copy.kms_key_id.as_ref())));
        all
    }

    async fn copy(
        &self,
        cx: &BuildContext,
        to: &CopyTo,
        made: &Thing,
    ) -> anyhow::Result<MadeImage> {
        let region = to.region.as_str();
        let ec2 = self.imaging.build.ec2_in(cx, region);
        let mut tags = self.imaging.build.known_as_ours(cx).to_vec();
        tags.extend(tags_of(cx, &self.source).await);
        let request = ec2
            .copy_image()
            .client_token(time_ordered_id())
            .name(&self.name)
            .set_description(description(cx, &self.imaging, &self.source)?)
            .source_image_id(&self.original.id)
            .source_region(&self.original.region)
            .copy_image_tags(true)
            .set_encrypted(to.encrypted)
            .set_kms_key_id(to.kms_key_id.clone())
            .set_snapshot_copy_completion_duration_minutes(
                self.imaging.settings.copies.snapshot_copy_duration_minutes,
            )
            .set_tag_specifications(
                specification(ResourceType::Image, &tags).map(|tags| vec![tags]),
            );
        let id = |answer: CopyImageOutput| answer.image_id;
        let asked = (self.name.as_str(), self.original.id.as_str(), self.since);
        let look = async || Ok(ami_copy::find(&ec2, asked, &self.imaging.build.token).await?);
        let call = ec2.make(made, "CopyImage", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(made, &id);
        let how = if to.encrypted == Some(true) { ", encrypted" } else { "" };
        cx.ui.say(format!("Copying {} to {region}{how}: {id}", self.original.id));
        let image = wait_for_image(cx, &self.imaging, &ec2, &id).await?;
        Ok(MadeImage::new(region, &id, &self.name, &image))
    }
}

#[async_trait]
impl Step for CopyImage {
    type Output = Vec<MadeImage>;

    fn name(&self) -> &'static str {
        "copy the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.copies.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<MadeImage>> {
        let copies = self.copies.iter().map(|(to, made)| self.copy(cx, to, made));
        let mut made = match self.imaging.settings.copies.is_intermediary() {
            true => Vec::new(),
            false => vec![self.original.clone()],
        };
        let mut failed = Vec::new();
        for ((to, _), copied) in self.copies.iter().zip(join_all(copies).await) {
            match copied {
                Ok(image) => made.push(image),
                Err(error) => failed.push(format!("{}: {error:#}", to.region)),
            }
        }
        if !failed.is_empty() {
            bail!("cannot copy the AMI to all regions: {}", failed.join("; "));
        }
        made.sort_by(|one, other| one.region.cmp(&other.region));
        Ok(made)
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Done {
            return Ok(());
        }
        self.imaging.build.removal(cx).remove_all(&self.makes()).await
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
