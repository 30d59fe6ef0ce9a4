//! Builders: each starts a machine, has it provisioned, and makes an image of it.
//!
//! | file | what is there |
//! |---|---|
//! | `provision` | what all do once a machine runs |
//! | `keep` | `-keep-failed`: machines that stay for the next run |
//! | `unchanged` | `-skip-unchanged`: whether an image is there already |
//! | `output`, `directories` | where a build leaves files, and those that dead runs have left |
//! | all others | a builder each |

mod directories;
mod keep;
mod output;
mod provision;
mod unchanged;

#[cfg(feature = "aws")]
pub mod amazon;
#[cfg(feature = "docker")]
pub mod docker;
pub mod file;
pub mod null;
pub mod qemu;
pub mod vagrant;

pub use self::directories::DirectoryCleaner;
