//! `variable` and `variables`.

use super::reader::{BlockShape, Reader};
use crate::diagnostic::{Diagnostic, code};
use crate::source::Spanned;
use crate::template::ast::{Attribute, Block, Body, Template, Validation, Variable};

/// The blocks inside of `variable`.
pub(in crate::template) const VARIABLE_BLOCKS: &[BlockShape] =
    &[BlockShape::new("validation", &[])];

/// Its arguments.
const ARGUMENTS: &[&str] = &["type", "default", "description", "sensitive"];

pub(super) fn variable(mut block: Block, template: &mut Template, reader: &mut Reader) {
    let body = &mut block.body;
    reader.check(body, "a `variable` block", ARGUMENTS, VARIABLE_BLOCKS);
    let Some(name) = block.labels.pop() else { return };
    if !reader.identifier(&name, "a variable") {
        return;
    }
    reader.define("variable", &name.value, name.span);
    let sensitive = reader.take_bool(body, "sensitive").unwrap_or(false);
    let description = reader.take_string(body, "description").map(|text| text.value);
    let mut take = |name: &str| body.attributes.shift_remove(name).map(|found| found.value);
    let (type_expr, default) = (take("type"), take("default"));
    let blocks = std::mem::take(&mut body.blocks);
    let validations = blocks.into_iter().filter_map(|block| validation(block, reader)).collect();
    let variable = Variable { name, type_expr, default, description, sensitive, validations };
    template.variables.push(variable);
}

/// `variables { name = default }`.
pub(super) fn variables(mut block: Block, template: &mut Template, reader: &mut Reader) {
    reader.no_blocks(&mut block.body, "a `variables` block");
    for (name, Attribute { name: span, value }) in block.body.attributes {
        reader.define("variable", &name, span);
        template.variables.push(Variable {
            name: Spanned::new(name, span),
            type_expr: None,
            default: Some(value),
            description: None,
            sensitive: false,
            validations: Vec::new(),
        });
    }
}

fn validation(mut block: Block, reader: &mut Reader) -> Option<Validation> {
    let body: &mut Body = &mut block.body;
    reader.check(body, "a `validation` block", &["condition", "error_message"], &[]);
    let condition = body.attributes.shift_remove("condition");
    let has_message = body.attributes.contains_key("error_message");
    let error_message = reader.take_string(body, "error_message");
    if condition.is_none() {
        reader.missing(block.span, "condition", "what must be true of the variable");
    }
    if !has_message {
        reader.missing(block.span, "error_message", "what is said where the condition is false");
    }
    let (condition, error_message) = (condition?.value, error_message?);
    check_message(&error_message, reader);
    Some(Validation { condition, error_message, span: block.span })
}

/// A message is a sentence, as people read it after the name of the variable.
fn check_message(message: &Spanned<String>, reader: &mut Reader) {
    let text = message.value.trim();
    let capital = text.chars().next().is_some_and(|first| !first.is_lowercase());
    if !capital || !text.ends_with(['.', '?', '!']) {
        let summary = "an `error_message` must be a whole sentence";
        let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(message.span);
        reader.say(error.because("it begins with a capital letter and ends with `.`, `?` or `!`"));
    }
}
