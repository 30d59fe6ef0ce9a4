//! The builder `docker` and the post-processors of its images, with a real engine.

mod ansible;
mod builder;
#[cfg(feature = "aws")]
mod knife;
mod measure;
mod options;
mod over_ssh;
mod podman;
mod post_processors;
mod registry;
mod unchanged;
