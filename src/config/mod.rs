//! From an evaluated body to a component's options.
//!
//! Both template languages arrive here as a [`Node`]: plain data whose every part knows where it
//! was written. A component declares its options as `serde` structs, which [`decode()`] fills; or it
//! brings a JSON schema, by which [`decode_by_schema()`] makes plain data of the body. Both are weakly
//! typed as templates are used to, find every unknown key and wrong type in one go, and hand what the
//! schema calls secret to the redactor.

pub(crate) mod decode;
mod duration;
mod late;
mod node;
mod options;
mod parts;

pub use decode::{Decoding, decode, decode_by_schema, needs_message, unknown_options};
pub use duration::GoDuration;
pub(crate) use late::late_fields;
pub use late::{AnyField, Late, LateFields};
pub use node::{Entry, Form, Node, NodeKind, UNKNOWN, bool_of_text};
pub use options::{
    Group, GroupReader, OptionDoc, OptionGroups, OptionSchema, Part, block_properties, plain_type,
};
pub(crate) use parts::option_parts;
