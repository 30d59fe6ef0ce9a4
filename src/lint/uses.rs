//! Which variables and locals a template uses.

use std::collections::{HashMap, HashSet};

use crate::eval::{each_reference, user_references};
use crate::template::ast::{Body, Dialect, Expr, ExprKind, Template, Variable};

/// Names that expressions refer to.
#[derive(Debug, Default)]
pub(super) struct Uses<'a> {
    names: HashMap<&'a str, HashSet<String>>,
    /// Roots that are used as a whole, and so with all that is in them.
    whole: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    /// All of `template`, but for what variables and locals say of themselves.
    pub(super) fn of(template: &'a Template) -> Self {
        let mut uses = Self::default();
        let mut add = |owner: Option<(&str, &str)>, expr: &'a Expr| match template.dialect {
            Dialect::Hcl => uses.add_references(owner, expr),
            Dialect::Json => uses.add_texts(owner, expr),
        };
        for variable in &template.variables {
            let own = Some(("var", variable.name.value.as_str()));
            expressions_of(variable).for_each(|expr| add(own, expr));
        }
        for local in &template.locals {
            add(Some(("local", &local.name.value)), &local.value);
        }
        bodies(template).for_each(|body| in_body(body, &mut |expr| add(None, expr)));
        uses
    }

    /// Whether anything refers to `root.name`.
    pub(super) fn has(&self, root: &str, name: &str) -> bool {
        self.whole.contains(root) || self.names.get(root).is_some_and(|names| names.contains(name))
    }

    fn add_references(&mut self, owner: Option<(&str, &str)>, expr: &'a Expr) {
        each_reference(expr, &mut |reference| match reference.names.as_slice() {
            _ if reference.is_bound => {}
            [root] => {
                self.whole.insert(root);
            }
            [root, name, ..] if owner != Some((root, name)) => {
                self.names.entry(root).or_default().insert((*name).to_owned());
            }
            _ => {}
        });
    }

    /// The `{{user …}}` in the texts of `expr`.
    fn add_texts(&mut self, owner: Option<(&str, &str)>, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::String(text) => {
                let names = user_references(text).into_iter();
                let others = names.filter(|name| owner != Some(("var", name)));
                self.names.entry("var").or_default().extend(others);
            }
            ExprKind::List(items) => items.iter().for_each(|item| self.add_texts(owner, item)),
            ExprKind::Object(items) => {
                for (key, value) in items {
                    self.add_texts(owner, key);
                    self.add_texts(owner, value);
                }
            }
            _ => {}
        }
    }
}

fn expressions_of(variable: &Variable) -> impl Iterator<Item = &Expr> {
    let rules = variable.validations.iter().map(|rule| &rule.condition);
    variable.default.iter().chain(rules)
}

/// The bodies of all blocks.
fn bodies(template: &Template) -> impl Iterator<Item = &Body> {
    let (unrolled, plain): (Vec<_>, Vec<_>) =
        template.builds.iter().partition(|build| build.written.is_some());
    let written = unrolled.into_iter().filter_map(|build| Some(&build.written.as_ref()?.body));
    let builds = plain.into_iter().flat_map(|build| {
        let extras = build.sources.iter().filter_map(|usage| usage.extra.as_ref());
        let registry = build.hcp_registry.iter().map(|block| &block.body);
        build.components().map(|component| &component.body).chain(extras).chain(registry)
    });
    let sources = template.sources.iter().map(|source| &source.body);
    let others = template.data.iter().chain(&template.hcp_registry).map(|block| &block.body);
    sources.chain(others).chain(builds).chain(written)
}

/// Calls `found` with every argument in `body` and the blocks in it.
fn in_body<'a>(body: &'a Body, found: &mut dyn FnMut(&'a Expr)) {
    body.attributes.values().for_each(|attribute| found(&attribute.value));
    body.blocks.iter().for_each(|block| in_body(&block.body, found));
}
