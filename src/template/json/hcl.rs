//! HCL's JSON syntax → bodies, as native syntax makes them.
//!
//! JSON does not tell a block from an argument: the language's own blocks are known by their shapes;
//! inside of a component's body, all is arguments but `dynamic`, and decoding takes an object for a
//! block.

use indexmap::map::Entry;

use super::{Kind, Member, Value, duplicate};
use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Spanned;
use crate::template::ast::{Attribute, Block, Body, Expr, ExprKind, Syntax};
use crate::template::hcl::{Origin, parse_expression, parse_template};
use crate::template::load::VarAssignment;
use crate::template::root::{
    BUILD_BLOCKS, BlockShape, CHAIN_BLOCKS, PACKER_BLOCKS, ROOT_BLOCKS, VARIABLE_BLOCKS,
};

/// The blocks inside of a component's body.
const COMPONENT_BLOCKS: &[BlockShape] = &[BlockShape::new("dynamic", &["block"])];

/// The blocks inside of `dynamic`.
const DYNAMIC_BLOCKS: &[BlockShape] = &[BlockShape::new("content", &[])];

/// The body of a whole file.
pub(in crate::template) fn file(root: Value, budget: &Budget) -> (Body, Diagnostics) {
    if let Some(legacy) = legacy(&root) {
        return (Body::empty(root.span, Syntax::Json), legacy.into());
    }
    let mut lowering = Lowering { budget, diagnostics: Diagnostics::default() };
    let body = lowering.body(joined(root), "", ROOT_BLOCKS);
    (body, lowering.diagnostics)
}

/// A file may be a list of objects: together they are one.
fn joined(root: Value) -> Value {
    let is_object = |item: &Value| matches!(item.kind, Kind::Object(_));
    match root.kind {
        Kind::Array(items) if !items.is_empty() && items.iter().all(is_object) => {
            let members = items.into_iter().flat_map(|item| match item.kind {
                Kind::Object(members) => members,
                _ => Vec::new(),
            });
            Value { kind: Kind::Object(members.collect()), span: root.span }
        }
        _ => root,
    }
}

/// What to say of a legacy template that is named as an HCL2 one.
pub(in crate::template) fn legacy(root: &Value) -> Option<Diagnostic> {
    let Kind::Object(members) = &root.kind else { return None };
    let builders = members.iter().find(|one| one.key.value.eq_ignore_ascii_case("builders"))?;
    let summary = "this is a legacy JSON template, and is named as one in HCL2";
    let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(builders.key.span);
    let error = error.because("HCL2 has no `builders`");
    Some(error.help("name it *.json, without `.pkr`"))
}

/// What a `*.pkrvars.json` file holds. Its strings stand for themselves.
pub(in crate::template) fn var_file(root: Value) -> Result<Vec<VarAssignment>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    root.refuse_duplicates(&mut diagnostics);
    let Kind::Object(members) = root.kind else {
        diagnostics.push(must_be("a variable file", "an object", &root));
        return Err(diagnostics);
    };
    let assignment = |Member { key: name, value }: Member| {
        (name.value != "//").then(|| VarAssignment { name, value: value.into_expr() })
    };
    let assignments = members.into_iter().filter_map(assignment).collect();
    diagnostics.into_result(assignments).map(|(assignments, _)| assignments)
}

/// The blocks that may stand inside of a block of this type.
fn inner_shapes(kind: &str) -> &'static [BlockShape] {
    match kind {
        "packer" => PACKER_BLOCKS,
        "variable" => VARIABLE_BLOCKS,
        "build" => BUILD_BLOCKS,
        "post-processors" => CHAIN_BLOCKS,
        "dynamic" => DYNAMIC_BLOCKS,
        "variables" | "local" | "locals" | "required_plugins" | "validation" => &[],
        _ => COMPONENT_BLOCKS,
    }
}

struct Lowering<'a> {
    budget: &'a Budget,
    diagnostics: Diagnostics,
}

