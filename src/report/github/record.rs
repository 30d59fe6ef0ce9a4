//! What happened in a run, told from its events: what summaries and comments are made of.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::diagnostic::Severity;
use crate::event::{Annotation, Contents, Event, Finished, Message, Phase, Picture, SpentBy};
use crate::report::words::shortened;

/// How many of the last lines of a failed part are told.
pub const LAST_LINES: usize = 50;

/// How much of such a line.
const LONGEST_LAST_LINE: usize = 1000;

/// A run.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// Its builds, in the order of the plan.
    pub builds: IndexMap<String, BuildRecord>,
    /// All remarks, those that the runner is not told among them.
    pub annotations: Vec<Annotation>,
}

/// One build.
#[derive(Clone, Debug, Default)]
pub struct BuildRecord {
    /// When it began.
    pub started: Option<Timestamp>,
    /// Its steps, and the waits in them, in the order in which they began.
    pub intervals: Vec<Interval>,
    /// The part in which it is.
    pub phase: Option<Phase>,
    /// The part that failed, and the last lines of it.
    pub failed: Option<(Phase, VecDeque<String>)>,
    /// How it ended.
    pub finished: Option<Finished>,
    /// The last lines of the part in which it is.
    pub tail: VecDeque<String>,
    /// What is inside its image.
    pub contents: Option<Contents>,
    /// The pictures of its machine's screen, in order.
    pub pictures: Vec<Picture>,
}

/// A time in which something happened.
#[derive(Clone, Debug)]
pub struct Interval {
    /// What.
    pub what: String,
    /// Whether it was only waited for.
    pub waiting: bool,
    /// From when.
    pub from: Timestamp,
    /// Until when; `None` if it has not ended.
    pub until: Option<Timestamp>,
    /// Whether it ended badly.
    pub failed: bool,
    /// Whether it consists of others, which tell more.
    pub contains: bool,
}

impl RunRecord {
    /// Whether people were told beside the run that something went wrong.
    pub fn has_errors(&self) -> bool {
        let mut ends = self.builds.values().filter_map(|build| build.finished.as_ref());
        ends.any(|end| end.error.is_some())
            || self.annotations.iter().any(|one| one.severity == Severity::Error)
    }

    /// Takes in what was said.
    pub fn hear(&mut self, event: &Event) {
        match (&event.message, &event.target) {
            (Message::BuildsPlanned(names), _) => {
                self.builds.extend(names.iter().map(|name| (name.clone(), BuildRecord::default())));
            }
            (Message::Annotation(annotation), _) => self.annotations.push(annotation.clone()),
            (message, Some(target)) => {
                self.builds.entry(target.build.to_string()).or_default().hear(message, event.at);
            }
            _ => {}
        }
    }
}

impl BuildRecord {
    fn hear(&mut self, message: &Message, at: Timestamp) {
        self.started.get_or_insert(at);
        match message {
            Message::StepStarted { step, phase } => {
                if self.phase.as_ref() != Some(phase) {
                    self.turn_to(phase.clone());
                }
                self.begin(step.clone(), at);
            }
            Message::StepFinished { step, ok, .. } => self.end(step, *ok, at),
            Message::PhaseStarted(phase) => {
                // The step that is going on consists of parts.
                if let Some(outer) = self.intervals.iter_mut().rfind(|one| one.until.is_none()) {
                    outer.contains = true;
                }
                self.turn_to(phase.clone());
                self.begin(phase.to_string(), at);
            }
            Message::PhaseFinished { ok } => {
                if let Some(phase) = &self.phase {
                    self.end(&phase.to_string(), *ok, at);
                }
            }
            Message::Spent { whose: SpentBy::Clouds, what, took } => {
                let from = at - jiff::SignedDuration::try_from(*took).unwrap_or_default();
                let what = (*what).to_owned();
                let until = Some(at);
                let waiting = true;
                let (failed, contains) = (false, false);
                self.intervals.push(Interval { what, waiting, from, until, failed, contains });
            }
            Message::Say(text) | Message::Error(text) | Message::Output { text, .. } => {
                self.lines(text);
            }
            Message::Picture(picture) => {
                // A path that is given again is another picture.
                self.pictures.retain(|one| one.path != picture.path);
                self.pictures.push(picture.clone());
            }
            Message::Contents(contents) => self.contents = Some(contents.clone()),
            Message::BuildFinished(finished) => {
                if finished.error.is_some() {
                    self.fail();
                }
                // What it was torn out of has ended, too.
                for open in self.intervals.iter_mut().filter(|one| one.until.is_none()) {
                    open.until = Some(at);
                }
                self.finished = Some((**finished).clone());
            }
            _ => {}
        }
    }

    fn turn_to(&mut self, phase: Phase) {
        // Where the build goes on, what failed was not what it fails of.
        if matches!(phase, Phase::Provision(_) | Phase::Image) {
            self.failed = None;
        }
        self.phase = Some(phase);
        self.tail.clear();
    }

    fn begin(&mut self, what: String, from: Timestamp) {
        let (waiting, failed, contains) = (false, false, false);
        self.intervals.push(Interval { what, waiting, from, until: None, failed, contains });
    }

    fn end(&mut self, what: &str, ok: bool, at: Timestamp) {
        let open = |one: &&mut Interval| one.what == what && one.until.is_none();
        if let Some(interval) = self.intervals.iter_mut().rfind(open) {
            (interval.until, interval.failed) = (Some(at), !ok);
        }
        if !ok {
            self.fail();
        }
    }

    /// What goes on has failed. The first failure is the one to tell: others follow from it.
    fn fail(&mut self) {
        if self.failed.is_none()
            && let Some(phase) = &self.phase
        {
            self.failed = Some((phase.clone(), self.tail.clone()));
        }
    }

    fn lines(&mut self, text: &str) {
        let skipped = text.lines().count().saturating_sub(LAST_LINES);
        for line in text.lines().skip(skipped) {
            if self.tail.len() == LAST_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(shortened(line, LONGEST_LAST_LINE).into_owned());
        }
    }

    /// How long it took, or takes until `now`.
    pub fn took(&self, now: Timestamp) -> Duration {
        match (&self.finished, self.started) {
            (Some(finished), _) => finished.took,
            (None, Some(started)) => now.duration_since(started).unsigned_abs(),
            (None, None) => Duration::ZERO,
        }
    }
}
