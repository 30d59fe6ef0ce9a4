//! Template text → [`Template`](ast::Template): one tree for both languages, every node with its
//! place.

pub mod ast;
pub mod fix;
pub mod format;
pub mod hcl;
mod json;
pub mod load;
mod root;
pub mod upgrade;

pub use root::{BUILD_ARGUMENTS, build_of};
