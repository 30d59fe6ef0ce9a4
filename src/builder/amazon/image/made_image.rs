//! An AMI that was made.

use aws_sdk_ec2::types::Image;

use crate::aws::image::snapshots;

/// Where it is, which it is, and what it consists of.
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
    /// Those of them that the build itself made, with tags of ours, before there was the AMI.
    pub own_snapshots: Vec<String>,
}

impl MadeImage {
    /// The AMI `id` in `region`, called `name`; `image` is what EC2 says of it.
    pub(crate) fn new(region: &str, id: &str, name: &str, image: &Image) -> Self {
        Self {
            region: region.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            snapshots: snapshots(image),
            own_snapshots: Vec::new(),
        }
    }
}
