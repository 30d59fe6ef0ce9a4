//! What all builders of AMIs have in common, whatever they make them of.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;
use async_trait::async_trait;

use super::ami_plan::AmiPlan;
use super::artifact::Amis;
use super::build::Build;
use super::image;
use super::machine::{self, Machine, StepList};
use super::pairing::Pairing;
use super::past;
use crate::aws;
use crate::aws::allow::Regions;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::tags;
use crate::component::{
    Artifact, BuildContext, Builder, Capabilities, Cleaner, CleanupContext, PastImage, PastQuery,
    Purpose,
};
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::step::Steps;

/// A builder that makes AMIs. That makes it a [`Builder`]: here is only what they differ in.
pub(crate) trait AmiBuilder: StepList<Made = Option<Amis>> + Send {
    /// What its artifacts are known by.
    const BUILDER_ID: &'static str;

    /// Its account, and the AMI.
    fn ami(&self) -> &AmiPlan;

    /// The instance that it starts and makes the AMI of, if it starts one.
    fn pairing(&self) -> Option<&Pairing>;

    /// Why it makes no AMI, if the template wants none.
    fn makes_no_ami(&self) -> Option<&'static str> {
        None
    }

    /// Whether its instance may be kept where a provisioner has failed.
    fn keeps_failed(&self) -> bool {
        false
    }

    /// The local files that go into the AMI beside options and provisioners.
    fn files(&self) -> Vec<PathBuf> {
        let user_data = self.pairing().and_then(|pair| pair.machine.run.user_data_file.clone());
        user_data.into_iter().collect()
    }

    /// What the account must allow so that it can build.
    fn permissions_to_build(&self, at: &Regions) -> Vec<Permission>;

    /// Who removes what a killed run has left, beside what is in EC2.
    fn with_local_cleaner(&self, ec2: Ec2Cleaner, _cx: &CleanupContext) -> Box<dyn Cleaner> {
        Box::new(ec2)
    }
}

#[async_trait]
impl<B: AmiBuilder> Builder for B {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        Ok(machine::bake(cx, self).await?.map(|amis| Arc::new(amis) as Arc<dyn Artifact>))
    }

    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.files())
    }

    fn capabilities(&self) -> Capabilities {
        let none = self.makes_no_ami();
        Capabilities {
            skips_unchanged: none.map_or(Ok(()), Err),
            tests: none.is_none() && self.pairing().is_some_and(Pairing::connects),
            keeps_failed: self.keeps_failed(),
            takes_checkpoints: false,
        }
    }

    fn makes(&self) -> Option<&'static str> {
        Some(B::BUILDER_ID)
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        match self.pairing() {
            Some(pair) => test(cx, pair, image).await,
            None => anyhow::bail!("this builder cannot start what it makes"),
        }
    }

    fn is_image_option(&self, option: &str) -> bool {
        image::is_option(option)
    }

    fn permissions(&self, purpose: Purpose, environment: &Environment) -> Vec<Permission> {
        let at = self.ami().regions(environment);
        match purpose {
            Purpose::Build => self.permissions_to_build(&at),
            Purpose::Test => match self.pairing() {
                Some(_) => {
                    [machine::permissions_to_test(&at), image::permissions_to_mark(&at)].concat()
                }
                None => Vec::new(),
            },
            Purpose::Keep => match self.pairing().filter(|_| self.keeps_failed()) {
                Some(pair) => machine::permissions_to_keep(&pair.machine, &at),
                None => Vec::new(),
            },
            Purpose::Look => past::permissions(&self.ami().build, &at),
        }
    }

    async fn earlier_images(&self, query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        let AmiPlan { build, image } = self.ami();
        past::of_build(build, &image.copies.ami_regions, query).await.map(Some)
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        let access = self.ami().build.access.clone();
        Some(self.with_local_cleaner(Ec2Cleaner { access, cx: cx.clone() }, cx))
    }
}

/// Has the AMI `image` tested: an id, or that after the name of its region and a colon.
async fn test(cx: &BuildContext, pair: &Pairing, image: &str) -> anyhow::Result<()> {
    let options = &pair.ami.build;
    let account = machine::account(cx, options).await?;
    let (region, id) = image.rsplit_once(':').unwrap_or((account.region(), image));
    let own = account.region().to_owned();
    ensure!(region == own, "{id} is in {region}, and the build works in {own}");
    let build = Build::new(account, options.clone());
    let ec2 = build.ec2(cx);
    let machine = Machine { build, settings: pair.machine.clone() };
    machine::test(cx, &Steps::new(cx), &machine, id).await?;
    if image::mark_tested(cx, &ec2, id).await {
        let tag = tags::TESTED;
        cx.ui.say(format!("{id} in {own} has the tag `{tag}`: `imgbake promote` takes it"));
    }
    Ok(())
}
