//! The tags of AMIs that were published or tested. Each names the AMI itself, so that a copy which
//! took the tags along is not taken for the original.

use anyhow::ensure;
use aws_sdk_ec2::types::Image;

use crate::aws::tags;

pub use crate::aws::tags::PUBLISHED;

/// The most characters that the value of a tag may have.
const LONGEST: usize = 256;

/// The paths of the images as which the tag says that an AMI was published, whoever that was:
/// `/images/web` of `ami-1 /images/web`.
pub fn paths(image: &Image) -> impl Iterator<Item = &str> {
    let value = tags::value(image.tags(), PUBLISHED).unwrap_or_default();
    value.split(' ').skip(1)
}

/// Whether [`paths`] are about `image` itself.
pub fn is_its_own(image: &Image) -> bool {
    let value = tags::value(image.tags(), PUBLISHED).unwrap_or_default();
    value.split(' ').next() == image.image_id()
}

/// What [`PUBLISHED`] has to say once `image` is published as the image at `path`; `None` if it says so
/// already.
///
/// # Errors
/// If it was published as more images than a tag can say.
pub fn published(image: &Image, path: &str) -> anyhow::Result<Option<String>> {
    let id = image.image_id().unwrap_or_default();
    let known: Vec<&str> = tags::published_as(image.tags(), id).collect();
    if known.contains(&path) {
        return Ok(None);
    }
    let words: Vec<&str> = [id].into_iter().chain(known).chain([path]).collect();
    let value = words.join(" ");
    ensure!(value.len() <= LONGEST, "{id} is published as too many images: {value}");
    Ok(Some(value))
}

/// Whether `image` has passed its tests.
pub fn is_tested(image: &Image) -> bool {
    tags::is_tested(image.tags(), image.image_id().unwrap_or_default())
}
