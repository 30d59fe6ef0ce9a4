//! The AMI is copied to the other regions, all at the same time.

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use aws_sdk_ec2::operation::copy_image::CopyImageOutput;
use futures::future::join_all;
use jiff::Timestamp;

use crate::aws::image::snapshots;
use crate::aws::made::Made;
use crate::aws::name::time_ordered_id;
use crate::aws::removal::find_copy;
use crate::builder::amazon_ebs::Job;
use crate::builder::amazon_ebs::steps::create_image::{description, wait_for_image};
use crate::builder::amazon_ebs::steps::{MadeImage, SourceAmi};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::step::{Ending, Step};

/// Copies the AMI. A failed build leaves no copy.
pub(crate) struct CopyImage {
    job: Job,
    source: SourceAmi,
    original: MadeImage,
    /// The regions, and what is made there.
    copies: Vec<(String, Arc<Thing>)>,
    /// No copy is older than this, in seconds since 1970.
    since: i64,
}

impl CopyImage {
    pub(crate) fn new(job: &Job, source: &SourceAmi, original: MadeImage) -> Self {
        let since = Timestamp::now().as_second();
        let copy = |region: String| {
            let name = job.settings.ami.ami_name.clone();
            let made = Made::Copy { name, source: original.id.clone(), since };
            let made = made.thing(&job.account, &region);
            (region, Arc::new(made))
        };
        let regions = job.settings.ami.copies_from(job.account.region());
        let copies = regions.into_iter().map(copy).collect();
        Self { job: job.clone(), source: source.clone(), original, copies, since }
    }

    async fn copy(
        &self,
        cx: &BuildContext,
        region: &str,
        made: &Thing,
    ) -> anyhow::Result<MadeImage> {
        let ec2 = self.job.ec2_in(cx, region);
        let request = ec2
            .copy_image()
            .client_token(time_ordered_id())
            .name(&self.job.settings.ami.ami_name)
            .set_description(description(cx, &self.job, &self.source)?)
            .source_image_id(&self.original.id)
            .source_region(&self.original.region)
            .copy_image_tags(true);
        let name = &self.job.settings.ami.ami_name;
        let id = |answer: CopyImageOutput| answer.image_id;
        let look = || find_copy(&ec2, name, &self.original.id, self.since, None);
        let call = ec2.make(made, "CopyImage", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(made, &id);
        cx.ui.say(format!("Copying {} to {region}: {id}", self.original.id));
        let image = wait_for_image(cx, &self.job, &ec2, &id).await?;
        Ok(MadeImage { region: region.to_owned(), id, snapshots: snapshots(&image) })
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
        let copies = self.copies.iter().map(|(region, made)| self.copy(cx, region, made));
        let mut made = vec![self.original.clone()];
        let mut failed = Vec::new();
        for ((region, _), copied) in self.copies.iter().zip(join_all(copies).await) {
            match copied {
                Ok(image) => made.push(image),
                Err(error) => failed.push(format!("{region}: {error:#}")),
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
        let removal = self.job.removal(cx);
        let removed = self.copies.iter().map(|(_, made)| removal.remove(made));
        join_all(removed).await.into_iter().collect()
    }

    fn stands_alone(&self) -> bool {
        true
    }
}
