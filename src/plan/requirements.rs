//! What a template asks of the program: its version and its plugins.

use crate::diagnostic::Diagnostics;
use crate::template::ast::Template;

/// Finds the requirements of `template` that this program does not meet.
pub fn requirements(_template: &Template) -> Diagnostics {
    Diagnostics::default()
}
