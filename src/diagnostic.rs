//! What is wrong with an input: collected, never printed here.
//!
//! A diagnostic says whose place it is (a span), which rule was broken (a stable [`Code`]), the
//! cause, and what to do next. Passes collect all of theirs before they fail.

mod asker;
pub mod code;

use std::collections::HashSet;

pub use self::asker::Frontend;
pub use self::code::Code;
use crate::budget::Exceeded;
use crate::fault::{Fault, Kind};
use crate::source::{SourceMap, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing stops.
    Warning,
    /// The pass that said this fails.
    Error,
}

/// A second place that helps to understand the first.
#[derive(Clone, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What to see there.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Which rule.
    pub code: Code,
    /// One line: what is wrong.
    pub summary: String,
    /// Where, if it is about a place in a text.
    pub span: Option<Span>,
    /// What of the text at `span` it is about, where that is less than all of it. Who finds it knows a
    /// value, and not how that was written; [`narrowed`](Self::narrowed) looks for it.
    pub part: Option<String>,
    /// What to see at `span`, shown beside the underline.
    pub cause: Option<String>,
    /// Other places that belong to it.
    pub labels: Vec<Label>,
    /// More words, shown under the source lines.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Whose fault it is: the template's, as long as nobody says otherwise.
    pub fault: Fault,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            summary: summary.into(),
            span: None,
            part: None,
            cause: None,
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            fault: Fault::lasting(Kind::Template),
        }
    }

    /// A warning.
    pub fn warning(code: Code, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, summary) }
    }

    /// The same, without stopping anything.
    pub fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// All that it says in words.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let labels = self.labels.iter_mut().map(|label| &mut label.text);
        let texts = [&mut self.summary].into_iter().chain(&mut self.cause).chain(labels);
        texts.chain(&mut self.notes).chain(&mut self.help)
    }

    /// Says where.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// The same at the [`part`](Self::part) that it is about, where the text has it as it is.
    pub fn narrowed(mut self, sources: &SourceMap) -> Self {
        if let (Some(span), Some(part)) = (self.span, self.part.take())
            && let Some(at) = sources.text(span).find(&part)
        {
            let start = span.start as usize + at;
            self.span = Some(Span::new(span.file, start, start + part.len()));
        }
        self
    }

    /// Says what is to be seen at that place.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Points at a second place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says whose fault it is.
    pub fn blame(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Adds a line of explanation.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Exceeded> for Diagnostic {
    fn from(exceeded: Exceeded) -> Self {
        let error = Self::error(code::TOO_MUCH, exceeded.summary()).because(exceeded.cause());
        error.help("`imgbake explain T501` says what a template may ask for")
    }
}

/// All findings of a pass; no more than anybody would read.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// How many are kept.
    const MOST: usize = 1000;

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match self.0.len() {
            ..Self::MOST => self.0.push(diagnostic),
            // That there is an error must not be lost behind warnings.
            Self::MOST => self.0.push(Diagnostic {
                severity: diagnostic.severity,
                ..Diagnostic::error(code::TOO_MUCH, "there is more, which is not shown")
            }),
            _ if diagnostic.severity == Severity::Error => {
                if let Some(last) = self.0.last_mut() {
                    last.severity = Severity::Error;
                }
            }
            _ => {}
        }
    }

    /// Whether more would not be kept.
    pub fn is_full(&self) -> bool {
        self.0.len() > Self::MOST
    }

    /// Adds those of another pass.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        other.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Adds what another pass found, and returns the value that it made, if it made one.
    pub fn absorb<T>(&mut self, result: Result<(T, Self), Self>) -> Option<T> {
        match result {
            Ok((value, warnings)) => {
                self.extend(warnings);
                Some(value)
            }
            Err(errors) => {
                self.extend(errors);
                None
            }
        }
    }

    /// Takes the findings of lints out of it.
    pub fn take_lints(&mut self) -> Vec<Diagnostic> {
        self.0.extract_if(.., |found| found.code.is_lint()).collect()
    }

    /// Forgets all that was already said about the same place.
    pub fn without_repetitions(mut self) -> Self {
        let mut seen = HashSet::new();
        self.0.retain(|found| {
            seen.insert((found.span, found.code, found.summary.clone(), found.cause.clone()))
        });
        self
    }

    /// Whose fault the errors are; `None` if there are none.
    pub fn fault(&self) -> Option<Fault> {
        let errors = self.0.iter().filter(|one| one.severity == Severity::Error);
        Fault::together(errors.map(|one| one.fault))
    }

    /// Whether anything here stops the pass.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// `Err(self)` if there are errors, else what `value` makes.
    pub fn into_result<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Exceeded> for Diagnostics {
    fn from(exceeded: Exceeded) -> Self {
        Diagnostic::from(exceeded).into()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// The candidate nearest to a misspelt `name`, if one is near enough to be meant.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| (1..=limit).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_is_not() {
        let names = ["ami_name", "ami_users", "region"];
        assert_eq!(did_you_mean("aminame", names), Some("ami_name"));
        assert_eq!(did_you_mean("regoin", names), Some("region"));
        assert_eq!(did_you_mean("password", names), None);
    }

    #[test]
    fn findings_beyond_what_anybody_reads_are_not_kept_but_an_error_among_them_counts() {
        let mut found = Diagnostics::default();
        let warning = || Diagnostic::warning(code::UNKNOWN_NAME, "odd");
        found.extend(std::iter::repeat_with(warning).take(5000));
        assert_eq!(found.0.len(), 1001);
        assert!(!found.has_errors());
        found.push(Diagnostic::error(code::UNKNOWN_NAME, "wrong"));
        assert!(found.has_errors());
        assert_eq!(found.0.len(), 1001);
    }
}
