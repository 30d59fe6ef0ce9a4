//! The AMI that a machine is started from.

use std::sync::Arc;

use aws_sdk_ec2::types::{DeviceType, Image, PlatformValues};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::search::AmiFilter;
use crate::component::Check;
use crate::diagnostic::code;
use crate::interpolate::{BuildData, Dot};

/// Which AMI to start from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SourceOptions {
    /// The AMI to start from.
    pub source_ami: String,
    /// How to find the AMI to start from.
    pub source_ami_filter: Option<AmiFilter>,
}

impl SourceOptions {
    /// Warns of what is rarely wanted.
    pub fn lint(&self, check: &mut Check<'_>) {
        let Some(filter) = &self.source_ami_filter else { return };
        if filter.owners.is_empty() {
            owners_missing(check);
        }
        if self.source_ami.is_empty() {
            filter.lint_most_recent("source_ami_filter", check);
        }
    }

    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        match &self.source_ami_filter {
            None if self.source_ami.is_empty() => check.missing(
                "source_ami",
                "give the id of the AMI to start from, or a `source_ami_filter` to find it",
            ),
            Some(filter) if self.source_ami.is_empty() && filter.owners.is_empty() => check
                .missing(
                    "source_ami_filter.owners",
                    "say whose AMIs to trust, e.g. [\"099720109477\"] for Ubuntu's",
                ),
            _ => {}
        }
    }
}

/// A filter for AMIs that takes those of anyone.
fn owners_missing(check: &mut Check<'_>) {
    let summary = "`source_ami_filter` does not say whose AMIs it takes";
    let found = check.warn(code::OWNERS_MISSING, "source_ami_filter", summary);
    found.cause = Some("no `owners`".to_owned());
    found.notes.push("anyone can publish an AMI with a name that matches".to_owned());
    let help = "set `owners` to the account that publishes the image, `amazon` or `self`";
    found.help = Some(help.to_owned());
}

/// The AMI to start from.
#[derive(Clone, Debug)]
pub(crate) struct SourceAmi {
    region: String,
    image: Arc<Image>,
}

impl SourceAmi {
    /// `image`, which is in `region`.
    pub(crate) fn new(region: &str, image: Image) -> Self {
        Self { region: region.to_owned(), image: Arc::new(image) }
    }

    /// None: what is made in `region` is made of something else.
    pub(crate) fn none(region: &str) -> Self {
        Self::new(region, Image::builder().build())
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.image.image_id().unwrap_or_default()
    }

    /// What EC2 says of it.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Whether its root device is a volume: only then a machine can be stopped.
    pub(crate) fn is_on_ebs(&self) -> bool {
        self.image.root_device_type().is_none_or(|root| *root == DeviceType::Ebs)
    }

    /// Whether it has Windows.
    pub(crate) fn is_windows(&self) -> bool {
        self.image.platform().is_some_and(|platform| *platform == PlatformValues::Windows)
    }

    /// `hvm` or `paravirtual`.
    pub(crate) fn virtualization(&self) -> &str {
        self.image.virtualization_type().map(|kind| kind.as_str()).unwrap_or("hvm")
    }

    /// The devices that a machine is started with.
    pub(crate) fn devices(&self) -> Vec<String> {
        let disks = self.image.block_device_mappings().iter();
        let named = disks.filter_map(|disk| disk.device_name());
        named.chain(self.image.root_device_name()).map(str::to_owned).collect()
    }

    /// What templates of tags and descriptions know.
    pub(crate) fn dot(&self) -> Dot {
        let tags = self.image.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        let tags = tags.map(|(key, value)| (key.to_owned(), value.into())).collect();
        let mut dot = self.facts();
        dot.insert("SourceAMITags".to_owned(), serde_json::Value::Object(tags));
        dot
    }

    /// What `build.*` says of a machine that was started from it.
    pub(crate) fn build_data(&self, instance: &str) -> BuildData {
        let mut data = self.facts();
        data.insert("ID".to_owned(), instance.into());
        data
    }

    fn facts(&self) -> BuildData {
        let image = &self.image;
        let facts = [
            ("BuildRegion", Some(self.region.as_str())),
            ("SourceAMI", image.image_id()),
            ("SourceAMIName", image.name()),
            ("SourceAMICreationDate", image.creation_date()),
            ("SourceAMIOwner", image.owner_id()),
            ("SourceAMIOwnerName", image.image_owner_alias()),
        ];
        let text = |text: Option<&str>| text.unwrap_or_default().into();
        facts.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }
}
