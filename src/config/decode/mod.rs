//! A body → options, with every unknown key, bad template text and wrong type reported.

mod by_schema;
mod deserialize;
mod form;
mod render;

use std::cell::RefCell;
use std::iter;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::config::node::{Entry, Node, NodeKind};
use crate::config::options::{Group, GroupReader, OptionGroups, OptionSchema};
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::interpolate::Scope;
use crate::secret::Redactor;
use crate::source::Span;

use self::deserialize::NodeDeserializer;
use self::render::Renderer;

/// For whom a body is decoded, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Decoding<'a> {
    /// How messages call the component.
    pub component: &'a str,
    /// What the `{{ … }}` in its texts may know.
    pub scope: &'a Scope,
    /// Takes the secrets among the options.
    pub redactor: &'a Redactor,
    /// The options in the same body that others read. They pass.
    pub beside: &'a [Arc<OptionSchema>],
}

/// Renders the strings of `body` and reads them into the groups of `G`. Keys that start with
/// `packer_` are Packer's own and pass.
pub fn decode<G: OptionGroups>(body: &Node, with: Decoding<'_>) -> Result<G, Diagnostics> {
    let mut reader = Reader::of(body, &G::schema(), with)?;
    match G::read(&mut reader) {
        Some(groups) if !reader.found.has_errors() => Ok(groups),
        _ => Err(reader.found),
    }
}

/// The same for a component that no struct declares the options of: its options as plain data, those
/// only that are given.
pub fn decode_by_schema(
    schema: &OptionSchema,
    body: &Node,
    with: Decoding<'_>,
) -> Result<serde_json::Map<String, Json>, Diagnostics> {
    let mut reader = Reader::of(body, schema, with)?;
    let options = reader.read_by_schema(schema);
    if reader.found.has_errors() { Err(reader.found) } else { Ok(options) }
}

/// How it is said that `component` cannot do without `option`.
pub fn needs_message(component: &str, option: &str) -> String {
    format!("`{component}` needs `{option}`")
}

/// Which of the `given` names, at their places, are no option of `component`. For a body whose values
/// are not known, so that [`decode()`] has nothing to read.
pub fn unknown_options<'a>(
    component: &str,
    schema: &OptionSchema,
    given: impl Iterator<Item = (&'a str, Span)> + Clone,
) -> Diagnostics {
    let names = Names { component, own: schema, beside: &[] };
    let is_set = |name: &str| given.clone().any(|(given, _)| given == name);
    let unknown = given.clone().filter(|(name, _)| !names.pass(name));
    let refuse = |(name, span)| names.refuse(name, span, is_set);
    Diagnostics(unknown.map(refuse).collect())
}

/// The names that a body of `component` may use: its own options, and those that others read.
#[derive(Clone, Copy)]
struct Names<'a> {
    component: &'a str,
    own: &'a OptionSchema,
    beside: &'a [Arc<OptionSchema>],
}

impl<'a> Names<'a> {
    fn schemas(self) -> impl Iterator<Item = &'a OptionSchema> {
        iter::once(self.own).chain(self.beside.iter().map(|one| &**one))
    }

    fn pass(self, name: &str) -> bool {
        self.schemas().any(|schema| schema.get(name).is_some()) || name.starts_with("packer_")
    }

    /// Why `name` is no option.
    fn refuse(self, name: &str, span: Span, is_set: impl Fn(&str) -> bool) -> Diagnostic {
        let component = self.component;
        if self.schemas().any(|schema| schema.not_built().iter().any(|one| one == name)) {
            let summary = format!("`{name}` of `{component}` is not built yet");
            return Diagnostic::error(code::NOT_BUILT, summary)
                .at(span)
                .because("imgbake refuses what it would otherwise ignore")
                .help("remove the option if the image does not need it");
        }
        if let Some(deprecated) = self.deprecated(name, span) {
            return deprecated;
        }
        let options = self.schemas().flat_map(OptionSchema::options);
        let absent = options.map(|option| option.name.as_str()).filter(|name| !is_set(name));
        let summary = format!("`{component}` has no option `{name}`");
        let diagnostic =
            Diagnostic::error(code::UNKNOWN_OPTION, summary).at(span).because("unknown option");
        match did_you_mean(name, absent) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic,
        }
    }

    /// What to say of the option `name`, if it is one of another time.
    fn deprecated(self, name: &str, span: Span) -> Option<Diagnostic> {
        let today = self.schemas().find_map(|schema| schema.renamed(name))?;
        let (cause, help) = match today {
            Some(today) => {
                (format!("it is called `{today}` today"), format!("write `{today}`, or run"))
            }
            None => ("nothing needs it any more".to_owned(), "remove it, or run".to_owned()),
        };
        let summary = format!("`{name}` is deprecated");
        let found = Diagnostic::error(code::UNKNOWN_OPTION, summary).at(span).because(cause);
        let fixes = "`imgbake fix` on a JSON template: it prints the whole as it is now";
        Some(found.help(format!("{help} {fixes}")))
    }
}

