//! Tags, as templates write them: a map, or blocks with a name and a value.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::config::{Late, late_fields};
use crate::interpolate::{Dot, Error, Scope};

/// What is known of the image that another one is made from. Its tags, a map, come last.
const SOURCE_AMI: [&str; 7] = [
    "BuildRegion",
    "SourceAMI",
    "SourceAMIName",
    "SourceAMICreationDate",
    "SourceAMIOwner",
    "SourceAMIOwnerName",
    "SourceAMITags",
];

/// What provisioners know of it: all but the tags.
pub const SOURCE_AMI_DATA: &[&str] = SOURCE_AMI.split_at(SOURCE_AMI.len() - 1).0;

late_fields! {
    /// What texts about an image know of the one that it was made from.
    pub SourceAmiFields = SOURCE_AMI;
}

/// The tag of an AMI whose tests it has [`passed`].
pub const TESTED: &str = "imgbake:tested";

/// What [`TESTED`] says of a good AMI. It names the AMI itself, so that a copy which took the tag along
/// is not taken for the original.
pub fn passed(ami: &str) -> String {
    format!("passed {ami}")
}

/// Whether `ami` has passed its tests, as its tag [`TESTED`] says.
pub fn is_tested(tags: &[Tag], ami: &str) -> bool {
    value(tags, TESTED) == Some(&passed(ami))
}

/// The tag of an AMI that says as which images it was published: `ami-1 /images/web`. It names the AMI
/// itself, as [`TESTED`] does.
pub const PUBLISHED: &str = "imgbake:published";

/// The paths of the images as which `ami` was published, as its tag [`PUBLISHED`] says.
pub fn published_as<'a>(tags: &'a [Tag], ami: &str) -> impl Iterator<Item = &'a str> {
    let mut words = value(tags, PUBLISHED).unwrap_or_default().split(' ');
    let is_its_own = words.next() == Some(ami);
    words.filter(move |_| is_its_own)
}

/// A text about an image.
pub type ImageText = Late<SourceAmiFields>;

/// One tag as a block.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TagBlock {
    /// The tag's key.
    pub key: Option<ImageText>,
    /// Another word for `key`.
    pub name: Option<ImageText>,
    /// The tag's value.
    pub value: ImageText,
}

impl TagBlock {
    /// The key, however it was written.
    pub fn key(&self) -> Option<&ImageText> {
        self.key.as_ref().or(self.name.as_ref())
    }
}

/// Tags as a map of names to values. Both are templates.
pub type TagMap = IndexMap<ImageText, ImageText>;

/// The map and the blocks together, rendered. A block wins over an entry of the map.
pub fn render(
    map: &TagMap,
    blocks: &[TagBlock],
    scope: &Scope,
    dot: &Dot,
) -> Result<Vec<Tag>, Error> {
    let blocks = blocks.iter().filter_map(|block| Some((block.key()?, &block.value)));
    let mut rendered = IndexMap::new();
    for (key, value) in map.iter().chain(blocks) {
        rendered.insert(key.render(scope, dot)?, value.render(scope, dot)?);
    }
    Ok(rendered.into_iter().map(|(key, value)| tag(key, value)).collect())
}

/// What the tag `key` says, if it is among `tags`.
pub fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key))?.value()
}

/// A tag.
pub fn tag(key: impl Into<String>, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// Takes the tags with `keys` off what has these `ids`.
pub async fn remove(ec2: &Ec2, ids: &[String], keys: &[&str]) -> Result<(), ApiError> {
    let tags = keys.iter().map(|key| Tag::builder().key(*key).build()).collect();
    let request = ec2.delete_tags().set_resources(Some(ids.to_vec())).set_tags(Some(tags));
    ec2.expecting(ids).call("DeleteTags", |_| request.clone().send()).await?;
    Ok(())
}

/// Puts `tags` on what has these `ids`.
pub async fn put(ec2: &Ec2, ids: &[String], tags: &[Tag]) -> Result<(), ApiError> {
    let request = ec2.create_tags().set_resources(Some(ids.to_vec())).set_tags(Some(tags.to_vec()));
    ec2.expecting(ids).call("CreateTags", |_| request.clone().send()).await?;
    Ok(())
}

/// `tags` for things of `kind`, in the call that makes them; `None` if there are none.
pub fn specification(kind: ResourceType, tags: &[Tag]) -> Option<TagSpecification> {
    let specification = TagSpecification::builder().resource_type(kind);
    (!tags.is_empty()).then(|| specification.set_tags(Some(tags.to_vec())).build())
}
