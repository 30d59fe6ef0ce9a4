//! What the steps of a machine and those of its image have in common: an account, and how all that a
//! build makes there is known as its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_ec2::types::Tag;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::access::Access;
use crate::aws::account::Handle;
use crate::aws::allow::Regions;
use crate::aws::build_tags::own_tags;
use crate::aws::call::Ec2;
use crate::aws::name::time_ordered_id;
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::aws::tags::{self, TagBlock, TagMap};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{BuildContext, Check};
use crate::config::{UNKNOWN, option_parts};
use crate::env::Environment;
use crate::permission::Permission;

option_parts! {
    /// In which account a build works, and how it tags what it makes there.
    #[derive(Debug)]
    pub struct BuildOptions {
        /// The account.
        pub access: Access,
        /// The tags.
        pub run_tags: RunTags,
    }
}

/// Tags of what exists while the build runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RunTags {
    /// Tags of everything that exists while the build runs: instance, network interface, key pair,
    /// security group; and, by a builder of AMIs, of the AMI and its snapshots, unless
    /// `skip_ami_run_tags`.
    pub run_tags: TagMap,
    /// The same as `run_tags`, a block for each.
    pub run_tag: Vec<TagBlock>,
}

impl BuildOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        self.access.check(check);
        check_tags("run_tag", &self.run_tags.run_tag, check);
    }

    /// The region of the build and the `others` that it works in, as permissions name them.
    pub fn regions(&self, environment: &Environment, others: &[String]) -> Regions {
        // A region that a data source will say is not known by now.
        let own = self.access.region_given(environment).filter(|region| region != UNKNOWN);
        Regions::new(own, others)
    }

    /// What the credentials to begin with must be allowed. Anybody may ask who she is.
    pub fn permissions(&self) -> Vec<Permission> {
        let mut all = Vec::new();
        if let Some(role) = &self.access.assume_role {
            all.push(Permission::new(["sts:AssumeRole"]).on([&role.role_arn]));
            if !self.access.mfa_code.is_empty() {
                let own = "arn:*:iam::*:user/${aws:username}";
                all.push(Permission::new(["iam:ListMFADevices"]).on([own]));
            }
        }
        if self.access.decode_authorization_messages {
            all.push(Permission::new(["sts:DecodeAuthorizationMessage"]));
        }
        all
    }
}

impl RunTags {
    /// Whether there are any.
    pub fn are_given(&self) -> bool {
        !self.run_tags.is_empty() || !self.run_tag.is_empty()
    }
}

/// One build in an account. A build that begins anew is another one.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub account: Handle,
    pub options: Arc<BuildOptions>,
    /// Marks what this build makes, so that it is found even if EC2's answer was lost.
    pub token: String,
}

impl Build {
    /// A new one.
    pub(super) fn new(account: Handle, options: Arc<BuildOptions>) -> Self {
        Self { account, options, token: time_ordered_id() }
    }

    /// EC2 in the region of the build.
    pub(super) fn ec2(&self, cx: &BuildContext) -> Ec2 {
        self.account.ec2(&cx.cancel)
    }

    /// EC2 in another region.
    pub(super) fn ec2_in(&self, cx: &BuildContext, region: &str) -> Ec2 {
        self.account.ec2_in(region, &cx.cancel)
    }

    /// How long nothing may change in a wait that has `default` patience.
    pub(super) fn patience(&self, cx: &BuildContext, default: Duration) -> Duration {
        self.options.access.aws_polling.patience(&cx.facts.scope.environment, default)
    }

    /// The tags of everything that exists while the build runs.
    pub(super) fn run_tags(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
    ) -> anyhow::Result<Vec<Tag>> {
        let RunTags { run_tags, run_tag } = &self.options.run_tags;
        render_tags(cx, source, "run_tags", run_tags, run_tag)
    }

    /// The same, and what makes them known as ours.
    pub(super) fn own_tags(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
    ) -> anyhow::Result<Vec<Tag>> {
        let mut tags = self.run_tags(cx, source)?;
        tags.extend(self.known_as_ours(cx));
        Ok(tags)
    }

    /// The tags that make things known as ours.
    pub(super) fn known_as_ours(&self, cx: &BuildContext) -> [Tag; 2] {
        own_tags(&cx.facts.scope.environment.run_uuid, &self.token)
    }

    /// Takes back what the build has made.
    pub(super) fn removal<'a>(&'a self, cx: &'a BuildContext) -> Removal<'a> {
        Removal {
            account: &self.account,
            journal: &cx.journal,
            build: &cx.facts.unique_name,
            ui: &cx.ui,
            cancel: &cx.cancel,
            patience: self.patience(cx, INSTANCE_PATIENCE),
            is_of_dead_run: false,
        }
    }
}

/// The tags of `option` with the facts of the source AMI filled in.
pub(super) fn render_tags(
    cx: &BuildContext,
    source: &SourceAmi,
    option: &str,
    map: &TagMap,
    blocks: &[TagBlock],
) -> anyhow::Result<Vec<Tag>> {
    tags::render(map, blocks, &cx.facts.scope, &source.dot())
        .with_context(|| format!("cannot render `{option}`"))
}

/// Reports tag blocks without a key.
pub(super) fn check_tags(option: &str, blocks: &[TagBlock], check: &mut Check<'_>) {
    if blocks.iter().any(|block| block.key().is_none()) {
        check.missing(&format!("{option}.key"), "every tag has a key and a value");
    }
}
