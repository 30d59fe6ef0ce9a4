//! What an expression refers to, read off without evaluating it.

use crate::template::ast::{Expr, ExprKind, ForExpr, TemplatePart};

/// A root name and the attributes after it: `var.region`, `local.hosts.alba`.
#[derive(Clone, Debug)]
pub struct Reference<'a> {
    /// The root name first.
    pub names: Vec<&'a str>,
    /// Where.
    pub expr: &'a Expr,
    /// Whether a `for` around it binds the root name.
    pub is_bound: bool,
}

impl Reference<'_> {
    /// Whether it has a root and at least one attribute.
    pub fn is_traversal(&self) -> bool {
        self.names.len() > 1
    }

    /// As it is written.
    pub fn text(&self) -> String {
        self.names.join(".")
    }
}

/// Calls `found` with every reference in `expr`, in the order of the text.
pub fn each<'a>(expr: &'a Expr, found: &mut dyn FnMut(Reference<'a>)) {
    visit(expr, &mut Vec::new(), found);
}

/// Names bound by the `for`s around an expression.
type Bound<'a> = Vec<&'a str>;

fn visit<'a>(expr: &'a Expr, bound: &mut Bound<'a>, found: &mut dyn FnMut(Reference<'a>)) {
    if let Some(names) = traversal(expr) {
        let is_bound = bound.contains(&names[0]);
        return found(Reference { names, expr, is_bound });
    }
    match &expr.kind {
        ExprKind::For(each) => visit_for(each, bound, found),
        ExprKind::Template(parts) => {
            parts.iter().for_each(|part| visit_part(part, bound, found));
        }
        _ => children(expr, &mut |child| visit(child, bound, found)),
    }
}

fn visit_for<'a>(each: &'a ForExpr, bound: &mut Bound<'a>, found: &mut dyn FnMut(Reference<'a>)) {
    visit(&each.collection, bound, found);
    let outside = bound.len();
    bound.extend(each.key.as_deref());
    bound.push(&each.value);
    let inside = each.result_key.iter().chain([&each.result]).chain(&each.condition);
    inside.for_each(|expr| visit(expr, bound, found));
    bound.truncate(outside);
}

fn visit_part<'a>(
    part: &'a TemplatePart,
    bound: &mut Bound<'a>,
    found: &mut dyn FnMut(Reference<'a>),
) {
    match part {
        TemplatePart::Text(_) => {}
        TemplatePart::Interpolation(expr) => visit(expr, bound, found),
        TemplatePart::If { condition, yes, no, .. } => {
            visit(condition, bound, found);
            yes.iter().chain(no).for_each(|part| visit_part(part, bound, found));
        }
        TemplatePart::For { key, value, collection, body, .. } => {
            visit(collection, bound, found);
            let outside = bound.len();
            bound.extend(key.as_deref());
            bound.push(value);
            body.iter().for_each(|part| visit_part(part, bound, found));
            bound.truncate(outside);
        }
    }
}

/// The names of a chain of attributes down to a root name; constant string keys count as names.
fn traversal(expr: &Expr) -> Option<Vec<&str>> {
    match &expr.kind {
        ExprKind::Variable(name) => Some(vec![name]),
        ExprKind::GetAttr { of, name } => {
            let mut names = traversal(of)?;
            names.push(&name.value);
            Some(names)
        }
        ExprKind::Index { of, key } => match &key.kind {
            ExprKind::String(name) => {
                let mut names = traversal(of)?;
                names.push(name);
                Some(names)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Calls `visit` with every expression directly inside of one that binds no names.
fn children<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    match &expr.kind {
        ExprKind::Null
        | ExprKind::Bool(_)
        | ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::Variable(_)
        | ExprKind::Template(_)
        | ExprKind::For(_)
        | ExprKind::SplatItem => {}
        ExprKind::List(items) | ExprKind::Call { args: items, .. } => items.iter().for_each(visit),
        ExprKind::Object(items) => items.iter().for_each(|(key, value)| {
            visit(key);
            visit(value);
        }),
        ExprKind::GetAttr { of, .. } => visit(of),
        ExprKind::Index { of: first, key: second }
        | ExprKind::Splat { of: first, each: second }
        | ExprKind::Binary { left: first, right: second, .. } => {
            visit(first);
            visit(second);
        }
        ExprKind::Conditional { condition, yes, no } => {
            visit(condition);
            visit(yes);
            visit(no);
        }
        ExprKind::Unary { operand: inner, .. }
        | ExprKind::Parenthesis(inner)
        | ExprKind::Made { of: inner, .. } => visit(inner),
    }
}
