//! What a template may do, but its author rarely wants. Each rule has a code (`L…`) that
//! `imgbake explain` knows: those about the template as a whole have a file here, those about the
//! options of a component are [its own](crate::component::Component::lint).
//!
//! Rules change nothing. A comment `imgbake:allow(L102)` on the line of a finding, or on the line
//! before, silences it there; [`Levels`] do so everywhere.

mod allow;
mod levels;
mod uses;

mod hardcoded_key;
mod sleep_for_boot;
mod unlimited_plugin;
mod unused_local;
mod unused_variable;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity, code};
use crate::plan::Plan;
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
    check: Check,
    /// Whether it is silent unless somebody asks for it: it would fire on nearly every template, and
    /// who gets used to that reads no warning any more.
    pedantic: bool,
}

/// Who looks whether a rule is broken.
#[derive(Clone, Copy)]
enum Check {
    /// A file of this folder: it is about the template as a whole. Components may find more.
    Here(fn(&Subject<'_>) -> Vec<Diagnostic>),
    /// Each component that has such options; see
    /// [`Component::lint`](crate::component::Component::lint).
    OfComponents,
}

impl Rule {
    const fn new(code: Code, check: fn(&Subject<'_>) -> Vec<Diagnostic>) -> Self {
        Self { code, check: Check::Here(check), pedantic: false }
    }

    const fn of_components(code: Code) -> Self {
        Self { code, check: Check::OfComponents, pedantic: false }
    }

    const fn pedantic(self) -> Self {
        Self { pedantic: true, ..self }
    }

    /// What breaks it.
    fn findings(&self, subject: &Subject<'_>) -> Vec<Diagnostic> {
        let of_components = subject.plan.lints.iter().filter(|found| found.code == self.code);
        let here = match self.check {
            Check::Here(check) => check(subject),
            Check::OfComponents => Vec::new(),
        };
        here.into_iter().chain(of_components.cloned()).collect()
    }
}

/// All rules, in the order of their codes.
static RULES: &[Rule] = &[
    hardcoded_key::RULE,
    Rule::of_components(code::OPEN_INGRESS),
    Rule::of_components(code::OWNERS_MISSING),
    Rule::of_components(code::MOST_RECENT_MISSING),
    Rule::of_components(code::UNPINNED_LATEST),
    Rule::of_components(code::IMDSV1_ALLOWED),
    Rule::of_components(code::UNENCRYPTED_VOLUME).pedantic(),
    Rule::of_components(code::USER_DATA_SECRET),
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
        let findings = rule.findings(subject).into_iter();
        let loud = findings.filter(|found| !allow::is_allowed(found, subject.sources));
        found.extend(loud.map(|found| Diagnostic { severity, ..found }));
    }
    found.without_repetitions()
}

/// A finding of the rule `code`; [`check`] says how bad it is.
fn finding(code: Code, span: Span, summary: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(code, summary).at(span)
}
