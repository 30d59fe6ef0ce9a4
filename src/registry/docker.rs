//! What container engines give to all of a session.

use crate::component::{Cleaner, CleanupContext};
use crate::docker::cleanup::DockerCleaner;

/// Who cleans up in the engines that journals name.
pub fn cleaners(cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    vec![Box::new(DockerCleaner::new(cx))]
}
