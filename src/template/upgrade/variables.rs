//! Variables → `variable` blocks, and `local`s where a default is computed.

use super::build::Upgraded;
use super::text::{Place, Texts};
use super::write::{Block, Item, Value};
use crate::template::ast::{Expr, ExprKind, Template, Variable};

/// The variables, and the locals: secret ones first, each in a block of its own.
pub(super) fn blocks(template: &Template, texts: &mut Texts<'_>) -> (Vec<Upgraded>, Vec<Upgraded>) {
    let (mut variables, mut locals) = (Vec::new(), Vec::new());
    let mut plain = Vec::new();
    let mut plain_problems = Vec::new();
    for (old, name, is_local) in texts.names().variables() {
        let declared = template.variables.iter().find(|variable| variable.name.value == old);
        let value = default(declared, texts);
        let is_secret = declared.is_some_and(|variable| variable.sensitive);
        match value {
            Some(value) if is_local && is_secret => {
                let body = vec![attribute("sensitive", "true"), attribute("expression", &value)];
                locals.push((Block::new("local", &[name], body), texts.take_problems()));
            }
            Some(value) if is_local => {
                plain.push(attribute(name, &value));
                plain_problems.extend(texts.take_notes());
            }
            value => {
                let block = variable(name, value, is_secret);
                variables.push((block, texts.take_problems()));
            }
        }
    }
    if !plain.is_empty() {
        plain_problems.into_iter().for_each(|problem| texts.note(problem));
        locals.push((Block::new("locals", &[], plain), texts.take_problems()));
    }
    (variables, locals)
}

/// The expression of a variable's default.
fn default(declared: Option<&Variable>, texts: &mut Texts<'_>) -> Option<String> {
    match declared?.default.as_ref()? {
        Expr { kind: ExprKind::String(text), .. } => Some(texts.quoted(text, Place::Template)),
        _ => None,
    }
}

fn variable(name: &str, default: Option<String>, is_secret: bool) -> Block {
    let mut body = vec![attribute("type", "string")];
    body.extend(default.map(|default| attribute("default", &default)));
    if is_secret {
        body.push(attribute("sensitive", "true"));
    }
    Block::new("variable", &[name], body)
}

fn attribute(name: &str, expression: &str) -> Item {
    Item::Attribute(name.to_owned(), Value::Expression(expression.to_owned()))
}
