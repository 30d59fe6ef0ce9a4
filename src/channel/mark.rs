//! The tags of AMIs that were published or tested. Each names the AMI itself, so that a copy which
//! took the tags along is not taken for the original.

use aws_sdk_ec2::types::Image;

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::tags::{self, tag};

pub use crate::aws::tags::TESTED;

/// Which image an AMI was published as.
pub const PUBLISHED: &str = "imgbake:published";
/// What [`TESTED`] says of a good one.
pub const PASSED: &str = "passed";

/// The value of one of these tags.
pub fn value(text: &str, ami: &str) -> String {
    format!("{text} {ami}")
}

/// Whether `image` has the tag `key` with this `text`, and it is about `image` itself.
pub fn is(image: &Image, key: &str, text: &str) -> bool {
    let id = image.image_id().unwrap_or_default();
    tags::value(image.tags(), key) == Some(&value(text, id))
}

/// Gives the tag `key` with this `text` to an AMI.
///
/// # Errors
/// If the API refuses.
pub async fn give(ec2: &Ec2, ami: &str, key: &str, text: &str) -> Result<(), ApiError> {
    let request = ec2.create_tags().resources(ami).tags(tag(key, value(text, ami)));
    ec2.call("CreateTags", |_| request.clone().send()).await?;
    Ok(())
}
