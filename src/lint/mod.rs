//! What a template may do, but its author rarely wants: one rule for each file, each with a code
//! (`L…`) that `imgbake explain` knows.
//!
//! Rules read the planned builds and the template, and change nothing. A comment
//! `imgbake:allow(L102)` on the line of a finding, or on the line before, silences it there;
//! [`Levels`] do so everywhere.

mod allow;
mod levels;
mod uses;

mod hardcoded_key;
mod imdsv1_allowed;
mod most_recent_missing;
mod open_ingress;
mod owners_missing;
mod sleep_for_boot;
mod unencrypted_volume;
mod unlimited_plugin;
mod unpinned_latest;
mod unused_local;
mod unused_variable;
mod user_data_secret;

use crate::config::{self, Entry, Node, NodeKind};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use crate::interpolate::{self, Dot};
use crate::plan::{Plan, PlannedBuild};
use crate::secret::Redactor;
use crate::source::{SourceMap, Span};
use crate::template::ast::Template;

pub use self::levels::{Level, Levels, Wish};

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// As it was written.
    pub template: &'a Template,
    /// The builds that it stands for.
    pub plan: &'a Plan,
    /// The texts that it was read from, variable files among them.
    pub sources: &'a SourceMap,
    /// Takes the secrets that should not be in the texts, so that they are not shown.
    pub redactor: &'a Redactor,
}

/// A rule.
struct Rule {
    code: Code,
    check: fn(&Subject<'_>) -> Vec<Diagnostic>,
    /// Whether it is silent unless somebody asks for it: it would fire on nearly every template, and
    /// who gets used to that reads no warning any more.
    pedantic: bool,
}

impl Rule {
    const fn new(code: Code, check: fn(&Subject<'_>) -> Vec<Diagnostic>) -> Self {
        Self { code, check, pedantic: false }
    }

    const fn pedantic(self) -> Self {
        Self { pedantic: true, ..self }
    }
}

/// All rules, in the order of their codes.
static RULES: &[Rule] = &[
    hardcoded_key::RULE,
    open_ingress::RULE,
    owners_missing::RULE,
    most_recent_missing::RULE,
    unpinned_latest::RULE,
    imdsv1_allowed::RULE,
    unencrypted_volume::RULE,
    user_data_secret::RULE,
    unlimited_plugin::RULE,
    unused_variable::RULE,
    unused_local::RULE,
    sleep_for_boot::RULE,
];

/// Everything that the rules find and nothing silences; each place once, even where several builds
/// share it.
pub fn check(subject: &Subject<'_>, levels: &Levels) -> Diagnostics {
    let mut found = Diagnostics::default();
    for rule in RULES {
        let severity = match levels.of(rule.code) {
            Level::Allow => continue,
            Level::Warn => Severity::Warning,
            Level::Deny => Severity::Error,
        };
        let findings = (rule.check)(subject).into_iter();
        let loud = findings.filter(|found| !allow::is_allowed(found, subject.sources));
        found.extend(loud.map(|found| Diagnostic { severity, ..found }));
    }
    found.without_repetitions()
}

/// A finding of the rule `code`; [`check`] says how bad it is.
fn finding(code: Code, span: Span, summary: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(code, summary).at(span)
}

/// The texts in `node` as `build` sees them, with their places: its `{{ … }}` are filled in as far
/// as they can be before it runs.
fn texts(node: &Node, build: &PlannedBuild) -> Vec<(String, Span)> {
    if let Some(text) = node.as_str() {
        return vec![(rendered(text, build), node.span)];
    }
    let items = node.items().iter();
    let values = node.entries().into_iter().flat_map(|entries| entries.values());
    items.chain(values.map(|entry| &entry.value)).flat_map(|part| texts(part, build)).collect()
}

/// `text` as `build` sees it.
fn rendered(text: &str, build: &PlannedBuild) -> String {
    let rendered = interpolate::Template::parse(text)
        .and_then(|template| template.render(&build.facts.scope, &Dot::new()));
    rendered.unwrap_or_else(|_| text.to_owned())
}

/// The option, unless it is not given; null is as good as that.
fn given<'a>(node: &'a Node, option: &str) -> Option<&'a Entry> {
    node.get(option).filter(|entry| !matches!(entry.value.kind, NodeKind::Null))
}

/// The text that `build` sees in the option.
fn text_of(node: &Node, option: &str, build: &PlannedBuild) -> Option<String> {
    Some(rendered(given(node, option)?.value.as_str()?, build))
}

/// Whether `build` reads the option as true, whatever way it is written in.
fn is_true(node: &Node, option: &str, build: &PlannedBuild) -> bool {
    let Some(Entry { value, .. }) = given(node, option) else { return false };
    let read = match value.as_str() {
        Some(text) => config::bool_of_text(&rendered(text, build)),
        None => value.as_bool(),
    };
    read == Some(true)
}

/// The blocks that `option` consists of: one where it is a map.
fn blocks<'a>(node: &'a Node, option: &str) -> Vec<&'a Node> {
    match given(node, option) {
        Some(entry) if entry.value.entries().is_some() => vec![&entry.value],
        Some(entry) => entry.value.items().iter().collect(),
        None => Vec::new(),
    }
}