impl Lowering<'_> {
    /// The object `value` as the body of a block of type `kind`.
    fn body(&mut self, value: Value, kind: &str, shapes: &'static [BlockShape]) -> Body {
        let mut body = Body::empty(value.span, Syntax::Json);
        let Kind::Object(members) = value.kind else {
            self.diagnostics.push(must_be("a template", "an object", &value));
            return body;
        };
        for Member { key, value } in members {
            if key.value == "//" {
                continue;
            }
            if let Some(shape) = shapes.iter().find(|shape| shape.kind == key.value) {
                self.blocks(&key, &mut Vec::new(), value, shape, &mut body.blocks);
                continue;
            }
            let is_type = kind == "variable" && key.value == "type";
            let value = if is_type { self.type_expr(value) } else { self.expr(value) };
            let attribute = Attribute { name: key.span, value };
            match body.attributes.entry(key.value.clone()) {
                Entry::Vacant(free) => {
                    free.insert(attribute);
                }
                Entry::Occupied(first) => {
                    self.diagnostics.push(duplicate(&key, first.get().name));
                }
            }
        }
        body
    }

    /// The blocks that `value` holds: an object level for each label, and at any level a list
    /// instead of one.
    fn blocks(
        &mut self,
        kind: &Spanned<String>,
        labels: &mut Vec<Spanned<String>>,
        value: Value,
        shape: &BlockShape,
        blocks: &mut Vec<Block>,
    ) {
        match value.kind {
            Kind::Null => {}
            Kind::Array(items) => {
                for item in items {
                    self.blocks(kind, labels, item, shape, blocks);
                }
            }
            Kind::Object(members) if labels.len() < shape.labels.len() => {
                for Member { key, value } in members {
                    if key.value != "//" {
                        labels.push(key);
                        self.blocks(kind, labels, value, shape, blocks);
                        labels.pop();
                    }
                }
            }
            Kind::Object(_) => {
                let body = self.body(value, &kind.value, inner_shapes(&kind.value));
                let span = labels.last().map_or(kind.span, |label| label.span);
                blocks.push(Block { kind: kind.clone(), labels: labels.clone(), body, span });
            }
            _ => self.diagnostics.push(must_be(&format!("`{}`", kind.value), "an object", &value)),
        }
    }

    /// A value as an expression: its strings and keys are templates.
    fn expr(&mut self, value: Value) -> Expr {
        let kind = match value.kind {
            Kind::String(text) => return self.template(text, value.span),
            Kind::Array(items) => {
                ExprKind::List(items.into_iter().map(|item| self.expr(item)).collect())
            }
            Kind::Object(members) => {
                let pair = |Member { key, value }: Member| {
                    (self.template(key.value, key.span), self.expr(value))
                };
                ExprKind::Object(members.into_iter().map(pair).collect())
            }
            plain => return Value { kind: plain, span: value.span }.into_expr(),
        };
        Expr { kind, span: value.span }
    }

    fn template(&mut self, text: String, span: crate::source::Span) -> Expr {
        if !text.contains(['$', '%']) {
            return Expr { kind: ExprKind::String(text), span };
        }
        match parse_template(&text, origin(&text, span), self.budget) {
            Ok(expr) => Expr { span, ..expr },
            Err(diagnostics) => {
                self.diagnostics.extend(diagnostics);
                Expr { kind: ExprKind::String(text), span }
            }
        }
    }

    /// A type constraint, which JSON writes as the text of one.
    fn type_expr(&mut self, value: Value) -> Expr {
        let Kind::String(text) = &value.kind else {
            self.diagnostics.push(must_be("`type`", "a string", &value));
            return value.into_expr();
        };
        match parse_expression(text, origin(text, value.span), self.budget) {
            Ok(expr) => expr,
            Err(diagnostics) => {
                self.diagnostics.extend(diagnostics);
                value.into_expr()
            }
        }
    }
}

/// Where the bytes of a string are in the file: one for one behind the quote, unless it has escapes.
fn origin(text: &str, span: crate::source::Span) -> Origin {
    if (span.end - span.start) as usize == text.len() + 2 {
        Origin::File(span.file, span.start as usize + 1)
    } else {
        Origin::Span(span)
    }
}

fn must_be(what: &str, wanted: &str, value: &Value) -> Diagnostic {
    Diagnostic::error(code::HCL_STRUCTURE, format!("{what} must be {wanted}"))
        .at(value.span)
        .because(format!("this is {}", value.kind_name()))
}
