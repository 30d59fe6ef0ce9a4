//! Records for programs: `time,target,type,data…`, one a line.
//!
//! Those of Packer are as it writes them. Ours stand between them, and their first field is
//! the time in milliseconds, where one is there to be told:
//!
//! | type | data |
//! |---|---|
//! | `run-started`, `run-ended` | time, version; time |
//! | `build-planned` | |
//! | `phase-started`, `phase-ended` | time, name; time, `ok` or `failed` |
//! | `step-started`, `step-ended` | time, name, phase; time, name, `ok` or `failed` |
//! | `waited` | time, for how many milliseconds, for what: the cloud took them |
//! | `build-ended` | time, `ok`, `failed` or `cancelled`, milliseconds, place, error, whose fault |
//! | `product` | who made it, id, description, files |
//! | `packages`, `packages-since-previous`, `sbom` | how many, changes; changes; files |
//! | `skip-unchanged` | `baked` or `unchanged`, why |
//! | `picture` | file, when it was taken |
//! | `finding` | `error` or `warning`, place, title, text |
//! | `fault` | kind, whether trying again can help |
//! | `baked-image` | when, id, region, bytes, whether it is there, tested, channels, commit, what changed |

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::diagnostics::level;
use super::screen::Screen;
use super::terminal::finished;
use super::{Presenter, shown};
use crate::event::{
    Annotation, Contents, Event, Finished, Message, Picture, SpentBy, Stream, Target,
};

/// Shows events as records.
#[derive(Default)]
pub(super) struct MachineReadable {
    /// Whether builds were begun.
    runs: bool,
}

impl Presenter for MachineReadable {
    fn show(&mut self, event: Event, screen: &mut Screen) {
        self.records(&event, screen.out());
        // Dropping a question says that nobody will answer it.
        if let Message::Ask { question, .. } = &event.message {
            let text = format!("nobody can be asked: {question}");
            let text = prefixed(event.target.as_ref(), &text);
            said(event.at, "error", &text, screen.out());
        }
    }
}

impl MachineReadable {
    /// Adds the records of `event`.
    pub fn records(&mut self, event: &Event, out: &mut String) {
        let (at, target) = (event.at, event.target.as_ref());
        let build = target.map_or("", |target| &*target.build);
        match &event.message {
            Message::Say(text) => said(at, "say", &prefixed(target, &recorded(text)), out),
            Message::Error(text) | Message::Left(text) => {
                said(at, "error", &prefixed(target, &recorded(text)), out);
            }
            Message::Text(text) => said(at, "say", text.trim_end(), out),
            Message::Output { stream, text } => {
                let kind = if *stream == Stream::Stderr { "error" } else { "say" };
                text.split('\n').for_each(|line| said(at, kind, &prefixed(target, line), out));
            }
            Message::Diagnostics(text) => said(at, "error", shown(text).trim_end(), out),
            Message::BuildsPlanned(names) => self.planned(names, at, out),
            Message::BuildFinished(end) => ended(target, end, at, out),
            Message::Record(kind, fields) => {
                record(at, build, kind, fields.iter().map(String::as_str), out);
            }
            Message::Picture(Picture { path, moment, .. }) => {
                record(at, build, "picture", [path.as_str(), moment], out);
            }
            Message::Contents(contents) => packages(build, contents, at, out),
            Message::Findings(found) => found.iter().for_each(|one| finding(one, at, out)),
            Message::Annotation(one) => finding(one, at, out),
            Message::End if self.runs => {
                record(at, "", "run-ended", [millis(at).as_str()], out);
            }
            message => moved_on(build, message, at, out),
        }
    }

    fn planned(&mut self, names: &[String], at: Timestamp, out: &mut String) {
        self.runs = true;
        record(at, "", "run-started", [&*millis(at), env!("CARGO_PKG_VERSION")], out);
        names.iter().for_each(|name| record(at, name, "build-planned", [], out));
    }
}

/// People are told something.
fn said(at: Timestamp, kind: &str, text: &str, out: &mut String) {
    record(at, "", "ui", [kind, text], out);
}

