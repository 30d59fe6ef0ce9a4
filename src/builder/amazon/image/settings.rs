//! The image as the template wants it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::build::{Build, BuildOptions};
use crate::builder::amazon::image::ami::{AmiOptions, VirtualizationType};
use crate::builder::amazon::image::copies::CopyOptions;
use crate::builder::amazon::image::sharing::SharingOptions;
use crate::component::{BuildContext, Check};
use crate::config::{Part as _, option_parts};
use crate::journal::Thing;
use crate::step::Ending;

option_parts! {
    /// The options of an AMI, however it is made.
    #[derive(Debug)]
    pub struct ImageOptions {
        /// What it is called.
        pub ami: AmiOptions,
        /// Who may launch it.
        pub sharing: SharingOptions,
        /// Its copies.
        pub copies: CopyOptions,
        /// Its disks.
        pub disks: ImageDisks,
    }
}

/// The disks of the image.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageDisks {
    /// Disks of the AMI that differ from those of the machine.
    pub ami_block_device_mappings: Vec<BlockDevice>,
}

/// Whether the image gets the tags of the machine that it is made of.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageRunTags {
    /// Whether `run_tags` are kept off the AMI and its snapshots.
    pub skip_ami_run_tags: bool,
}

/// Whether `option` is one of an AMI.
pub(crate) fn is_option(option: &str) -> bool {
    ImageOptions::schema().has(option) || ImageRunTags::schema().has(option)
}

impl ImageOptions {
    /// Reports what is wrong; `needs_hvm`: with the networking that it has. `takes_run_tags`: whether it
    /// gets the `run_tags`.
    pub(crate) fn prepare(
        self,
        build: &BuildOptions,
        needs_hvm: bool,
        takes_run_tags: bool,
        check: &mut Check<'_>,
    ) -> ImageSettings {
        let Self { ami, sharing, copies, disks } = self;
        ami.check(check);
        if needs_hvm && ami.ami_virtualization_type == Some(VirtualizationType::Paravirtual) {
            check.error("ami_virtualization_type", "enhanced networking needs `hvm`");
        }
        copies.check(&build.access, sharing.shared_by(&ami.snapshot_users), check);
        let devices = disks.ami_block_device_mappings.iter();
        devices.for_each(|device| device.check("ami_block_device_mappings", check));
        let force = check.facts.force || ami.force_deregister;
        ImageSettings { ami, sharing, copies, disks, force, takes_run_tags }
    }
}

/// The image as the template wants it, checked.
#[derive(Debug)]
pub(crate) struct ImageSettings {
    pub ami: AmiOptions,
    pub sharing: SharingOptions,
    pub copies: CopyOptions,
    pub disks: ImageDisks,
    /// `-force`, or `force_deregister`.
    pub force: bool,
    /// Whether it gets the `run_tags`.
    pub takes_run_tags: bool,
}

impl ImageSettings {
    /// The option that shares the AMI or its snapshots with others, if one does.
    pub(crate) fn shared_by(&self) -> Option<&'static str> {
        self.sharing.shared_by(&self.ami.snapshot_users)
    }
}

/// An image that a build makes. What its steps work with.
#[derive(Clone, Debug)]
pub(crate) struct Imaging {
    pub build: Build,
    pub settings: Arc<ImageSettings>,
}

impl Imaging {
    /// Whether the image stays though it has failed its tests. Where an old one has given way to it, that
    /// is put back, and has the name.
    pub(crate) fn keeps_failed(&self, cx: &BuildContext) -> bool {
        cx.provisioning.keeps_failed_image() && !self.settings.force
    }

    /// Removes `made`, unless it is what the build is for and stays: the build ended well, or its image has
    /// failed and stays all the same.
    pub(crate) async fn undo(
        &self,
        cx: &BuildContext,
        made: &Thing,
        ending: Ending,
    ) -> anyhow::Result<()> {
        let stays = made.is_product() && (ending == Ending::Done || self.keeps_failed(cx));
        if stays { Ok(()) } else { self.build.removal(cx).remove(made).await }
    }

    /// Whether images get the `run_tags`: the reference leaves them out in China and GovCloud.
    pub(super) fn takes_run_tags(&self) -> bool {
        let region = self.build.account.region();
        let apart = region.starts_with("cn-") || region.starts_with("us-gov-");
        !apart && self.settings.takes_run_tags
    }
}
