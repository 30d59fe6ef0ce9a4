//! User variables that a legacy template uses and does not declare: they render as nothing.

use std::collections::{BTreeMap, HashSet};

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::source::Span;
use crate::template::ast::{Body, Build, Expr, ExprKind, Template};

use super::legacy::user_references;

/// Warns of each `{{user}}` in the components of `template` that has none of `values`, and of each
/// variable `given` on the command line that nothing knows.
pub fn check(
    template: &Template,
    given: &[String],
    values: &BTreeMap<String, String>,
) -> Diagnostics {
    let mut asked = Vec::new();
    bodies(template).for_each(|body| in_body(body, &mut asked));
    let declared = || template.variables.iter().map(|variable| variable.name.value.as_str());
    let help = |name: &str| match did_you_mean(name, declared()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it in `variables`: `\"{name}\": \"…\"`"),
    };
    let unknown =
        asked.iter().filter(|(name, _)| !values.contains_key(name)).map(|(name, span)| {
            let summary = format!("the template has no variable `{name}`");
            let found = Diagnostic::warning(code::UNDECLARED_VARIABLE, summary).at(*span);
            found.because("so this renders as nothing").help(help(name))
        });
    let used: HashSet<&str> =
        asked.iter().map(|(name, _)| name.as_str()).chain(declared()).collect();
    let idle = given.iter().filter(|name| !used.contains(name.as_str())).map(|name| {
        let summary = format!("`-var {name}=…` sets no variable of this template");
        Diagnostic::warning(code::UNDECLARED_VARIABLE, summary).help(help(name))
    });
    Diagnostics(unknown.chain(idle).collect())
}

/// The bodies of all components.
fn bodies(template: &Template) -> impl Iterator<Item = &Body> {
    let components = template.builds.iter().flat_map(Build::components);
    let sources = template.sources.iter().map(|source| &source.body);
    sources.chain(components.map(|component| &component.body))
}

/// A variable's name, and where it is asked for.
type Asked = (String, Span);

fn in_body(body: &Body, asked: &mut Vec<Asked>) {
    body.attributes.values().for_each(|attribute| in_expr(&attribute.value, asked));
}

fn in_expr(expr: &Expr, asked: &mut Vec<Asked>) {
    match &expr.kind {
        ExprKind::String(text) => {
            asked.extend(user_references(text).into_iter().map(|name| (name, expr.span)));
        }
        ExprKind::List(items) => items.iter().for_each(|item| in_expr(item, asked)),
        ExprKind::Object(members) => members.iter().for_each(|(key, value)| {
            in_expr(key, asked);
            in_expr(value, asked);
        }),
        _ => {}
    }
}
