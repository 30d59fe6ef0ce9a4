//! Whether the parts of a legacy template fit together, whatever its components are.

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::plan::{candidate, make};
use crate::source::Spanned;
use crate::template::ast::{Attribute, Body, Build, ComponentBlock, Dialect, ExprKind, Template};

/// What can be said of a legacy template without values and components: it builds something, and
/// its `only`, `except` and `override` name its builders.
pub fn check_legacy_structure(template: &Template) -> Diagnostics {
    let nothing = make::nothing_to_build(template).into_iter();
    let names = template.builds.iter().flat_map(check_build);
    Diagnostics(nothing.chain(names).collect())
}

fn check_build(build: &Build) -> Vec<Diagnostic> {
    let known = candidate::filtered_names(build, Dialect::Json);
    let provisioners = build.provisioners.iter();
    let provisioners = provisioners.map(|one| (one, ["only", "except", "override"].as_slice()));
    let post_processors = build.post_processors.iter().flatten();
    let post_processors = post_processors.map(|one| (one, ["only", "except"].as_slice()));
    let components = provisioners.chain(post_processors);
    components.flat_map(|(one, keys)| check_component(one, keys, &known)).collect()
}

/// Checks the names of builders that the options `keys` hold.
fn check_component(component: &ComponentBlock, keys: &[&str], known: &[String]) -> Vec<Diagnostic> {
    let body = &component.body;
    let names = keys.iter().flat_map(|key| names_in(body, key));
    let unknown = names.filter_map(|name| candidate::unknown_name(&name, known));
    let both = match (body.attributes.get("only"), body.attributes.get("except")) {
        (Some(only), Some(except)) => Some(exclude_each_other(only, except)),
        _ => None,
    };
    both.into_iter().chain(unknown).collect()
}

/// What to say of a block that has `only` and `except`.
fn exclude_each_other(only: &Attribute, except: &Attribute) -> Diagnostic {
    Diagnostic::error(code::OPTION_VALUE, "`only` and `except` exclude each other")
        .at(except.name)
        .because("give one of them")
        .label(only.name, "the other")
}

/// The names that the list or the map `key` holds.
fn names_in(body: &Body, key: &str) -> Vec<Spanned<String>> {
    let names = match body.attributes.get(key).map(|attribute| &attribute.value.kind) {
        Some(ExprKind::List(items)) => items.iter().collect(),
        Some(ExprKind::Object(members)) => members.iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    };
    let text = |name: &crate::template::ast::Expr| match &name.kind {
        ExprKind::String(text) => Some(Spanned::new(text.clone(), name.span)),
        _ => None,
    };
    names.into_iter().filter_map(text).collect()
}
