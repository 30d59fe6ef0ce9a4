//! What stands for AWS where the program is compiled without the feature `aws`: nothing.

use crate::component::{Cleaner, CleanupContext};
use crate::env::Environment;
use crate::secret::Redactor;

/// Nobody: such a program makes nothing in an account.
pub fn cleaners(_cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    Vec::new()
}

/// `environment` as it is.
pub fn with_secrets(environment: Environment, _redactor: &Redactor) -> Environment {
    environment
}
