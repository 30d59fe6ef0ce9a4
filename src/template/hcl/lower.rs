//! `hcl-edit`'s tree → ours. Places in its text are places in the user's (see `syntax`), so that
//! names and numbers are taken from there.

use std::ops::Range;

use hcl_edit::expr::{
    Array, BinaryOperator as EditBinary, Expression, ForExpr as EditFor, FuncCall, Traversal,
    TraversalOperator, UnaryOperator as EditUnary,
};
use hcl_edit::structure::{Block as EditBlock, Body as EditBody, Structure};
use hcl_edit::{Decorated, Ident};
use indexmap::IndexMap;

use super::Origin;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{
    Attribute, BinaryOperator, Block, Body, Expr, ExprKind, ForExpr, Syntax, UnaryOperator,
};

pub struct Lowering<'t> {
    /// What the user wrote.
    pub text: &'t str,
    /// What `hcl-edit` read, or a part of it, which began at `start`.
    copy: &'t str,
    start: usize,
    origin: Origin,
    pub diagnostics: Diagnostics,
}

impl<'t> Lowering<'t> {
    pub fn new(text: &'t str, copy: &'t str, origin: Origin, start: usize) -> Self {
        Self { text, copy, start, origin, diagnostics: Diagnostics::default() }
    }

    /// The bytes of a node.
    pub fn range(&self, node: &impl hcl_edit::Span) -> Range<usize> {
        let span = node.span().unwrap_or_default();
        self.start + span.start..self.start + span.end
    }

    pub fn place(&self, node: &impl hcl_edit::Span) -> Span {
        self.origin.span(self.range(node))
    }

    /// All of the text.
    pub fn whole(&self) -> Span {
        self.origin.span(0..self.text.len())
    }

    fn name(&self, name: &Decorated<Ident>) -> Spanned<String> {
        Spanned::new(name.as_str().to_owned(), self.place(name))
    }

