//! Which AMI to start from.

use anyhow::{bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::types::Image;

use crate::aws::allow::Regions;
use crate::aws::search::{self, Found};
use crate::builder::amazon::build::Build;
use crate::builder::amazon::source_ami::{SourceAmi, SourceOptions};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Looks the source AMI up by id, by filter, or by both.
pub(crate) struct FindSourceAmi {
    build: Build,
    wanted: SourceOptions,
    needs_hvm: bool,
    may_be_on_store: bool,
}

impl FindSourceAmi {
    /// `needs_hvm`: with the networking that is to be had; `may_be_on_store`: the root device need not be a
    /// volume.
    pub(crate) fn new(
        build: &Build,
        wanted: &SourceOptions,
        needs_hvm: bool,
        may_be_on_store: bool,
    ) -> Self {
        Self { build: build.clone(), wanted: wanted.clone(), needs_hvm, may_be_on_store }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeImages"])]
    }

    async fn look_up(&self, cx: &BuildContext) -> anyhow::Result<Image> {
        let SourceOptions { source_ami, source_ami_filter } = &self.wanted;
        let id = Some(source_ami.as_str()).filter(|id| !id.is_empty());
        let wanted = source_ami_filter.as_ref();
        match search::find(&self.build.ec2(cx), id, wanted).await? {
            Found::One(image) => Ok(*image),
            Found::None => bail!(
                "no AMI in {} matches `{}`",
                self.build.account.region(),
                if wanted.is_some() { "source_ami_filter" } else { "source_ami" }
            ),
            Found::Several(several) => bail!(
                "{several} AMIs match `source_ami_filter`: make it narrower, or set `most_recent`"
            ),
        }
    }

    /// Whether this machine can be started from `source`.
    fn check(&self, cx: &BuildContext, source: &SourceAmi) -> anyhow::Result<()> {
        let (id, builder) = (source.id(), &cx.facts.builder_type);
        ensure!(
            self.may_be_on_store || source.is_on_ebs(),
            "{id} has no EBS root device, and {builder} can only use those that have"
        );
        let kind = source.virtualization();
        ensure!(
            !self.needs_hvm || kind == "hvm",
            "enhanced networking needs hvm, but {id} is {kind}"
        );
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
        let (id, name) = (image.image_id().unwrap_or_default(), image.name().unwrap_or_default());
        cx.ui.say(format!("Source AMI: {id} ({name})"));
        let source = SourceAmi::new(self.build.account.region(), image);
        self.check(cx, &source)?;
        Ok(source)
    }
}
