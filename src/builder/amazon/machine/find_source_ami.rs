//! Which AMI to start from.

use anyhow::{bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::types::Image;

use crate::aws::allow::Regions;
use crate::aws::search::{self, Found};
use crate::builder::amazon::machine::settings::Machine;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Looks the source AMI up by id, by filter, or by both.
pub(crate) struct FindSourceAmi {
    machine: Machine,
}

impl FindSourceAmi {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeImages"])]
    }

    async fn look_up(&self, cx: &BuildContext) -> anyhow::Result<Image> {
        let run = &self.machine.settings.run;
        let id = Some(run.source_ami.as_str()).filter(|id| !id.is_empty());
        let wanted = run.source_ami_filter.as_ref();
        match search::find(&self.machine.build.ec2(cx), id, wanted).await? {
            Found::One(image) => Ok(*image),
            Found::None => bail!(
                "no AMI in {} matches `{}`",
                self.machine.build.account.region(),
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
            source.is_on_ebs(),
            "{id} has no EBS root device, and {builder} can only use those that have"
        );
        let (kind, needs_hvm) =
            (source.virtualization(), self.machine.settings.networking.needs_hvm());
        ensure!(!needs_hvm || kind == "hvm", "enhanced networking needs hvm, but {id} is {kind}");
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
        let source = SourceAmi::new(self.machine.build.account.region(), image);
        self.check(cx, &source)?;
        Ok(source)
    }
}
