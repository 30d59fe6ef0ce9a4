//! The surrogate volumes: their options, and a file for each step that only they need.

mod find_volumes;
mod options;
mod swap_volumes;

pub(super) use self::find_volumes::{FindVolumes, Volume};
pub(super) use self::options::SurrogateOptions;
pub(super) use self::swap_volumes::SwapVolumes;
