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
}
