//! The GitHub Action, run as GitHub's runner runs it.

mod artifacts;
#[cfg(feature = "aws")]
mod cancel;
#[cfg(feature = "aws")]
mod channels;
mod commands;
mod comment;
#[cfg(feature = "aws")]
mod container;
#[cfg(feature = "aws")]
mod credentials;
mod engine;
#[cfg(feature = "aws")]
mod gate;
mod github;
mod heard;
mod log;
#[cfg(feature = "aws")]
mod matrix;
#[cfg(feature = "aws")]
mod outputs;
mod owner;
#[cfg(feature = "aws")]
mod post;
#[cfg(feature = "aws")]
mod release;
mod runner;
#[cfg(feature = "aws")]
mod secrets;
mod several;
mod suggestions;
mod values;

#[cfg(feature = "docker")]
pub use self::github::{GitHub, TOKEN};
#[cfg(feature = "docker")]
pub use self::runner::Runner;
