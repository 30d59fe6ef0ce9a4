//! `dynamic` blocks: what is written in them, and what they go through.

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Span;
use crate::template::ast::{Attribute, Block, Body, Expr, ExprKind, Syntax};

use super::expr::{Eval, Evaluator, error};
use super::value::{Data, Value};

/// The arguments of a `dynamic` block.
const ARGUMENTS: &[&str] = &["for_each", "iterator", "labels"];

/// A `dynamic` block, taken apart.
pub(super) struct Dynamic<'a> {
    /// What it goes through.
    pub(super) for_each: &'a Expr,
    /// What its content calls the element.
    pub(super) iterator: &'a str,
    /// The labels of the blocks that it makes.
    pub(super) labels: Option<&'a Attribute>,
    /// The body of the blocks that it makes.
    pub(super) content: &'a Body,
}

impl<'a> Dynamic<'a> {
    /// Takes apart `block`, which makes blocks of the type `kind`.
    pub(super) fn read(block: &'a Block, kind: &'a str) -> Eval<Self> {
        let attributes = &block.body.attributes;
        if let Some((name, attribute)) =
            attributes.iter().find(|(name, _)| !ARGUMENTS.contains(&name.as_str()))
        {
            return Err(refused(
                attribute.name,
                format!("a `dynamic` block has no argument `{name}`"),
                "the arguments of the blocks that it makes belong into `content`",
            ));
        }
        let [content] = block.body.blocks.as_slice() else {
            let summary = "a `dynamic` block needs one `content` block";
            return Err(refused(block.span, summary, "required here"));
        };
        if content.kind.value != "content" {
            let summary = format!("a `dynamic` block has no `{}` block", content.kind.value);
            return Err(refused(content.kind.span, summary, "expected `content`"));
        }
        let Some(for_each) = attributes.get("for_each") else {
            let summary = "a `dynamic` block needs `for_each`";
            return Err(refused(block.span, summary, "required here"));
        };
        let iterator = match attributes.get("iterator").map(|given| given.value.written()) {
            None => kind,
            Some(Expr { kind: ExprKind::Variable(name), .. }) => name,
            // JSON has no bare words.
            Some(Expr { kind: ExprKind::String(name), .. })
                if block.body.syntax == Syntax::Json =>
            {
                name
            }
            Some(other) => {
                return Err(refused(other.span, "`iterator` must be a name", "not a bare word"));
            }
        };
        let (for_each, labels) = (&for_each.value, attributes.get("labels"));
        Ok(Self { for_each, iterator, labels, content: &content.body })
    }
}

impl Evaluator<'_> {
    /// What the iterator means in each block that `dynamic` makes. If it is not known how many
    /// there will be, it is unknown in one, which shows what is wrong with them.
    pub(super) fn elements(&self, dynamic: &Dynamic<'_>) -> Eval<Vec<Value>> {
        let for_each = dynamic.for_each;
        let collection = self.eval(for_each)?;
        if let Some(cause) = not_iterable(&collection) {
            let summary = "Invalid dynamic for_each value";
            return Err(error(code::WRONG_TYPE, summary, for_each.span).because(cause).into());
        }
        let turns = self.turns(for_each, &collection)?;
        let turns = turns.unwrap_or_else(|| vec![(Value::UNKNOWN, Value::UNKNOWN)]);
        self.pay(turns.len().saturating_mul(6), for_each.span)?;
        let element = |(key, value)| Value::object([("key", key), ("value", value)]);
        Ok(turns.into_iter().map(element).collect())
    }
}

fn not_iterable(collection: &Value) -> Option<String> {
    match &collection.data {
        Data::Null(_) => Some("Cannot use a null value in for_each.".to_owned()),
        Data::Bool(_) | Data::Number(_) | Data::String(_) => Some(format!(
            "Cannot use a {} value in for_each. An iterable collection is required.",
            collection.type_name()
        )),
        _ => None,
    }
}

fn refused(span: Span, summary: impl Into<String>, cause: &str) -> Diagnostics {
    Diagnostic::error(code::HCL_STRUCTURE, summary).at(span).because(cause).into()
}
