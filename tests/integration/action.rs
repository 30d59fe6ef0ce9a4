//! The GitHub Action, run as GitHub's runner runs it.

mod artifacts;
mod cancel;
mod channels;
mod commands;
mod comment;
mod container;
mod credentials;
mod engine;
mod gate;
mod github;
mod heard;
mod log;
mod matrix;
mod outputs;
mod owner;
mod post;
mod release;
mod runner;
mod secrets;
mod several;
mod suggestions;
mod values;

#[cfg(feature = "docker")]
pub use self::github::{GitHub, TOKEN};
#[cfg(feature = "docker")]
pub use self::runner::Runner;
