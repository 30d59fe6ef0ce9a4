//! JSON with places, and what templates make of it: legacy templates, HCL's JSON syntax, variable
//! files.

pub(super) mod hcl;
pub(super) mod legacy;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub(super) use parse::{parse, parse_first};

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Expr, ExprKind};

/// A JSON value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub kind: Kind,
    pub span: Span,
}

/// The kinds of JSON values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    String(String),
    Array(Vec<Value>),
    /// In order, duplicates included.
    Object(Vec<Member>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub key: Spanned<String>,
    pub value: Value,
}

impl Value {
    /// What a message calls it.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Array(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }

    /// The value as the tree has it, its strings as they are.
    pub fn into_expr(self) -> Expr {
        let kind = match self.kind {
            Kind::Null => ExprKind::Null,
            Kind::Bool(value) => ExprKind::Bool(value),
            Kind::Number(text) => ExprKind::Number(text),
            Kind::String(text) => ExprKind::String(text),
            Kind::Array(items) => ExprKind::List(items.into_iter().map(Self::into_expr).collect()),
            Kind::Object(members) => {
                let pair = |Member { key, value }: Member| {
                    let key = Expr { kind: ExprKind::String(key.value), span: key.span };
                    (key, value.into_expr())
                };
                ExprKind::Object(members.into_iter().map(pair).collect())
            }
        };
        Expr { kind, span: self.span }
    }

    /// The value without places, its numbers as `f64`: of duplicates the last stays. Says the
    /// numbers that are too large.
    pub fn into_plain(self, diagnostics: &mut Diagnostics) -> serde_json::Value {
        match self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(value) => value.into(),
            Kind::Number(text) => {
                let number = text.parse().ok().and_then(serde_json::Number::from_f64);
                if number.is_none() {
                    let summary = format!("the number `{text}` is too large");
                    diagnostics.push(Diagnostic::error(code::JSON_SHAPE, summary).at(self.span));
                }
                number.into()
            }
            Kind::String(text) => text.into(),
            Kind::Array(items) => {
                items.into_iter().map(|item| item.into_plain(diagnostics)).collect()
            }
            Kind::Object(members) => {
                let plain = |Member { key, value }| (key.value, value.into_plain(diagnostics));
                members.into_iter().map(plain).collect()
            }
        }
    }

    /// Says every key that stands twice in one object, at any depth.
    pub fn refuse_duplicates(&self, diagnostics: &mut Diagnostics) {
        match &self.kind {
            Kind::Array(items) => {
                items.iter().for_each(|item| item.refuse_duplicates(diagnostics));
            }
            Kind::Object(members) => {
                let mut first = HashMap::new();
                for Member { key, value } in members {
                    let first = *first.entry(key.value.as_str()).or_insert(key.span);
                    if first != key.span {
                        diagnostics.push(duplicate(key, first));
                    }
                    value.refuse_duplicates(diagnostics);
                }
            }
            _ => {}
        }
    }
}

fn duplicate(key: &Spanned<String>, first: Span) -> Diagnostic {
    let summary = format!("the key `{}` stands twice in one object", key.value);
    Diagnostic::error(code::JSON_DUPLICATE, summary)
        .at(key.span)
        .because("again here")
        .label(first, "first here")
        .help("remove one of the two")
}
