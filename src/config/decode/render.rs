//! Rendering the `{{ … }}` texts of a body before it is read.

use serde_json::Value as Json;

use crate::config::late;
use crate::config::node::{Entry, Node, NodeKind, UNKNOWN};
use crate::config::options::{is_secret, item_schema, without_null};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, code};
use crate::interpolate::{Error, Scope, Template};
use crate::secret::Redactor;
use crate::source::Span;

/// Renders the texts of one option.
pub(super) struct Renderer<'a> {
    /// How messages call the option.
    pub option: &'a str,
    pub scope: &'a Scope,
    /// Takes those that the schema calls secret, wherever they stand: no component can forget it.
    pub redactor: &'a Redactor,
    pub found: &'a mut Diagnostics,
}

impl Renderer<'_> {
    /// `node` with all its strings rendered, but for those whose `schema` says that they are late: of
    /// these only the grammar is checked.
    pub fn render(&mut self, node: &Node, schema: &Json) -> Node {
        let kind = match &node.kind {
            NodeKind::String(text) => {
                NodeKind::String(self.text(text, item_schema(schema), node.span))
            }
            NodeKind::Number(text) if is_secret(item_schema(schema)) => {
                self.redactor.register(text);
                node.kind.clone()
            }
            NodeKind::List(items) => {
                let schema = without_null(schema);
                let schema = schema.get("items").unwrap_or(schema);
                NodeKind::List(items.iter().map(|item| self.render(item, schema)).collect())
            }
            NodeKind::Map(entries) => {
                let schema = item_schema(schema);
                let render = |(key, entry): (&String, &Entry)| self.entry(key, entry, schema);
                NodeKind::Map(entries.iter().map(render).collect())
            }
            plain => plain.clone(),
        };
        Node::new(node.span, kind)
    }

    /// An entry of a map of this `schema`.
    fn entry(&mut self, key: &str, entry: &Entry, schema: &Json) -> (String, Entry) {
        let own = schema.get("properties").and_then(|properties| properties.get(key));
        let value_schema =
            own.or_else(|| schema.get("additionalProperties")).unwrap_or(&Json::Null);
        let key = match own {
            Some(_) => key.to_owned(),
            // A key is a text like its value, but no secret.
            None => self.rendered(key, value_schema, entry.key),
        };
        let value = self.render(&entry.value, value_schema);
        (key, Entry { key: entry.key, value, form: entry.form })
    }

    fn text(&mut self, text: &str, schema: &Json, span: Span) -> String {
        let rendered = self.rendered(text, schema, span);
        if is_secret(schema) && rendered != UNKNOWN {
            self.redactor.register(&rendered);
        }
        rendered
    }

    fn rendered(&mut self, text: &str, schema: &Json, span: Span) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.refuse(code::INTERPOLATION_SYNTAX, error, span);
                return text.to_owned();
            }
        };
        let rendered = late::check_fields(&template, schema, self.scope).and_then(|()| {
            if late::is_late(schema) {
                return Ok(text.to_owned());
            }
            template.render(self.scope, &Default::default())
        });
        rendered.unwrap_or_else(|error| {
            self.refuse(code::INTERPOLATION, error, span);
            text.to_owned()
        })
    }

    fn refuse(&mut self, code: Code, error: Error, span: Span) {
        let summary = format!("the `{{{{ … }}}}` text of `{}` cannot be used", self.option);
        let found = Diagnostic::error(error.code_or(code), summary).at(span);
        self.found.push(error.explain(found));
    }
}
