//! Plan → [`Outcome`]: all builds run at the same time; each is provisioned and post-processed.
//!
//! Everything that changes while machines run lives here; what the user sees of it is said through
//! [`Ui`](crate::event::Ui) and shown by `report/`.

mod build;
mod contents;
mod ending;
mod engine;
mod outcome;
mod post_process;
mod provision;
#[cfg(test)]
mod tests;

pub use self::contents::make_sbom_directory;
pub use self::engine::execute;
pub use self::outcome::{BuildOutcome, Outcome, RunRequest};
