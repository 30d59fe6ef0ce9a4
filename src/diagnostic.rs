//! What is wrong with an input: collected, never printed here.
//!
//! A diagnostic says whose place it is (a span), which rule was broken (a stable [`Code`]), the
//! cause, and what to do next. Passes collect all of theirs before they fail.

use std::collections::HashSet;

use crate::source::Span;

/// The stable name of one kind of diagnostic, e.g. `T101`.
///
/// First letter: `T` template text, `V` values and expressions, `C` a component's options,
/// `P` the plan. A code never changes its meaning once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// Every code that a diagnostic may bear.
pub mod code {
    use super::Code;

    /// The file cannot be read or is no text.
    pub const UNREADABLE: Code = Code("T001");
    /// A JSON text breaks JSON's grammar.
    pub const JSON_SYNTAX: Code = Code("T101");
    /// The same key twice in one JSON object.
    pub const JSON_DUPLICATE: Code = Code("T102");
    /// A root key that legacy templates do not have.
    pub const JSON_ROOT_KEY: Code = Code("T103");
    /// A legacy template's part has the wrong form (type missing, not an object, …).
    pub const JSON_SHAPE: Code = Code("T104");
    /// An HCL text breaks HCL's grammar.
    pub const HCL_SYNTAX: Code = Code("T201");
    /// A block or argument that the language does not have at this place.
    pub const HCL_STRUCTURE: Code = Code("T202");
    /// Two definitions of one name.
    pub const DUPLICATE: Code = Code("T203");
    /// A `{{ … }}` text breaks the template language's grammar.
    pub const INTERPOLATION_SYNTAX: Code = Code("T301");
    /// The template asks for another version or for a plugin that is not built in.
    pub const REQUIREMENT: Code = Code("T401");

    /// A name that nothing defines.
    pub const UNKNOWN_NAME: Code = Code("V001");
    /// A value of the wrong type.
    pub const WRONG_TYPE: Code = Code("V002");
    /// A function refused its arguments.
    pub const FUNCTION_CALL: Code = Code("V003");
    /// An operation that its operands do not support.
    pub const OPERATION: Code = Code("V004");
    /// A variable without a value.
    pub const UNSET_VARIABLE: Code = Code("V005");
    /// A variable's own validation rule refused its value.
    pub const VALIDATION: Code = Code("V006");
    /// Definitions that need each other.
    pub const CYCLE: Code = Code("V007");
    /// A `{{ … }}` text could not be rendered.
    pub const INTERPOLATION: Code = Code("V008");
    /// A variable that is given a value but not declared.
    pub const UNDECLARED_VARIABLE: Code = Code("V009");

    /// A component type that nothing provides.
    pub const UNKNOWN_COMPONENT: Code = Code("C001");
    /// An option that the component does not have.
    pub const UNKNOWN_OPTION: Code = Code("C002");
    /// An option whose value cannot be read as its type.
    pub const OPTION_TYPE: Code = Code("C003");
    /// An option that the component has in the reference, but not here yet.
    pub const NOT_BUILT: Code = Code("C004");
    /// A value or a combination of options that the component refuses.
    pub const OPTION_VALUE: Code = Code("C005");
    /// A required option that is missing.
    pub const MISSING_OPTION: Code = Code("C006");
    /// An option that `fix` rewrites.
    pub const DEPRECATED_OPTION: Code = Code("C007");

    /// `-only` or `-except` that names nothing.
    pub const SELECTION: Code = Code("P001");
    /// A reference to a source, a build or a name that does not exist.
    pub const REFERENCE: Code = Code("P002");
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// What to see at `span`, shown beside the underline.
    pub cause: Option<String>,
    /// Other places that belong to it.
    pub labels: Vec<Label>,
    /// More words, shown under the source lines.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            summary: summary.into(),
            span: None,
            cause: None,
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, summary) }
    }

    /// Says where.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
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

/// All findings of a pass.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds those of another pass.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
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

    /// Forgets all that was already said about the same place.
    pub fn without_repetitions(mut self) -> Self {
        let mut seen = HashSet::new();
        self.0.retain(|found| {
            seen.insert((found.span, found.code, found.summary.clone(), found.cause.clone()))
        });
        self
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
}
