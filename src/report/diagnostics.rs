//! Diagnostics as people and programs read them: one file for each form.

mod excerpt;
mod github;
mod human;
mod json;
mod sarif;
mod sensitive;

use std::path::Path;

use self::sensitive::Sensitive;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::event::Annotation;
use crate::fault;
use crate::secret::Redactor;
use crate::source::{Position, SourceMap, Span};

pub use self::human::{Style, draw};

/// The forms for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object with all findings.
    Json,
    /// SARIF 2.1.0, for code scanning services.
    Sarif,
    /// Workflow commands, which GitHub shows beside the lines that they are about.
    Github,
}

/// All of `diagnostics` as a program reads them, without secrets. `root` is the directory that
/// paths are relative to.
pub fn render(
    diagnostics: &Diagnostics,
    sources: &SourceMap,
    format: Format,
    root: &Path,
    redactor: &Redactor,
) -> serde_json::Result<String> {
    let (diagnostics, _) = redacted(diagnostics, sources, redactor);
    let sorted = sorted(&diagnostics);
    match format {
        Format::Json => json::render(&sorted, sources),
        Format::Sarif => sarif::render(&sorted, sources, root),
        Format::Github => Ok(github::render(&sorted, sources)),
    }
}

/// The same for whoever shows files with remarks, in order.
pub fn annotations(
    diagnostics: &Diagnostics,
    sources: &SourceMap,
    redactor: &Redactor,
) -> Vec<Annotation> {
    let (diagnostics, _) = redacted(diagnostics, sources, redactor);
    sorted(&diagnostics).into_iter().map(|found| github::annotation(found, sources)).collect()
}

/// By file and place, those without a place last.
fn sorted(diagnostics: &Diagnostics) -> Vec<&Diagnostic> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.0.iter().collect();
    sorted.sort_by_key(|diagnostic| (diagnostic.span.is_none(), diagnostic.span));
    sorted
}

/// The same without secrets, and what of their sources is sensitive. Later it would be too late: in
/// a quoted text, or in a part of it, a secret looks different.
fn redacted(
    diagnostics: &Diagnostics,
    sources: &SourceMap,
    redactor: &Redactor,
) -> (Diagnostics, Sensitive) {
    let narrowed = |found: &Diagnostic| found.clone().narrowed(sources);
    let mut clean = Diagnostics(diagnostics.0.iter().map(narrowed).collect());
    let sensitive = Sensitive::of(&clean.0, sources);
    for found in &mut clean.0 {
        sensitive.mask(found, sources);
        for text in found.texts_mut() {
            *text = redactor.clean(redactor.without_tainted(std::mem::take(text)));
        }
    }
    (clean, sensitive)
}

/// `error` or `warning`, which all forms call it.
pub(super) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// What is wrong and why, what belongs to it, and what to do; a line for each.
fn message(diagnostic: &Diagnostic) -> String {
    let mut lines = vec![match &diagnostic.cause {
        Some(cause) => format!("{}: {cause}", diagnostic.summary),
        None => diagnostic.summary.clone(),
    }];
    lines.extend(diagnostic.notes.iter().cloned());
    lines.extend(diagnostic.help.iter().map(|help| format!("help: {help}")));
    lines.extend(not_the_templates(diagnostic));
    lines.join("\n")
}

/// Whose fault an error is, where it is not that of the text which it points at.
fn not_the_templates(diagnostic: &Diagnostic) -> Option<String> {
    let is_the_templates = diagnostic.fault.kind == fault::Kind::Template;
    (!is_the_templates).then(|| diagnostic.fault.to_string())
}

/// A place as a reader counts it.
struct Place {
    file: String,
    start: Position,
    /// Behind the last character.
    end: Position,
}

impl Place {
    fn of(span: Span, sources: &SourceMap) -> Self {
        let file = sources.file(span.file);
        Self {
            file: file.path.display().to_string(),
            start: file.position(span.start as usize),
            end: file.position(span.end as usize),
        }
    }
}

#[cfg(test)]
mod tests;
