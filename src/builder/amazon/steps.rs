//! The steps of an `amazon-ebs` build, one file each.

pub(super) use super::image::adopt_image::Left;
pub(super) use super::image::check_account::CheckAccount;
pub(super) use super::image::copy_image::CopyImage;
pub(super) use super::image::create_image::CreateImage;
pub(super) use super::image::deregister_old::DeregisterOld;
pub(super) use super::image::enable_fast_launch::EnableFastLaunch;
pub(super) use super::image::find_old::FindOld;
pub(super) use super::image::hand_over::HandOver;
pub(super) use super::image::set_lifetime::SetLifetime;
pub(super) use super::image::share_images::ShareImages;
pub(super) use super::image::tag_images::TagImages;
pub(super) use super::machine::find_network::{FindNetwork, Network, Place, leaves_place_open};
pub(super) use super::machine::find_source_ami::{FindSourceAmi, SourceAmi};
pub(super) use super::machine::make_key_pair::MakeKeyPair;
pub(super) use super::machine::make_profile::MakeProfile;
pub(super) use super::machine::open_security_group::OpenSecurityGroup;
pub(super) use super::machine::open_tunnel::OpenTunnel;
pub(super) use super::machine::run_instance::{RunInstance, Running};
pub(super) use super::machine::set_attributes::SetAttributes;
pub(super) use super::machine::stop_instance::StopInstance;

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_ec2::types::Tag;

use crate::aws::build_tags::own_tags;
use crate::aws::call::Ec2;
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::aws::tags::{self, TagBlock, TagMap};
use crate::builder::amazon::ebs::Job;
use crate::component::BuildContext;

/// How long an image or snapshot may stay without progress.
pub(super) const IMAGE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A made image: where, which, and what it consists of.
#[derive(Clone, Debug)]
pub(crate) struct MadeImage {
    /// The region.
    pub region: String,
    /// The AMI's id.
    pub id: String,
    /// What it is called there.
    pub name: String,
    /// Its snapshots.
    pub snapshots: Vec<String>,
}

impl Job {
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
        self.settings.access.aws_polling.patience(&cx.facts.scope.environment, default)
    }

    /// The tags of everything that exists while the build runs.
    pub(super) fn run_tags(
        &self,
        cx: &BuildContext,
        source: &SourceAmi,
    ) -> anyhow::Result<Vec<Tag>> {
        let run = &self.settings.run;
        render_tags(cx, source, "run_tags", &run.run_tags, &run.run_tag)
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
            build: &cx.facts.build_name,
            ui: &cx.ui,
            cancel: &cx.cancel,
            patience: self.patience(cx, INSTANCE_PATIENCE),
            suspicious: false,
        }
    }

    /// Whether images get the `run_tags`: the reference leaves them out in China and GovCloud.
    pub(super) fn images_take_run_tags(&self) -> bool {
        let region = self.account.region();
        let apart = region.starts_with("cn-") || region.starts_with("us-gov-");
        !apart && !self.settings.ebs.skip_ami_run_tags
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
