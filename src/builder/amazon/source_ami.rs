//! The AMI that a machine is started from.

use std::sync::Arc;

use aws_sdk_ec2::types::{DeviceType, Image, PlatformValues};

use crate::interpolate::{BuildData, Dot};

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

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        self.image.image_id().unwrap_or_default()
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
