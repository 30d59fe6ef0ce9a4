//! From an evaluated body to a component's typed options.
//!
//! Both template languages arrive here as a [`Node`]: plain data whose every part knows where it
//! was written. A component declares its options as `serde` structs; [`decode()`] fills them, weakly
//! typed as templates are used to, and finds every unknown key and wrong type in one go.

mod decode;
mod duration;
mod late;
mod node;
mod options;

pub use decode::{decode, unknown_options};
pub use duration::GoDuration;
pub(crate) use late::late_fields;
pub use late::{AnyField, Late, LateFields};
pub use node::{Entry, Form, Node, NodeKind, UNKNOWN, bool_of_text};
pub(crate) use options::joined;
pub use options::{Group, GroupReader, OptionDoc, OptionGroups, Part};
