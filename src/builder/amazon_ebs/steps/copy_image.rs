//! The AMI is copied to the other regions, all at the same time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use futures::future::join_all;

use crate::aws::error::Called as _;
use crate::aws::image::{by_id, deregister, own_by_name, remove, snapshots};
use crate::aws::name::time_ordered_id;
use crate::builder::amazon_ebs::Job;
use crate::builder::amazon_ebs::steps::create_image::{description, wait_for_image};
use crate::builder::amazon_ebs::steps::{MadeImage, SourceAmi};
use crate::component::BuildContext;
use crate::step::{Ending, Step};

/// Copies the AMI. A failed build leaves no copy.
pub(crate) struct CopyImage {
    job: Job,
    source: SourceAmi,
    original: MadeImage,
    regions: Vec<String>,
    /// What was begun where: the copy's id, once EC2 has said it.
    begun: Mutex<BTreeMap<String, Option<String>>>,
}

impl CopyImage {
    pub(crate) fn new(job: &Job, source: &SourceAmi, original: MadeImage) -> Self {
        let regions = job.settings.ami.copies_from(job.account.region());
        Self {
            job: job.clone(),
            source: source.clone(),
            original,
            regions,
            begun: Mutex::default(),
        }
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn copy(&self, cx: &BuildContext, region: &str) -> anyhow::Result<MadeImage> {
        let ec2 = self.job.account.ec2_in(region);
        let request = ec2
            .copy_image()
            .client_token(time_ordered_id())
            .name(&self.job.settings.ami.ami_name)
            .set_description(description(cx, &self.job, &self.source)?)
            .source_image_id(&self.original.id)
            .source_region(&self.original.region)
            .copy_image_tags(true);
        self.begun().insert(region.to_owned(), None);
        let answer = request.send().await.called("CopyImage")?;
        let id = answer.image_id.context("CopyImage answered no id")?;
        self.begun().insert(region.to_owned(), Some(id.clone()));
        cx.ui.say(format!("Copying {} to {region}: {id}", self.original.id));
        let image = wait_for_image(cx, &self.job, &ec2, &id).await?;
        Ok(MadeImage { region: region.to_owned(), id, snapshots: snapshots(&image) })
    }

    async fn remove(
        &self,
        cx: &BuildContext,
        region: &str,
        id: Option<&str>,
    ) -> anyhow::Result<()> {
        let ec2 = self.job.account.ec2_in(region);
        let found = match id {
            Some(id) => by_id(&ec2, id).await?,
            // The answer was lost. The name was free, or made free, before.
            None => own_by_name(&ec2, &self.job.settings.ami.ami_name).await?.into_iter().next(),
        };
        match (found, id) {
            (Some(image), _) => remove(&ec2, &image, &cx.cancel).await,
            (None, Some(id)) => deregister(&ec2, id, &cx.cancel).await,
            (None, None) => Ok(()),
        }
    }
}

#[async_trait]
impl Step for CopyImage {
    type Output = Vec<MadeImage>;

    fn name(&self) -> &'static str {
        "copy the AMI"
    }

    fn makes(&self) -> Option<String> {
        let begun = self.begun();
        let name = &self.job.settings.ami.ami_name;
        let copies = self.regions.iter().map(|region| match begun.get(region) {
            Some(Some(id)) => format!("AMI {id} and its snapshots in {region}"),
            _ => format!("AMI `{name}` and its snapshots in {region}"),
        });
        (!self.regions.is_empty()).then(|| copies.collect::<Vec<_>>().join(", "))
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<MadeImage>> {
        let copies = self.regions.iter().map(|region| self.copy(cx, region));
        let mut made = vec![self.original.clone()];
        let mut failed = Vec::new();
        for (region, copied) in self.regions.iter().zip(join_all(copies).await) {
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
        let begun = self.begun().clone();
        for (region, id) in &begun {
            cx.ui.say(format!("Removing the copy in {region}: the build failed"));
            self.remove(cx, region, id.as_deref()).await?;
        }
        Ok(())
    }

    fn stands_alone(&self) -> bool {
        true
    }
}