    /// A body, which reaches over `range`.
    pub fn body(&mut self, body: &EditBody, range: Range<usize>) -> Body {
        let mut attributes = IndexMap::new();
        let mut blocks = Vec::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = self.name(&attribute.key);
                    let value = self.expression(&attribute.value);
                    attributes.insert(name.value, Attribute { name: name.span, value });
                }
                Structure::Block(block) => blocks.push(self.block(block)),
            }
        }
        Body { attributes, blocks, span: self.origin.span(range), syntax: Syntax::Native }
    }

    fn block(&mut self, block: &EditBlock) -> Block {
        let kind = self.name(&block.ident);
        let label = |label| {
            let place = self.place(label);
            Spanned::new(hcl_edit::structure::BlockLabel::as_str(label).to_owned(), place)
        };
        let labels: Vec<Spanned<String>> = block.labels.iter().map(label).collect();
        let header = match block.labels.last() {
            Some(last) => self.range(last),
            None => self.range(&block.ident),
        };
        let brace = self.copy[header.end..].find('{').unwrap_or_default();
        let body = self.body(&block.body, header.end + brace..self.range(block).end);
        let span = labels.last().map_or(kind.span, |last| kind.span.to(last.span));
        Block { kind, labels, body, span }
    }

    pub fn expression(&mut self, expr: &Expression) -> Expr {
        let kind = match expr {
            Expression::Null(_) => ExprKind::Null,
            Expression::Bool(value) => ExprKind::Bool(*value.value()),
            Expression::Number(_) => return self.number(expr),
            Expression::String(text) => ExprKind::String(text.value().clone()),
            Expression::Array(array) => self.array(array),
            Expression::StringTemplate(template) => self.quoted(template),
            Expression::HeredocTemplate(heredoc) => self.heredoc(heredoc, &self.range(expr)),
            Expression::Parenthesis(inner) => {
                ExprKind::Parenthesis(Box::new(self.expression(inner.inner())))
            }
            Expression::Variable(name) => ExprKind::Variable(name.as_str().to_owned()),
            Expression::Conditional(parts) => ExprKind::Conditional {
                condition: Box::new(self.expression(&parts.cond_expr)),
                yes: Box::new(self.expression(&parts.true_expr)),
                no: Box::new(self.expression(&parts.false_expr)),
            },
            Expression::FuncCall(call) => self.call(call),
            Expression::Traversal(traversal) => return self.traversal(traversal),
            Expression::UnaryOp(operation) => ExprKind::Unary {
                operator: match operation.operator.value() {
                    EditUnary::Neg => UnaryOperator::Negate,
                    EditUnary::Not => UnaryOperator::Not,
                },
                operand: Box::new(self.expression(&operation.expr)),
            },
            Expression::BinaryOp(operation) => ExprKind::Binary {
                operator: binary(*operation.operator.value()),
                left: Box::new(self.expression(&operation.lhs_expr)),
                right: Box::new(self.expression(&operation.rhs_expr)),
            },
            Expression::ForExpr(parts) => self.for_expr(parts),
            Expression::Object(_) => ExprKind::Object(Vec::new()),
        };
        Expr { kind, span: self.place(expr) }
    }

    /// The digits as they are written, with the sign as an operator.
    fn number(&self, expr: &Expression) -> Expr {
        let range = self.range(expr);
        let unsigned = self.copy[range.clone()].trim_start_matches(['-', ' ', '\t', '\r', '\n']);
        let digits = range.end - unsigned.len()..range.end;
        let kind = ExprKind::Number(self.text[digits.clone()].to_owned());
        let number = Expr { kind, span: self.origin.span(digits.clone()) };
        if digits == range {
            return number;
        }
        let operand = Box::new(number);
        let kind = ExprKind::Unary { operator: UnaryOperator::Negate, operand };
        Expr { kind, span: self.origin.span(range) }
    }

    /// A list, or an object, which is read as the list of its keys and values.
    fn array(&mut self, array: &Array) -> ExprKind {
        let is_object = self.text[self.range(array)].starts_with('{');
        let mut items = array.iter().map(|item| self.expression(item)).collect::<Vec<_>>();
        if !is_object {
            return ExprKind::List(items);
        }
        let mut entries = Vec::with_capacity(items.len() / 2);
        let mut items = items.drain(..);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            entries.push((key, value));
        }
        drop(items);
        let entries = entries.into_iter().map(|(key, value)| (self.key(key), value));
        ExprKind::Object(entries.collect())
    }

    /// A bare word is its own name.
    fn key(&mut self, key: Expr) -> Expr {
        let word = match &key.kind {
            ExprKind::Variable(name) => name.clone(),
            ExprKind::Null => "null".to_owned(),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::GetAttr { .. } => {
                let summary = "a reference as an object's key is ambiguous";
                let error = Diagnostic::error(code::HCL_SYNTAX, summary).at(key.span);
                let error = error.because("is it meant as a reference, or as a name with a dot?");
                let help = "for a reference, write it in parentheses; for a name, in quotes";
                self.diagnostics.push(error.help(help));
                return key;
            }
            _ => return key,
        };
        Expr { kind: ExprKind::String(word), span: key.span }
    }

    fn call(&mut self, call: &FuncCall) -> ExprKind {
        let last = self.name(&call.name.name);
        let (mut name, mut span) = (String::new(), last.span);
        if let Some(first) = call.name.namespace.first() {
            span = self.place(first).to(last.span);
        }
        for part in &call.name.namespace {
            name += part.as_str();
            name += "::";
        }
        let name = Spanned::new(name + &last.value, span);
        let args = call.args.iter().map(|arg| self.expression(arg)).collect();
        ExprKind::Call { name, args, expand: call.args.expand_final() }
    }

    fn for_expr(&mut self, parts: &EditFor) -> ExprKind {
        let name = |name: &Decorated<Ident>| name.as_str().to_owned();
        ExprKind::For(Box::new(ForExpr {
            key: parts.intro.key_var.as_ref().map(name),
            value: name(&parts.intro.value_var),
            collection: self.expression(&parts.intro.collection_expr),
            result_key: parts.key_expr.as_ref().map(|key| self.expression(key)),
            result: self.expression(&parts.value_expr),
            grouped: parts.grouping,
            condition: parts.cond.as_ref().map(|condition| self.expression(&condition.expr)),
        }))
    }

    fn traversal(&mut self, traversal: &Traversal) -> Expr {
        let of = self.expression(&traversal.expr);
        self.accesses(of, &traversal.operators)
    }

    /// What follows a term. After `[*]` all is of each element; after `.*` only the names and legacy
    /// indexes, and a bracket is of the whole result.
    fn accesses(&mut self, mut of: Expr, operators: &[Decorated<TraversalOperator>]) -> Expr {
        for (at, operator) in operators.iter().enumerate() {
            let rest = &operators[at + 1..];
            let in_each = match operator.value() {
                TraversalOperator::FullSplat(_) => rest.len(),
                TraversalOperator::AttrSplat(_) => {
                    rest.iter().take_while(|operator| is_dotted(operator)).count()
                }
                _ => {
                    of = self.access(of, operator);
                    continue;
                }
            };
            let item = Expr { kind: ExprKind::SplatItem, span: self.place(operator) };
            let each = self.accesses(item, &rest[..in_each]);
            let span = of.span.to(each.span);
            let kind = ExprKind::Splat { of: Box::new(of), each: Box::new(each) };
            return self.accesses(Expr { kind, span }, &rest[in_each..]);
        }
        of
    }

    fn access(&mut self, of: Expr, operator: &Decorated<TraversalOperator>) -> Expr {
        let span = of.span.to(self.place(operator));
        let of = Box::new(of);
        let kind = match operator.value() {
            // The place is that of `.name`, as HCL has it.
            TraversalOperator::GetAttr(name) => {
                let name = Spanned::new(name.as_str().to_owned(), self.place(operator));
                ExprKind::GetAttr { of, name }
            }
            TraversalOperator::Index(key) => {
                ExprKind::Index { of, key: Box::new(self.expression(key)) }
            }
            TraversalOperator::LegacyIndex(index) => {
                let kind = ExprKind::Number(self.text[self.range(index)].to_owned());
                ExprKind::Index { of, key: Box::new(Expr { kind, span: self.place(index) }) }
            }
            TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => return *of,
        };
        Expr { kind, span }
    }
}

fn is_dotted(operator: &Decorated<TraversalOperator>) -> bool {
    matches!(operator.value(), TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_))
}

fn binary(operator: EditBinary) -> BinaryOperator {
    match operator {
        EditBinary::Eq => BinaryOperator::Equal,
        EditBinary::NotEq => BinaryOperator::NotEqual,
        EditBinary::LessEq => BinaryOperator::LessOrEqual,
        EditBinary::GreaterEq => BinaryOperator::GreaterOrEqual,
        EditBinary::Less => BinaryOperator::Less,
        EditBinary::Greater => BinaryOperator::Greater,
        EditBinary::Plus => BinaryOperator::Add,
        EditBinary::Minus => BinaryOperator::Subtract,
        EditBinary::Mul => BinaryOperator::Multiply,
        EditBinary::Div => BinaryOperator::Divide,
        EditBinary::Mod => BinaryOperator::Modulo,
        EditBinary::And => BinaryOperator::And,
        EditBinary::Or => BinaryOperator::Or,
    }
}
