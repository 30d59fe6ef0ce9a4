//! Option texts that are rendered when they are used, not when they are read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::interpolate::{Dot, Error, Scope, Template};

/// A `{{ … }}` text that needs fields which only the running component knows (`{{ .Path }}`,
/// `{{ .SourceAMI }}`). An option of this type is left alone by the rendering that all other
/// strings get; only its grammar is checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Late(String);

/// The `format` that marks a late text in an option's schema.
pub(super) const FORMAT: &str = "late-template";

impl Late {
    /// A text given by the component itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it was written.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The text with its fields and functions filled in.
    pub fn render(&self, scope: &Scope, dot: &Dot) -> Result<String, Error> {
        Template::parse(&self.0)?.render(scope, dot)
    }
}

impl JsonSchema for Late {
    fn schema_name() -> Cow<'static, str> {
        "template".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": FORMAT })
    }
}
