//! AMIs of the same name go first, where the template or `-force` says so.

use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::image::{deregister, own_by_name, remove};
use crate::builder::amazon_ebs::{Job, Settings};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Deregisters the account's AMIs that have the name of the new one. It cannot be undone, and EC2
/// does not allow two AMIs of one name: so it is done as late as possible.
pub(crate) struct DeregisterOld {
    job: Job,
}

impl DeregisterOld {
    pub(crate) fn new(job: &Job) -> Self {
        Self { job: job.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
        if !settings.force {
            return Vec::new();
        }
        let mut all =
            vec![at.look(&["DescribeImages"]), at.everywhere(&["image"], &["DeregisterImage"])];
        if settings.ami.force_delete_snapshot {
            all.push(at.everywhere(&["snapshot"], &["DeleteSnapshot"]));
        }
        all
    }

    async fn clear(&self, cx: &BuildContext, region: &str) -> anyhow::Result<()> {
        let ami = &self.job.settings.ami;
        let ec2 = self.job.ec2_in(cx, region);
        for old in own_by_name(&ec2, &ami.ami_name).await? {
            let id = old.image_id().unwrap_or_default();
            cx.ui.say(format!("Deregistering {id}, the AMI called `{}` in {region}", ami.ami_name));
            match ami.force_delete_snapshot {
                true => remove(&ec2, &old).await?,
                false => deregister(&ec2, id).await?,
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Step for DeregisterOld {
    type Output = ();

    fn name(&self) -> &'static str {
        "deregister old AMIs"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if !self.job.settings.force {
            return Ok(());
        }
        for region in &self.job.settings.copies.regions(self.job.account.region()) {
            self.clear(cx, region).await?;
        }
        Ok(())
    }
}