/// A build comes to another step or part.
fn moved_on(build: &str, message: &Message, at: Timestamp, out: &mut String) {
    let now = millis(at);
    let result = |ok: &bool| if *ok { "ok" } else { "failed" };
    let mut record = |kind, fields: &[&str]| record(at, build, kind, fields.iter().copied(), out);
    match message {
        Message::StepStarted { step, phase } => {
            record("step-started", &[&now, step, &phase.to_string()]);
        }
        Message::StepFinished { step, ok, .. } => record("step-ended", &[&now, step, result(ok)]),
        Message::PhaseStarted(phase) => record("phase-started", &[&now, &phase.to_string()]),
        Message::PhaseFinished { ok } => record("phase-ended", &[&now, result(ok)]),
        Message::Spent { whose: SpentBy::Clouds, what, took } => {
            record("waited", &[&now, &took.as_millis().to_string(), what]);
        }
        _ => {}
    }
}

/// The end of a build: as a sentence, and what is known of it.
fn ended(target: Option<&Target>, end: &Finished, at: Timestamp, out: &mut String) {
    let text = finished(target, end.took, end.error.as_deref());
    match &end.error {
        None => said(at, "say", &text, out),
        Some(_) => said(at, "error", &shown(&text), out),
    }
    let build = target.map_or("", |target| &*target.build);
    let result = match (&end.error, &end.stopped) {
        (None, _) => "ok",
        (Some(_), Some(_)) => "cancelled",
        (Some(_), None) => "failed",
    };
    let fault = end.fault.map(|fault| fault.to_string()).unwrap_or_default();
    let (took, place) = (end.took.as_millis().to_string(), end.place.to_string());
    let error = recorded(end.error.as_deref().unwrap_or_default());
    record(at, build, "build-ended", [&*millis(at), result, &took, &place, &error, &fault], out);
    for product in &end.products {
        let fields = [&product.builder_id, &product.id, &product.description];
        let fields = fields.into_iter().chain(&product.files).map(String::as_str);
        record(at, build, "product", fields, out);
    }
}

fn packages(build: &str, contents: &Contents, at: Timestamp, out: &mut String) {
    let count = contents.packages.to_string();
    let texts = |changes: &[_]| changes.iter().map(ToString::to_string).collect::<Vec<String>>();
    let changes = texts(contents.baked.as_deref().unwrap_or_default());
    let fields = std::iter::once(&count).chain(&changes).map(String::as_str);
    record(at, build, "packages", fields, out);
    if let Some(changes) = &contents.since_previous {
        let changes = texts(changes);
        let fields = changes.iter().map(String::as_str);
        record(at, build, "packages-since-previous", fields, out);
    }
    if !contents.files.is_empty() {
        record(at, build, "sbom", contents.files.iter().map(String::as_str), out);
    }
}

fn finding(one: &Annotation, at: Timestamp, out: &mut String) {
    let place = one.place.as_ref().map(|(place, _)| place.to_string()).unwrap_or_default();
    let (title, text) = (recorded(&one.title), recorded(&one.text));
    record(at, "", "finding", [level(one.severity), &place, &title, &text], out);
}

/// A time as our records have it.
fn millis(at: Timestamp) -> String {
    at.as_millisecond().to_string()
}

/// A text of ours as it may be recorded. Carriage returns stay: they will be escaped.
fn recorded(text: &str) -> String {
    text.split('\r').map(shown).collect::<Vec<_>>().join("\r")
}

/// `text` as people see it, each line with its target.
fn prefixed<'a>(target: Option<&Target>, text: &'a str) -> Cow<'a, str> {
    let Some(target) = target else { return Cow::Borrowed(text) };
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| format!("==> {target}: {line}").trim_end().to_owned())
        .collect();
    Cow::Owned(lines.join("\n"))
}

fn record<'a>(
    at: Timestamp,
    target: &str,
    kind: &str,
    fields: impl IntoIterator<Item = &'a str>,
    out: &mut String,
) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{},{},{kind}", at.as_second(), escaped(target));
    for field in fields {
        out.extend([",", &escaped(field)]);
    }
    out.push('\n');
}

/// `text` without what ends a field or a record.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains([',', '\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace(',', "%!(PACKER_COMMA)");
    Cow::Owned(text.replace('\r', "\\r").replace('\n', "\\n"))
}
