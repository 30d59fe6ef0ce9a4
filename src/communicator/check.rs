//! What can be wrong with the options, found before any machine starts.

use crate::communicator::Options;
use crate::component::Check;

impl Options {
    /// Reports everything that is wrong, and hands the secrets to the redactor.
    pub fn check(&self, check: &mut Check<'_>) {
        if self.communicator != "ssh" && self.communicator != "none" {
            check
                .error("communicator", format!("there is no communicator `{}`", self.communicator));
        }
    }
}
