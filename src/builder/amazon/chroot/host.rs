//! The instance that the build runs on.

use anyhow::Context as _;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::instance::by_id;
use crate::aws::metadata::identity;
use crate::builder::amazon::build::Build;
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Asks the metadata service which instance this is.
pub(super) struct FindHost {
    build: Build,
}

/// The instance.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Its id.
    pub id: String,
    /// Its availability zone.
    pub zone: String,
}

impl FindHost {
    pub(super) fn new(build: &Build) -> Self {
        Self { build: build.clone() }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeInstances"])]
    }
}

#[async_trait]
impl Step for FindHost {
    type Output = Host;

    fn name(&self) -> &'static str {
        "find the host"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Host> {
        let identity = identity(&cx.facts.scope.environment).await.context(
            "amazon-chroot works on an EC2 instance only, and the metadata service does not say \
             which one this is",
        )?;
        let (id, region) = (identity.instance_id, self.build.account.region());
        anyhow::ensure!(
            identity.region == region,
            "this instance, {id}, is in {}, and volumes of {region} cannot be attached to it",
            identity.region
        );
        let found = by_id(&self.build.ec2(cx), &id).await?;
        let found = found.with_context(|| format!("{region} has no instance {id}"))?;
        let zone = found.placement().and_then(|place| place.availability_zone());
        let zone = zone.with_context(|| format!("EC2 does not say where {id} is"))?.to_owned();
        cx.ui.say(format!("Working on {id} in {zone}"));
        Ok(Host { id, zone })
    }
}
