//! Whether an option is written in the form that it has: HCL2 tells arguments from blocks, and makes
//! no list of a single value.

use serde_json::Value as Json;

use crate::config::node::{Entry, Form, Node, NodeKind};
use crate::config::options::{block_properties, without_null};
use crate::diagnostic::{Diagnostic, Diagnostics, code};

/// Says what is wrong with the form of the option `name` and of those inside of it.
pub(super) fn check(name: &str, entry: &Entry, schema: &Json, diagnostics: &mut Diagnostics) {
    let schema = without_null(schema);
    match (entry.form, block_properties(schema)) {
        (Form::Weak, _) => {}
        (Form::Block, None) => {
            let summary = format!("`{name}` is an argument, not a block");
            let error = Diagnostic::error(code::OPTION_TYPE, summary).at(entry.key);
            diagnostics.push(error.help(format!("write `{name} = …`")));
        }
        (Form::Argument, Some(_)) => {
            let summary = format!("`{name}` is a block, not an argument");
            let error = Diagnostic::error(code::OPTION_TYPE, summary).at(entry.key);
            diagnostics.push(error.help(format!("write `{name} {{ … }}`, without `=`")));
        }
        (Form::Block | Form::Typed, Some(properties)) => {
            check_inside(&entry.value, properties, diagnostics);
        }
        (Form::Argument | Form::Typed, None) => check_list(name, &entry.value, schema, diagnostics),
    }
}

fn check_inside(node: &Node, properties: &Json, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::List(items) => {
            items.iter().for_each(|item| check_inside(item, properties, diagnostics));
        }
        NodeKind::Map(entries) => {
            for (name, entry) in entries {
                if let Some(schema) = properties.get(name) {
                    check(name, entry, schema, diagnostics);
                }
            }
        }
        _ => {}
    }
}

fn check_list(name: &str, node: &Node, schema: &Json, diagnostics: &mut Diagnostics) {
    let is_list = schema.get("type").is_some_and(|name| name == "array");
    let fits = match &node.kind {
        NodeKind::List(_) | NodeKind::Null | NodeKind::Unknown => true,
        _ => node.is_not_given(),
    };
    if is_list && !fits {
        let summary = format!("the value of `{name}` cannot be used");
        let error = Diagnostic::error(code::OPTION_TYPE, summary).at(node.span);
        let error = error.because(format!("expected a list, found {}", node.kind_name()));
        diagnostics.push(error.help(format!("write `{name} = [ … ]`")));
    }
}
