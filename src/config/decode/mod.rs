//! A body → typed options, with every unknown key, bad template text and wrong type reported.

mod deprecated;
mod deserialize;
mod form;
mod render;

use indexmap::IndexMap;

use crate::config::{Entry, Group, GroupReader, Node, NodeKind, OptionDoc, OptionGroups};
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::interpolate::Scope;
use crate::source::Span;

use self::deserialize::NodeDeserializer;

/// Renders the strings of `body` with `scope` and reads them into the groups of `G`.
///
/// `component` is how messages call the component, `not_built` are options of the reference that
/// it refuses by name. Keys that start with `packer_` are Packer's own and pass.
pub fn decode<G: OptionGroups>(
    component: &str,
    not_built: &[&str],
    body: &Node,
    scope: &Scope,
) -> Result<G, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let Some(entries) = body.entries() else {
        let summary =
            format!("the options of `{component}` must be a map, not {}", body.kind_name());
        return Err(Diagnostic::error(code::OPTION_TYPE, summary).at(body.span).into());
    };
    let docs = G::docs();
    let mut rendered = IndexMap::new();
    for (name, entry) in entries {
        if let Some(doc) = docs.iter().find(|doc| doc.name == *name) {
            form::check(name, entry, &doc.schema, &mut diagnostics);
            let value = render::render(&entry.value, &doc.schema, scope, name, &mut diagnostics);
            rendered.insert(name.clone(), Entry { key: entry.key, value, form: entry.form });
        } else if !name.starts_with("packer_") {
            let is_set = |name: &str| entries.contains_key(name);
            diagnostics.push(refuse_key(component, not_built, name, entry.key, &docs, is_set));
        }
    }
    if diagnostics.has_errors() {
        let known = entries.iter().filter(|(name, _)| rendered.contains_key(*name));
        let old = deprecated::still_working(component, known);
        diagnostics.extend(old.map(Diagnostic::into_warning));
    }
    let mut reader = Reader { component, span: body.span, entries: rendered, diagnostics };
    let groups = G::read(&mut reader);
    match groups {
        Some(groups) if !reader.diagnostics.has_errors() => Ok(groups),
        _ => Err(reader.diagnostics),
    }
}

/// Which of the `given` names, at their places, are no option of `component`. For a body whose values
/// are not known, so that [`decode()`] has nothing to read.
pub fn unknown_options<'a>(
    component: &str,
    not_built: &[&str],
    docs: &[OptionDoc],
    given: impl Iterator<Item = (&'a str, Span)> + Clone,
) -> Diagnostics {
    let is_option = |name: &str| docs.iter().any(|doc| doc.name == name);
    let is_set = |name: &str| given.clone().any(|(given, _)| given == name);
    let unknown =
        given.clone().filter(|(name, _)| !is_option(name) && !name.starts_with("packer_"));
    let refuse = |(name, span)| refuse_key(component, not_built, name, span, docs, is_set);
    Diagnostics(unknown.map(refuse).collect())
}

/// Why `name` is no option of `component`.
fn refuse_key(
    component: &str,
    not_built: &[&str],
    name: &str,
    span: Span,
    docs: &[OptionDoc],
    is_set: impl Fn(&str) -> bool,
) -> Diagnostic {
    if not_built.contains(&name) {
        let summary = format!("`{name}` of `{component}` is not built yet");
        return Diagnostic::error(code::NOT_BUILT, summary)
            .at(span)
            .because("imgbake refuses what it would otherwise ignore")
            .help("remove the option if the image does not need it");
    }
    if let Some(deprecated) = deprecated::refused(component, name, span) {
        return deprecated;
    }
    let absent = docs.iter().map(|doc| doc.name.as_str()).filter(|name| !is_set(name));
    let diagnostic =
        Diagnostic::error(code::UNKNOWN_OPTION, format!("`{component}` has no option `{name}`"))
            .at(span)
            .because("unknown option");
    match did_you_mean(name, absent) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic,
    }
}

struct Reader<'a> {
    component: &'a str,
    span: Span,
    entries: IndexMap<String, Entry>,
    diagnostics: Diagnostics,
}

impl GroupReader for Reader<'_> {
    /// Reads one group. A value that cannot be read is reported and set aside, and the rest is
    /// read again, so that all wrong values of a group are shown at once.
    fn read_group<G: Group>(&mut self, docs: &[OptionDoc]) -> Option<G> {
        let mut own: IndexMap<String, Entry> = docs
            .iter()
            .filter_map(|doc| Some((doc.name.clone(), self.entries.get(&doc.name)?.clone())))
            .collect();
        let mut failed = false;
        loop {
            let node = Node::new(self.span, NodeKind::Map(own.clone()));
            let unknown = std::cell::RefCell::new(Diagnostics::default());
            let result = G::deserialize(NodeDeserializer::new(&node, &unknown));
            let error = match result {
                Ok(group) => {
                    self.diagnostics.extend(unknown.into_inner());
                    return (!failed).then_some(group);
                }
                Err(error) => error,
            };
            failed = true;
            let culprit = error.path.first().cloned();
            self.diagnostics.push(error.into_diagnostic(self.component, self.span));
            // Without a culprit nothing can be set aside: a required option is missing.
            let name = culprit?;
            own.shift_remove(&name)?;
        }
    }
}

#[cfg(test)]
mod tests;
