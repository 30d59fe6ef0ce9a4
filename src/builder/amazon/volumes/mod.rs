//! The volumes that a machine fills: their options, and a file for each step until they are handed
//! over.

mod artifact;
mod hand_over;
mod options;
mod tag_volumes;

pub(super) use self::artifact::{BUILDER_ID, Volumes};
pub(super) use self::hand_over::HandOverVolumes;
pub(super) use self::options::VolumesOptions;
pub(super) use self::tag_volumes::TagVolumes;
