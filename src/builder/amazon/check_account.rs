//! Before anything is made: are the credentials good, and the regions there?

use async_trait::async_trait;
use tokio::join;

use crate::aws::allow::Regions;
use crate::builder::amazon::build::{Build, BuildOptions};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Asks what can be asked of the account.
pub(super) struct CheckAccount {
    build: Build,
    /// Regions that there must be, beside that of the build; `None`: nobody looks.
    others: Option<Vec<String>>,
}

impl CheckAccount {
    pub(super) fn new(build: &Build, others: Option<&[String]>) -> Self {
        Self { build: build.clone(), others: others.map(<[_]>::to_vec) }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(
        options: &BuildOptions,
        looks_at_regions: bool,
        at: &Regions,
    ) -> Vec<Permission> {
        let calls = [
            ("DescribeRegions", looks_at_regions),
            ("DescribeSecurityGroups", options.access.skip_credential_validation),
        ];
        calls.iter().filter(|(_, is_made)| *is_made).map(|(call, _)| at.look(&[call])).collect()
    }

    async fn check_credentials(&self, cx: &BuildContext) -> anyhow::Result<()> {
        match self.build.options.access.skip_credential_validation {
            true => self.build.account.learn_owner(&cx.cancel).await,
            false => self.build.account.check_credentials(&cx.cancel).await,
        }
    }

    async fn check_regions(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let Some(others) = &self.others else { return Ok(()) };
        let mut regions = vec![self.build.account.region()];
        regions.extend(others.iter().map(String::as_str));
        self.build.account.check_regions(&regions, &cx.cancel).await
    }
}

#[async_trait]
impl Step for CheckAccount {
    type Output = ();

    fn name(&self) -> &'static str {
        "check the account"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let (credentials, regions) = join!(self.check_credentials(cx), self.check_regions(cx));
        // Bad credentials are the cause of all that follows.
        credentials.and(regions)
    }
}
