//! Rendering the `{{ … }}` texts of a body before it is read.

use serde_json::Value as Json;

use crate::config::late;
use crate::config::options::without_null;
use crate::config::{Entry, Node, NodeKind};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::interpolate::{Error, Scope, Template};
use crate::source::Span;

/// `node` with all its strings rendered, but for those whose `schema` says that they are late:
/// of these only the grammar is checked. `option` names the place in messages.
pub(super) fn render(
    node: &Node,
    schema: &Json,
    scope: &Scope,
    option: &str,
    diagnostics: &mut Diagnostics,
) -> Node {
    let schema = without_null(schema);
    let kind = match &node.kind {
        NodeKind::String(text) => {
            // A single text stands for a list of one.
            let schema = without_null(schema.get("items").unwrap_or(schema));
            NodeKind::String(render_text(text, schema, scope, node.span, option, diagnostics))
        }
        NodeKind::List(items) => {
            let items_schema = schema.get("items").unwrap_or(schema);
            let render = |item| render(item, items_schema, scope, option, &mut *diagnostics);
            NodeKind::List(items.iter().map(render).collect())
        }
        NodeKind::Map(entries) => {
            // A single map stands for a list of one.
            let schema = without_null(schema.get("items").unwrap_or(schema));
            let render = |(key, entry): (&String, &Entry)| {
                let own = schema.get("properties").and_then(|properties| properties.get(key));
                let value_schema =
                    own.or_else(|| schema.get("additionalProperties")).unwrap_or(&Json::Null);
                let key = match own {
                    Some(_) => key.clone(),
                    None => render_text(key, value_schema, scope, entry.key, option, diagnostics),
                };
                let value = self::render(&entry.value, value_schema, scope, option, diagnostics);
                (key, Entry { key: entry.key, value, form: entry.form })
            };
            NodeKind::Map(entries.iter().map(render).collect())
        }
        plain => plain.clone(),
    };
    Node::new(node.span, kind)
}

fn render_text(
    text: &str,
    schema: &Json,
    scope: &Scope,
    span: Span,
    option: &str,
    diagnostics: &mut Diagnostics,
) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            diagnostics.push(refused(code::INTERPOLATION_SYNTAX, error, span, option));
            return text.to_owned();
        }
    };
    let rendered = late::check_fields(&template, schema, scope).and_then(|()| {
        if late::is_late(schema) {
            return Ok(text.to_owned());
        }
        template.render(scope, &Default::default())
    });
    rendered.unwrap_or_else(|error| {
        diagnostics.push(refused(code::INTERPOLATION, error, span, option));
        text.to_owned()
    })
}

fn refused(code: crate::diagnostic::Code, error: Error, span: Span, option: &str) -> Diagnostic {
    let summary = format!("the `{{{{ … }}}}` text of `{option}` cannot be used");
    let found = Diagnostic::error(error.code_or(code), summary).at(span);
    error.explain(found)
}
