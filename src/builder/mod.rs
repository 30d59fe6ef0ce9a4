//! Builders: each starts a machine, has it provisioned, and makes an image of it.

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
