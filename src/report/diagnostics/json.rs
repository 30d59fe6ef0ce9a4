//! One JSON object with all findings.

use serde::Serialize;

use super::{Place, level};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Position, SourceMap, Span};

#[derive(Serialize)]
struct Report<'a> {
    /// Rises when a reader of an older version would misunderstand a newer one.
    format_version: u32,
    valid: bool,
    error_count: usize,
    warning_count: usize,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
    /// Whose fault an error is.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    /// Whether trying again can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    can_retry: Option<bool>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<Range>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Related<'a>>,
}

#[derive(Serialize)]
struct Related<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: Range,
}

/// Lines and columns are counted from 1, columns in characters as people see them; `end` is
/// behind the last one. Offsets are counted from 0, in bytes of UTF-8.
#[derive(Serialize)]
struct Range {
    file: String,
    start: Point,
    end: Point,
}

#[derive(Serialize)]
struct Point {
    line: usize,
    column: usize,
    offset: u32,
}

impl Range {
    fn of(span: Span, sources: &SourceMap) -> Self {
        let Place { file, start, end } = Place::of(span, sources);
        let point = |Position { line, column }, offset| Point { line, column, offset };
        Self { file, start: point(start, span.start), end: point(end, span.end) }
    }
}

pub(super) fn render(found: &[&Diagnostic], sources: &SourceMap) -> serde_json::Result<String> {
    let count = |severity| found.iter().filter(|found| found.severity == severity).count();
    let error_count = count(Severity::Error);
    let report = Report {
        format_version: 1,
        valid: error_count == 0,
        error_count,
        warning_count: count(Severity::Warning),
        diagnostics: found.iter().map(|found| finding(found, sources)).collect(),
    };
    serde_json::to_string_pretty(&report)
}

fn finding<'a>(found: &'a Diagnostic, sources: &SourceMap) -> Finding<'a> {
    let related = found
        .labels
        .iter()
        .map(|label| Related { message: &label.text, place: Range::of(label.span, sources) });
    let fault = (found.severity == Severity::Error).then_some(found.fault);
    Finding {
        code: found.code.name(),
        severity: level(found.severity),
        message: &found.summary,
        cause: found.cause.as_deref(),
        help: found.help.as_deref(),
        notes: &found.notes,
        fault: fault.map(|fault| fault.kind.word()),
        can_retry: fault.map(|fault| fault.can_retry),
        place: found.span.map(|span| Range::of(span, sources)),
        related: related.collect(),
    }
}
