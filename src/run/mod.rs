//! Plan → [`Outcome`]: all builds run at the same time; each is provisioned and post-processed.
//!
//! Everything that changes while machines run lives here; what the user sees of it is said through
//! [`Ui`](crate::event::Ui) and shown by `report/`.
//!
//! | file | what is there |
//! |---|---|
//! | `outcome` | what is asked of a run, and how it ended |
//! | `engine` | all builds, each on its own task |
//! | `build` | one of them, from its first step to its last artifact |
//! | `provision` | its provisioners |
//! | `image_tests` | the tests of its image |
//! | `machine` | what both work on |
//! | `contents` | what is inside the image (`-sbom`) |
//! | `post_process` | chains of post-processors, and which artifacts stay |
//! | `ending` | how work ends: by itself, in time, or dropped |

mod build;
mod contents;
mod ending;
mod engine;
mod image_tests;
mod machine;
mod outcome;
mod post_process;
mod provision;
#[cfg(test)]
mod tests;

pub use self::contents::make_sbom_directory;
pub use self::engine::execute;
pub use self::outcome::{BuildOutcome, Outcome, RunRequest};
