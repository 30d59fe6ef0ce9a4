//! Bodies → plain configuration.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::config::{Entry, Form, Node, NodeKind};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Span;
use crate::template::ast::{Block, Body, Expr, ExprKind, Syntax};

use super::dynamic::Dynamic;
use super::expr::{Eval, Evaluator, Frame, too_much};
use super::types::Type;
use super::value::{Data, Value};

impl Evaluator<'_> {
    /// All of `body`, its errors together.
    pub(super) fn body_node(&self, body: &Body) -> Eval<Node> {
        self.pay(4, body.span)?;
        let mut entries: IndexMap<String, Entry> = IndexMap::new();
        let mut found = Diagnostics::default();
        let form = match body.syntax {
            Syntax::Legacy => Form::Weak,
            Syntax::Json => Form::Typed,
            Syntax::Native => Form::Argument,
        };
        for (name, attribute) in &body.attributes {
            match self.expr_node(&attribute.value) {
                Ok(value) => {
                    entries.insert(name.clone(), Entry { key: attribute.name, value, form });
                }
                Err(errors) => found.extend(errors),
            }
            if found.has_errors() && self.is_hopeless(&found) {
                return Err(found);
            }
        }
        let mut blocks: IndexMap<String, (Span, Vec<Node>)> = IndexMap::new();
        for block in &body.blocks {
            if let Err(errors) = self.add_block(block, &mut blocks) {
                found.extend(errors);
                if self.is_hopeless(&found) {
                    return Err(found);
                }
            }
        }
        for (name, (span, nodes)) in blocks {
            if let Some(entry) = entries.get(&name) {
                found.push(both(&name, span, entry.key));
            }
            let value = Node::new(span, NodeKind::List(nodes));
            entries.insert(name, Entry { key: span, value, form: Form::Block });
        }
        if found.has_errors() {
            return Err(found);
        }
        Ok(Node::new(body.span, NodeKind::Map(entries)))
    }

    /// Adds what `block` makes to the other blocks of its type.
    fn add_block(
        &self,
        block: &Block,
        blocks: &mut IndexMap<String, (Span, Vec<Node>)>,
    ) -> Eval<()> {
        let (kind, nodes) = match (block.kind.value.as_str(), block.labels.as_slice()) {
            ("dynamic", [label]) => (&label.value, self.dynamic_nodes(block, &label.value)?),
            (_, []) => (&block.kind.value, vec![self.body_node(&block.body)?]),
            (kind, [label, ..]) => {
                let summary = format!("a `{kind}` block takes no label here");
                return Err(Diagnostic::error(code::HCL_STRUCTURE, summary)
                    .at(label.span)
                    .because("extraneous label")
                    .into());
            }
        };
        if !nodes.is_empty() {
            let place = blocks.entry(kind.clone()).or_insert_with(|| (block.kind.span, Vec::new()));
            place.1.extend(nodes);
        }
        Ok(())
    }

    /// The bodies of the `kind` blocks that `block` makes.
    fn dynamic_nodes(&self, block: &Block, kind: &str) -> Eval<Vec<Node>> {
        let dynamic = Dynamic::read(block, kind)?;
        if let Some(labels) = dynamic.labels {
            let summary = format!("a `{kind}` block takes no label here");
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(labels.name);
            return Err(error.because("so there is nothing to label").into());
        }
        let elements = self.elements(&dynamic)?;
        let body = |element: &Value| {
            let frame = Frame { name: dynamic.iterator, value: element, outer: self.frame() };
            self.within(&frame).body_node(dynamic.content)
        };
        elements.iter().map(body).collect()
    }

    /// The plain value of `expr`.
    pub(super) fn expr_node(&self, expr: &Expr) -> Eval<Node> {
        let value = self.eval(expr)?;
        // A node is larger than a value.
        self.pay(value.traits().weight.saturating_mul(3), expr.span)?;
        self.host.protect(&value).map_err(|exceeded| too_much(exceeded, expr.span))?;
        Ok(node(&value, expr))
    }
}

fn both(name: &str, block: Span, argument: Span) -> Diagnostic {
    let summary = format!("`{name}` is given as an argument and as a block");
    Diagnostic::error(code::DUPLICATE, summary)
        .at(block)
        .because("given again here")
        .label(argument, "first given here")
}

/// `value` as plain data. Its parts stand where `expr` writes them, as far as it does.
pub(super) fn node(value: &Value, expr: &Expr) -> Node {
    let expr = expr.written();
    let kind = match &value.data {
        Data::Null(_) => NodeKind::Null,
        Data::Unknown(ty) => unknown(ty),
        Data::Bool(known) => NodeKind::Bool(*known),
        Data::Number(number) => NodeKind::Number(number.to_string()),
        Data::String(text) => NodeKind::String(text.to_string()),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => {
            let written = match &expr.kind {
                ExprKind::List(written) if written.len() == items.len() => Some(written),
                _ => None,
            };
            let place = |at: usize| written.map_or(expr, |written| &written[at]);
            NodeKind::List(
                items.iter().enumerate().map(|(at, item)| node(item, place(at))).collect(),
            )
        }
        Data::Map(_, entries) | Data::Object(entries) => {
            let written = written_entries(expr);
            let entry = |key: &str, value: &Value| {
                let (key, place) = match written.get(key) {
                    Some((key, place)) => (key.span, *place),
                    None => (expr.span, expr),
                };
                Entry { key, value: node(value, place), form: Form::Weak }
            };
            NodeKind::Map(entries.iter().map(|(k, v)| (k.to_string(), entry(k, v))).collect())
        }
    };
    Node::new(expr.span, kind)
}

/// What a component is given for a value that is not known yet. Of a collection there is nothing.
fn unknown(ty: &Type) -> NodeKind {
    match ty {
        Type::List(_) | Type::Set(_) | Type::Tuple(_) => NodeKind::List(Vec::new()),
        Type::Map(_) | Type::Object(_) => NodeKind::Map(IndexMap::new()),
        Type::Bool | Type::Number | Type::String | Type::Any => NodeKind::Unknown,
    }
}

/// The entries of an object expression whose keys are written out; of those with one key, the last.
fn written_entries(expr: &Expr) -> HashMap<&str, (&Expr, &Expr)> {
    let items = match &expr.kind {
        ExprKind::Object(items) => items.as_slice(),
        _ => &[],
    };
    let written = items.iter().filter_map(|(key, value)| match &key.kind {
        ExprKind::String(name) => Some((name.as_str(), (key, value))),
        _ => None,
    });
    written.collect()
}
