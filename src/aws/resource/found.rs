//! What a search for a resource shows.

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image;

/// What a search shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there, and ours: its id.
    Ours(String),
    /// Something is there, but nothing proves that it is ours: its id.
    Unproven(String),
    /// Nothing is there.
    Nothing,
}

impl Found {
    /// `id`, which is ours or not.
    pub fn new(id: Option<&str>, is_ours: bool) -> Self {
        match (id, is_ours) {
            (Some(id), true) => Self::Ours(id.to_owned()),
            (Some(id), false) => Self::Unproven(id.to_owned()),
            (None, _) => Self::Nothing,
        }
    }

    /// `id`, which only ours has.
    pub fn certain(id: Option<String>) -> Self {
        id.map_or(Self::Nothing, Self::Ours)
    }

    /// The first that is ours of `all`, else any that is not.
    pub fn best(all: impl IntoIterator<Item = Self>) -> Self {
        let mut best = Self::Nothing;
        for found in all {
            match found {
                Self::Ours(_) => return found,
                Self::Unproven(_) => best = found,
                Self::Nothing => {}
            }
        }
        best
    }

    /// Keeps the [better](Self::best) one of the two. Whether that is ours, and no search need go on.
    pub fn take(&mut self, found: Self) -> bool {
        *self = Self::best([std::mem::replace(self, Self::Nothing), found]);
        self.is_ours()
    }

    /// Whether it is there, and ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// The id of what is ours.
    pub fn ours(self) -> Option<String> {
        match self {
            Self::Ours(id) => Some(id),
            Self::Unproven(_) | Self::Nothing => None,
        }
    }
}

/// Where what a line is about is the deregistration of the AMI `id`: that is there if the AMI is not.
pub async fn deregistered(ec2: &Ec2, id: &str) -> Result<Found, ApiError> {
    let there = image::by_id(ec2, id).await?;
    Ok(Found::certain(there.is_none().then(|| id.to_owned())))
}
