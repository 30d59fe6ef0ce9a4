//! GitHub's annotations: one for each finding.

use super::{Place, message};
use crate::diagnostic::{Diagnostic, Severity};
use crate::event::Annotation;
use crate::report::github::command::Command;
use crate::source::{self, SourceMap};

/// A workflow command on a line for each finding.
pub(super) fn render(found: &[&Diagnostic], sources: &SourceMap) -> String {
    let commands = found.iter().map(|found| Command::from(&annotation(found, sources)).to_string());
    commands.collect::<Vec<_>>().join("\n")
}

pub(super) fn annotation(found: &Diagnostic, sources: &SourceMap) -> Annotation {
    let place = found.span.map(|span| {
        let Place { file, start, end } = Place::of(span, sources);
        (source::Place { file, position: start }, end)
    });
    Annotation {
        severity: found.severity,
        place,
        title: format!("{} {}", found.code, found.code.title()),
        text: message(found),
        fault: (found.severity == Severity::Error).then_some(found.fault),
    }
}
