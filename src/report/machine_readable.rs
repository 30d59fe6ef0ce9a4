//! Records for programs: `time,target,type,data…`, one a line.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::screen::Screen;
use super::terminal::finished;
use super::{Presenter, shown};
use crate::event::{Event, Message, Picture, Stream, Target};

/// Shows events as records.
pub(super) struct MachineReadable;

impl Presenter for MachineReadable {
    fn show(&mut self, event: Event, screen: &mut Screen) {
        let out = screen.out();
        let target = event.target.as_ref();
        let mut ui = |kind, text: &str| record(event.at, "", "ui", [kind, text], out);
        match event.message {
            Message::Say(text) => ui("say", &prefixed(target, &recorded(&text))),
            Message::Error(text) | Message::Left(text) => {
                ui("error", &prefixed(target, &recorded(&text)))
            }
            Message::Text(text) => ui("say", text.trim_end()),
            Message::Output { stream, text } => {
                let kind = if stream == Stream::Stderr { "error" } else { "say" };
                text.split('\n').for_each(|line| ui(kind, &prefixed(target, line)));
            }
            Message::Diagnostics(text) => ui("error", shown(&text).trim_end()),
            Message::BuildFinished(end) => match end.error.as_deref() {
                None => ui("say", &finished(target, end.took, None)),
                error => ui("error", &shown(&finished(target, end.took, error))),
            },
            Message::Record(kind, fields) => {
                let target = target.map_or("", |target| &*target.build);
                record(event.at, target, kind, fields.iter().map(String::as_str), out);
            }
            Message::Picture(Picture { path, moment, .. }) => {
                let target = target.map_or("", |target| &*target.build);
                record(event.at, target, "picture", [path.as_str(), &moment], out);
            }
            Message::Contents(contents) => {
                let target = target.map_or("", |target| &*target.build);
                let count = contents.packages.to_string();
                let changes: Vec<_> =
                    contents.baked.iter().flatten().map(ToString::to_string).collect();
                let fields = std::iter::once(&count).chain(&changes).map(String::as_str);
                record(event.at, target, "packages", fields, out);
            }
            // Dropping the answer says that nobody will give one.
            Message::Ask { question, .. } => {
                ui("error", &prefixed(target, &format!("nobody can be asked: {question}")));
            }
            Message::BuildsPlanned(_)
            | Message::StepStarted { .. }
            | Message::StepFinished { .. }
            | Message::PhaseStarted(_)
            | Message::PhaseFinished { .. }
            | Message::Spent { .. }
            | Message::Annotation(_)
            | Message::Debug(_)
            | Message::Progress(_)
            | Message::Settle(_)
            | Message::End => {}
        }
    }
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
