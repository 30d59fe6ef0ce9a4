//! Text for people: each line with the build that it is about, in that build's colour.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::prompt::Prompts;
use super::screen::Screen;
use super::timeline::Timeline;
use super::{Presenter, of_picture, shown, words};
use crate::event::{Event, Message, Stream, Target};

/// The colours of the builds in their order, as terminal codes.
const COLORS: [u8; 5] = [32, 36, 35, 33, 34];
/// The colour of errors.
const RED: u8 = 31;

/// Shows events as lines of text.
pub(super) struct Terminal {
    color: bool,
    /// The time zone of the times in front of each line.
    timestamps: Option<TimeZone>,
    colors: HashMap<Arc<str>, u8>,
    prompts: Prompts,
    /// Those of the builds that run.
    timelines: HashMap<Arc<str>, Timeline>,
}

impl Terminal {
    /// With colours, and with times in front of each line, if they are wanted.
    pub fn new(color: bool, timestamps: Option<TimeZone>, prompts: Prompts) -> Self {
        let (colors, timelines) = Default::default();
        Self { color, timestamps, colors, prompts, timelines }
    }

    fn color_of(&self, target: Option<&Target>) -> Option<u8> {
        self.colors.get(&target?.build).copied()
    }

    /// Adds `text`, each of its lines with time, target and colour. A build's lines end without
    /// blanks.
    fn lines(&self, about: &About<'_>, color: Option<u8>, text: &str, out: &mut String) {
        let color = color.filter(|_| self.color);
        let open = color.map(|color| format!("\x1b[1;{color}m")).unwrap_or_default();
        let close = if color.is_some() { "\x1b[0m\n" } else { "\n" };
        let time = match (&self.timestamps, about.at) {
            (Some(zone), Some(at)) => format!("{}: ", local_time(at, zone)),
            _ => String::new(),
        };
        let start = match about.target {
            Some(target) => format!("{open}{time}==> {target}: "),
            None => format!("{open}{time}"),
        };
        for line in text.split('\n') {
            let from = out.len();
            out.extend([&start, line]);
            if about.target.is_some() {
                out.truncate(from + out[from..].trim_end().len());
            }
            out.push_str(close);
        }
    }

    fn planned(&mut self, builds: Vec<String>, out: &mut String) {
        for (name, color) in builds.into_iter().zip(COLORS.into_iter().cycle()) {
            if self.color {
                let text = format!("{name}: output will be in this color.");
                self.lines(&About { at: None, target: None }, Some(color), &text, out);
            }
            self.colors.insert(name.into(), color);
        }
        if self.color {
            out.push('\n');
        }
    }

    fn timeline(&mut self, target: Option<&Target>, tell: impl FnOnce(&mut Timeline)) {
        if let Some(target) = target {
            tell(self.timelines.entry(target.build.clone()).or_default());
        }
    }

    fn finished(
        &mut self,
        about: &About<'_>,
        took: Duration,
        error: Option<&str>,
        out: &mut String,
    ) {
        let timeline = about.target.and_then(|target| self.timelines.remove(&target.build));
        if let Some(text) = timeline.and_then(|timeline| timeline.text(took)) {
            self.lines(about, self.color_of(about.target), &text, out);
        }
        let color = if error.is_some() { Some(RED) } else { self.color_of(about.target) };
        let text = finished(about.target, took, error);
        self.lines(&About { target: None, ..*about }, color, &shown(&text), out);
    }
}

/// What a text is about.
#[derive(Clone, Copy)]
struct About<'a> {
    /// When it was said; what the run says of itself has no time in front.
    at: Option<Timestamp>,
    target: Option<&'a Target>,
}

/// How a build ended, as a sentence.
pub(super) fn finished(target: Option<&Target>, took: Duration, error: Option<&str>) -> String {
    let name = target.map(ToString::to_string).unwrap_or_default();
    let took = words::duration(took);
    match error {
        None => format!("Build '{name}' finished after {took}."),
        Some(error) => format!("Build '{name}' errored after {took}: {error}"),
    }
}

/// RFC 3339 to the second.
fn local_time(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    let format =
        if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    local.strftime(format).to_string()
}

impl Presenter for Terminal {
    fn show(&mut self, event: Event, screen: &mut Screen) {
        let target = event.target.as_ref();
        let about = About { at: target.map(|_| event.at), target };
        let color = self.color_of(target);
        match event.message {
            Message::Say(text) => self.lines(&about, color, &shown(&text), screen.out()),
            Message::Error(text) | Message::Left(text) => {
                self.lines(&about, Some(RED), &shown(&text), screen.out());
            }
            Message::Text(text) => screen.out().push_str(&text),
            Message::Output { stream, text } => {
                let color = if stream == Stream::Stderr { Some(RED) } else { color };
                self.lines(&about, color, &text, screen.out());
            }
            Message::Diagnostics(text) => screen.err(&text),
            Message::Picture(picture) => {
                if let Some(text) = of_picture(&picture) {
                    self.lines(&about, color, &shown(&text), screen.out());
                }
            }
            Message::BuildsPlanned(builds) => self.planned(builds, screen.out()),
            Message::BuildFinished(finished) => {
                self.finished(&about, finished.took, finished.error.as_deref(), screen.out());
            }
            Message::Progress(progress) => screen.bars.show(target, &progress),
            Message::Ask { question, answer } => {
                self.lines(&about, color, &shown(&question), screen.out());
                if let Err(reason) = self.prompts.ask(answer) {
                    self.lines(&about, Some(RED), &reason, screen.out());
                }
            }
            Message::StepFinished { step, took, .. } => {
                self.timeline(target, |timeline| timeline.step(step, event.at, took));
            }
            Message::Spent { whose, took, .. } => {
                self.timeline(target, |timeline| timeline.spent(whose, event.at, took));
            }
            Message::StepStarted { .. }
            | Message::PhaseStarted(_)
            | Message::PhaseFinished { .. }
            | Message::Annotation(_)
            | Message::Findings(_)
            | Message::Contents(_)
            | Message::Debug(_)
            | Message::Record(..)
            | Message::Settle(_)
            | Message::End => {}
        }
    }
}