/// A body whose keys and texts are checked, and what was found wrong with it so far.
struct Reader<'a> {
    component: &'a str,
    span: Span,
    /// The options that nobody has read yet, rendered.
    entries: IndexMap<String, Entry>,
    found: Diagnostics,
}

impl<'a> Reader<'a> {
    fn of(body: &Node, schema: &OptionSchema, with: Decoding<'a>) -> Result<Self, Diagnostics> {
        let Decoding { component, scope, redactor, beside } = with;
        let names = Names { component, own: schema, beside };
        let Some(given) = body.entries() else {
            let summary =
                format!("the options of `{component}` must be a map, not {}", body.kind_name());
            return Err(Diagnostic::error(code::OPTION_TYPE, summary).at(body.span).into());
        };
        let mut found = Diagnostics::default();
        let mut entries = IndexMap::with_capacity(given.len());
        for (name, entry) in given {
            if let Some(option) = schema.get(name) {
                form::check(name, entry, &option.schema, &mut found);
                let mut renderer = Renderer { option: name, scope, redactor, found: &mut found };
                let value = renderer.render(&entry.value, &option.schema);
                entries.insert(name.clone(), Entry { key: entry.key, value, form: entry.form });
            } else if !names.pass(name) {
                let is_set = |name: &str| given.contains_key(name);
                found.push(names.refuse(name, entry.key, is_set));
            }
        }
        if found.has_errors() {
            // Shown only beside errors: whoever has to edit the template can mend these, too.
            let taken = given.iter().filter(|(name, _)| names.pass(name));
            let old = taken.filter_map(|(name, entry)| names.deprecated(name, entry.key));
            let old: Vec<_> = old.map(Diagnostic::into_warning).collect();
            found.extend(old);
        }
        Ok(Self { component, span: body.span, entries, found })
    }

    /// Takes those of `schema` from the options that are left.
    fn take(&mut self, schema: &OptionSchema) -> IndexMap<String, Entry> {
        self.entries.extract_if(.., |name, _| schema.get(name).is_some()).collect()
    }

    fn report(&mut self, error: deserialize::Error) {
        self.found.push(error.into_diagnostic(self.component, self.span));
    }

    /// All options of `schema` that are given, as plain data.
    fn read_by_schema(&mut self, schema: &OptionSchema) -> serde_json::Map<String, Json> {
        let entries = self.take(schema);
        for option in schema.options().iter().filter(|option| option.required) {
            if entries.get(&option.name).is_none_or(|entry| entry.value.is_not_given()) {
                let summary = needs_message(self.component, &option.name);
                let missing = Diagnostic::error(code::MISSING_OPTION, summary).at(self.span);
                self.found.push(missing.because("required here"));
            }
        }
        let unknown = RefCell::new(Diagnostics::default());
        let mut options = serde_json::Map::new();
        let given = entries.iter().filter(|(_, entry)| !entry.value.is_not_given());
        for (name, entry) in given {
            let Some(option) = schema.get(name) else { continue };
            let value = NodeDeserializer::of_option(entry, &unknown).by_schema(&option.schema);
            match value.map_err(|error| error.under(name)) {
                Ok(value) => drop(options.insert(name.clone(), value)),
                Err(error) => self.report(error),
            }
        }
        self.found.extend(unknown.into_inner());
        options
    }
}

impl GroupReader for Reader<'_> {
    /// Reads one group. A value that cannot be read is reported and set aside, and the rest is
    /// read again, so that all wrong values of a group are shown at once.
    fn read_group<G: Group>(&mut self, schema: &OptionSchema) -> Option<G> {
        let mut node = Node::new(self.span, NodeKind::Map(self.take(schema)));
        let mut failed = false;
        loop {
            let unknown = RefCell::new(Diagnostics::default());
            let result = G::deserialize(NodeDeserializer::new(&node, &unknown));
            let error = match result {
                Ok(group) => {
                    self.found.extend(unknown.into_inner());
                    return (!failed).then_some(group);
                }
                Err(error) => error,
            };
            failed = true;
            let culprit = error.path.first().cloned();
            self.report(error);
            // Without a culprit nothing can be set aside: a required option is missing.
            let NodeKind::Map(entries) = &mut node.kind else { return None };
            entries.shift_remove(&culprit?)?;
        }
    }
}

#[cfg(test)]
mod tests;
