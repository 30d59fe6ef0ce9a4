//! The tags of AMIs that were published or tested. Each names the AMI itself, so that a copy which
//! took the tags along is not taken for the original.

use aws_sdk_ec2::types::Image;

use crate::aws::tags;

/// Which image an AMI was published as.
pub const PUBLISHED: &str = "imgbake:published";

/// What [`PUBLISHED`] says of `ami`, which was published as the image `name`.
pub fn published(name: &str, ami: &str) -> String {
    format!("{name} {ami}")
}

/// Whether `image` was published as the image `name`.
pub fn is_published(image: &Image, name: &str) -> bool {
    says(image, PUBLISHED, |ami| published(name, ami))
}

/// Whether `image` has passed its tests.
pub fn is_tested(image: &Image) -> bool {
    says(image, tags::TESTED, tags::passed)
}

/// Whether the tag `key` says of `image` itself what `text` is.
fn says(image: &Image, key: &str, text: impl Fn(&str) -> String) -> bool {
    tags::value(image.tags(), key) == Some(&text(image.image_id().unwrap_or_default()))
}
