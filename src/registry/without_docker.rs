//! What stands for container engines where the program is compiled without the feature `docker`:
//! nothing.

use crate::component::{Cleaner, CleanupContext};

/// Nobody: such a program makes no container.
pub fn cleaners(_cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    Vec::new()
}
