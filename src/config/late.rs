//! Option texts that are rendered when they are used, not when they are read.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::interpolate::{Dot, Error, Fields, Scope, Template};

/// A `{{ … }}` text that needs fields which only the running component knows (`{{ .Path }}`,
/// `{{ .SourceAMI }}`). An option of this type is left alone by the rendering that all other
/// strings get; only its grammar is checked, and that it asks for no fields but those of `F`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Late<F = AnyField>(String, #[serde(skip)] PhantomData<F>);

/// The fields that a kind of late texts is rendered with.
pub trait LateFields: 'static {
    /// Their names; `None`: nobody knows.
    const NAMES: Option<&'static [&'static str]>;
    /// Whether the facts of the machine are among them.
    const WITH_BUILD: bool = false;
}

/// The fields of texts that are never rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyField {}

impl LateFields for AnyField {
    const NAMES: Option<&'static [&'static str]> = None;
}

/// Declares a kind of late texts by its fields: `pub Name = ["Path"];`, or
/// `pub Name = ["Path"] and the build;`.
macro_rules! late_fields {
    ($(#[$about:meta])* $visible:vis $name:ident = $names:expr;) => {
        late_fields!(@declare $(#[$about])* $visible $name, $names, false);
    };
    ($(#[$about:meta])* $visible:vis $name:ident = $names:tt and the build;) => {
        late_fields!(@declare $(#[$about])* $visible $name, $names, true);
    };
    (@declare $(#[$about:meta])* $visible:vis $name:ident, $names:expr, $with_build:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visible enum $name {}

        impl $crate::config::LateFields for $name {
            const NAMES: Option<&'static [&'static str]> = Some(&$names);
            const WITH_BUILD: bool = $with_build;
        }
    };
}
pub(crate) use late_fields;

/// The `format` that marks a late text in an option's schema.
const FORMAT: &str = "late-template";
/// Where the schema of a late text says which fields there are.
const NAMES: &str = "x-fields";
const WITH_BUILD: &str = "x-fields-of-build";

impl<F> Late<F> {
    /// A text given by the component itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into(), PhantomData)
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

impl<F: LateFields> JsonSchema for Late<F> {
    fn schema_name() -> Cow<'static, str> {
        "template".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string", "format": FORMAT });
        if let Some(names) = F::NAMES {
            schema.insert(NAMES.to_owned(), names.into());
            schema.insert(WITH_BUILD.to_owned(), F::WITH_BUILD.into());
        }
        schema
    }
}

/// Whether a text of this schema is late.
pub(super) fn is_late(schema: &Json) -> bool {
    schema.get("format").is_some_and(|format| format == FORMAT)
}

/// Whether `template`, a text of this schema, asks only for fields that it will have. One that is
/// not late has none.
pub(super) fn check_fields(template: &Template, schema: &Json, scope: &Scope) -> Result<(), Error> {
    if !is_late(schema) {
        return template.check_fields(Fields::Of(&[]), scope);
    }
    let Some(names) = schema.get(NAMES).and_then(Json::as_array) else { return Ok(()) };
    let names: Vec<&str> = names.iter().filter_map(Json::as_str).collect();
    let with_build = schema.get(WITH_BUILD).and_then(Json::as_bool).unwrap_or(false);
    let fields = if with_build { Fields::WithBuild(&names) } else { Fields::Of(&names) };
    template.check_fields(fields, scope)
}
