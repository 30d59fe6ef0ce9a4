//! An AMI that was made.

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
