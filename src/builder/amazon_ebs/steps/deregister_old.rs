//! AMIs of the same name go first, where the template or `-force` says so.

use async_trait::async_trait;

use crate::aws::image::{deregister, own_by_name, remove};
use crate::builder::amazon_ebs::Job;
use crate::component::BuildContext;
use crate::event::Phase;
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
        let own = self.job.account.region().to_owned();
        let regions = self.job.settings.ami.copies_from(&own);
        for region in regions.iter().chain([&own]) {
            self.clear(cx, region).await?;
        }
        Ok(())
    }
}
