//! Before anything is made: are the credentials good, the regions there, and the name free?

use anyhow::bail;
use async_trait::async_trait;
use tokio::join;

use crate::aws::allow::Regions;
use crate::aws::image::own_by_name;
use crate::builder::amazon::ebs::{Job, Settings};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Asks what can be asked before the build.
pub(crate) struct CheckAccount {
    job: Job,
    /// The name of an AMI that may be there.
    left: Option<String>,
}

impl CheckAccount {
    /// An AMI called `left` may be there: a dead run has left it.
    pub(crate) fn new(job: &Job, left: Option<&str>) -> Self {
        Self { job: job.clone(), left: left.map(str::to_owned) }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
        let replaces = settings.force && !settings.ebs.skip_create_ami;
        let looks_for_name = replaces || settings.is_first_of_its_name();
        let looks_for_users = replaces && !settings.ami.force_deregister_in_use;
        let calls = [
            ("DescribeRegions", !settings.copies.skip_region_validation),
            ("DescribeImages", looks_for_name),
            ("DescribeInstances", looks_for_users),
            ("DescribeSecurityGroups", settings.access.skip_credential_validation),
            ("DescribeLaunchTemplateVersions", looks_for_users),
        ];
        calls.iter().filter(|(_, is_made)| *is_made).map(|(call, _)| at.look(&[call])).collect()
    }

    async fn check_credentials(&self, cx: &BuildContext) -> anyhow::Result<()> {
        match self.job.settings.access.skip_credential_validation {
            true => self.job.account.learn_owner(&cx.cancel).await,
            false => self.job.account.check_credentials(&cx.cancel).await,
        }
    }

    async fn check_regions(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let copies = &self.job.settings.copies;
        if copies.skip_region_validation {
            return Ok(());
        }
        let mut regions = vec![self.job.account.region()];
        regions.extend(copies.ami_regions.iter().map(String::as_str));
        self.job.account.check_regions(&regions, &cx.cancel).await
    }

    async fn check_name(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let name = &self.job.settings.ami.ami_name;
        if self.job.settings.ebs.skip_create_ami {
            return Ok(());
        }
        if self.job.settings.force {
            cx.ui.say(format!("AMIs called `{name}` will give way to the new one if it is made"));
            let old = self.job.old_images(cx).await?;
            return self.job.refuse_used(cx, &old).await;
        }
        if !self.job.settings.is_first_of_its_name() || self.left.as_ref() == Some(name) {
            return Ok(());
        }
        cx.ui.say(format!("Checking that no AMI is called `{name}`"));
        let known = own_by_name(&self.job.ec2(cx), name).await?;
        if let Some(known) = known.first() {
            bail!(
                "an AMI called `{name}` exists already in {}: {}; choose another `ami_name`, \
                 or set `force_deregister`",
                self.job.account.region(),
                known.image_id().unwrap_or_default(),
            );
        }
        Ok(())
    }
}

#[async_trait]
impl Step for CheckAccount {
    type Output = ();

    fn name(&self) -> &'static str {
        "check the account"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let settings = &self.job.settings;
        settings.copies.refuse_useless(&settings.ami, self.job.account.region())?;
        let (credentials, regions, name) =
            join!(self.check_credentials(cx), self.check_regions(cx), self.check_name(cx));
        // Bad credentials are the cause of all that follows.
        credentials.and(regions).and(name)
    }
}
