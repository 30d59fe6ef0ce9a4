//! The log of a step in GitHub Actions.
//!
//! Groups cannot be nested, and a title cannot be changed once it is written. So where several builds
//! run, each part of a build is one group that is written as a whole when the part has ended, with its
//! duration in the title; they never get between each other's lines. What runs meanwhile shows in a line
//! now and then, about the build that has been at the same thing for longest. A part that prints very
//! much is written in pieces. Where one build is left, its lines come as they are said. A part that had
//! nothing to say and took no time is not told. What failed is not folded away: its last lines stand open
//! under the error.
//!
//! All that is written is [`inert`], but for the commands that are made here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use uuid::Uuid;

use super::command::{Command, inert};
use super::record::RunRecord;
use super::{Settings, in_repository};
use crate::diagnostic::Severity;
use crate::event::{Annotation, ArtifactSummary, Event, Finished, Message, Phase, Target};
use crate::report::screen::Screen;
use crate::report::{Presenter, of_picture, words};
use crate::secret::Redactor;

/// A part that prints more than this is written before it ends.
const FULL: usize = 256 * 1024;

/// How long nothing may show while builds run.
const QUIET: Duration = Duration::from_secs(10);

/// How many remarks of one kind the runner takes from a step.
const ANNOTATIONS: usize = 10;

/// Shows events as a step's log.
pub(in crate::report) struct Log {
    settings: Settings,
    record: Arc<Mutex<RunRecord>>,
    redactor: Redactor,
    /// How many secrets the runner knows of.
    masked: usize,
    /// What the runner must hear to listen again while guests speak; nobody can guess it.
    token: String,
    /// The part of each build that is going on.
    parts: IndexMap<Arc<str>, Part>,
    /// How many builds have not ended.
    unfinished: usize,
    /// The build whose group is being written.
    open: Option<Arc<str>>,
    annotated: HashMap<Severity, usize>,
    /// When something was last written.
    written: Timestamp,
}

/// The part of a build that is going on.
struct Part {
    phase: Phase,
    since: Timestamp,
    lines: String,
    /// Whether a guest or child has printed some of the lines.
    hostile: bool,
    failed: bool,
    /// How many pieces of it are written.
    pieces: usize,
    /// The last line, also when it is written already.
    last: String,
}

impl Log {
    pub fn new(settings: Settings, record: Arc<Mutex<RunRecord>>, redactor: Redactor) -> Self {
        Self {
            settings,
            record,
            redactor,
            masked: 0,
            token: Uuid::new_v4().simple().to_string(),
            parts: IndexMap::new(),
            unfinished: 0,
            open: None,
            annotated: HashMap::new(),
            written: Timestamp::now(),
        }
    }

    fn write(&mut self, screen: &mut Screen, at: Timestamp, text: &str) {
        self.shut(screen);
        self.written = at;
        screen.out().extend([text, "\n"]);
    }

    /// Ends the group that is being written, if there is one.
    fn shut(&mut self, screen: &mut Screen) {
        if self.open.take().is_some() {
            screen.out().push_str("::endgroup::\n");
        }
    }

    /// Has the runner hide secrets that it does not know of. Never while it does not listen.
    fn mask(&mut self, screen: &mut Screen) {
        for secret in self.redactor.since(self.masked) {
            self.masked += 1;
            let text = secret.expose();
            // Each line of a longer one is a secret by itself.
            if !text.contains(['\n', '\r']) {
                screen.out().push_str(&format!("{}\n", Command::new("add-mask", text)));
            }
        }
    }

    /// A new part of `build` begins, unless it goes on.
    fn turn_to(&mut self, build: &Arc<str>, phase: Phase, at: Timestamp, screen: &mut Screen) {
        if self.parts.get(build).is_some_and(|part| part.phase == phase) {
            return;
        }
        self.close(build, at, screen);
        self.parts.insert(build.clone(), Part::new(phase, at));
    }

    /// The part of `build` that is going on has ended.
    fn close(&mut self, build: &Arc<str>, at: Timestamp, screen: &mut Screen) {
        let Some(mut part) = self.parts.shift_remove(build) else { return };
        let took = at.duration_since(part.since).unsigned_abs();
        let took = (took >= Duration::from_secs(1)).then(|| words::short(took));
        if self.open.as_ref() == Some(build) {
            let mark = if part.failed { "✗ failed after" } else { "took" };
            let line = took.map(|took| format!("{mark} {took}\n")).unwrap_or_default();
            screen.out().push_str(&line);
            return self.shut(screen);
        }
        if part.lines.is_empty() && (part.pieces > 0 || (took.is_none() && !part.failed)) {
            return;
        }
        let mark = if part.failed { "✗ " } else { "" };
        let took = took.map(|took| format!(", {took}")).unwrap_or_default();
        let title = format!("{mark}{build}: {}{}{took}", part.phase, part.piece());
        self.group(&title, &mut part, at, screen);
    }

    /// Writes what `part` has said so far as a group; nothing can get in between.
    fn group(&mut self, title: &str, part: &mut Part, at: Timestamp, screen: &mut Screen) {
        if part.lines.is_empty() {
            return self.write(screen, at, &inert(title));
        }
        let title = Command::new("group", inert(title));
        let text = format!("{title}\n{}::endgroup::", self.taken(part));
        self.write(screen, at, &text);
        part.pieces += 1;
    }

    /// The lines of `part`, so that the runner only shows them.
    fn taken(&self, part: &mut Part) -> String {
        let lines = std::mem::take(&mut part.lines);
        match std::mem::take(&mut part.hostile) {
            false => lines,
            true => {
                let (stop, resume) = self.stop_and_resume();
                format!("{stop}{lines}{resume}")
            }
        }
    }

    /// Writes what the part of `build` has said so far into its group, which stays open.
    fn stream(&mut self, build: &Arc<str>, at: Timestamp, screen: &mut Screen) {
        let Some(mut part) = self.parts.shift_remove(build) else { return };
        if self.open.as_ref() != Some(build) {
            self.shut(screen);
            let title = format!("{build}: {}{}", part.phase, part.piece());
            screen.out().push_str(&format!("{}\n", Command::new("group", inert(&title))));
            self.open = Some(build.clone());
            part.pieces += 1;
        }
        self.written = at;
        let lines = self.taken(&mut part);
        screen.out().push_str(&lines);
        self.parts.insert(build.clone(), part);
    }

    /// What makes the runner deaf, and what makes it listen again.
    fn stop_and_resume(&self) -> (String, String) {
        (format!("::stop-commands::{}\n", self.token), format!("::{}::\n", self.token))
    }

    /// A build says `text`.
    fn say(&mut self, said: &Said<'_>, text: &str, screen: &mut Screen) {
        let red = said.is_error && self.settings.color;
        let (open, close) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let lines = text.split('\n').map(|line| inert(line.trim_end()));
        let Some(target) = said.target else {
            let text = lines.map(|line| format!("{open}{line}{close}")).collect::<Vec<_>>();
            return self.write(screen, said.at, &text.join("\n"));
        };
        let Some(part) = self.parts.get_mut(&target.build) else {
            let name = inert(&target.build).into_owned();
            let text = lines.map(|line| format!("{open}{name}: {line}{close}")).collect::<Vec<_>>();
            return self.write(screen, said.at, &text.join("\n"));
        };
        part.hostile |= said.is_hostile;
        for line in lines {
            part.lines.extend([open, &line, close, "\n"]);
            part.last.clear();
            part.last.push_str(&line);
        }
        if self.unfinished == 1 {
            self.stream(&target.build, said.at, screen);
        } else if part.lines.len() >= FULL {
            self.write_piece(&target.build, said.at, screen);
        }
    }

    /// Writes what the part of `build` has said so far.
    fn write_piece(&mut self, build: &Arc<str>, at: Timestamp, screen: &mut Screen) {
        let Some(mut part) = self.parts.shift_remove(build) else { return };
        let since = words::short(at.duration_since(part.since).unsigned_abs());
        let piece = part.pieces + 1;
        let title = format!("{build}: {} (part {piece}), going on for {since}", part.phase);
        self.group(&title, &mut part, at, screen);
        self.parts.insert(build.clone(), part);
    }

    /// Where nothing has shown for a while: what the build does that has been at it for longest.
    fn progress(&mut self, now: Timestamp, screen: &mut Screen) {
        if now.duration_since(self.written).unsigned_abs() < QUIET {
            return;
        }
        let Some((build, part)) = self.parts.iter().min_by_key(|(_, part)| part.since) else {
            return;
        };
        let since = words::short(now.duration_since(part.since).unsigned_abs());
        let others = match self.parts.len() - 1 {
            0 => String::new(),
            1 => ", and 1 other build".to_owned(),
            count => format!(", and {count} other builds"),
        };
        let last = match part.last.as_str() {
            "" => String::new(),
            last => format!(": {}", words::shortened(last, 200)),
        };
        let line = format!("{build}: {}, going on for {since}{others}{last}", part.phase);
        let (open, close) = if self.settings.color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let line = format!("{open}{}{close}\n", inert(&line));
        // It may be in the group of the only build.
        self.written = now;
        screen.out().push_str(&line);
    }

    fn finished(&mut self, target: &Target, end: &Finished, at: Timestamp, screen: &mut Screen) {
        if let Some(part) = self.parts.get_mut(&target.build) {
            part.failed |= end.error.is_some();
        }
        self.close(&target.build, at, screen);
        let (build, took) = (&target.build, words::short(end.took));
        self.unfinished = self.unfinished.saturating_sub(1);
        let Some(error) = &end.error else {
            let made = made(&end.products);
            let line = inert(&format!("✓ {build} finished after {took}{made}")).into_owned();
            return self.write(screen, at, &line);
        };
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = record.builds.get(&**build).and_then(|build| build.failed.clone());
        drop(record);
        let title = match &failed {
            Some((phase, _)) => format!("{build} {} in {phase}", end.fate()),
            None => format!("{build} {}", end.fate()),
        };
        let whose = end.fault.map(|fault| format!("\n{fault}")).unwrap_or_default();
        let text = format!("{build} {} after {took}: {error}{whose}", end.fate());
        let place = Some((end.place.clone(), end.place.position));
        let (severity, fault) = (Severity::Error, end.fault);
        let annotation = Annotation { severity, place, title, text, fault };
        self.annotate(&annotation, at, screen);
        if let Some((_, lines)) = failed.filter(|(_, lines)| !lines.is_empty()) {
            let (stop, resume) = self.stop_and_resume();
            let lines: String = lines.iter().map(|line| format!("  {}\n", inert(line))).collect();
            let heading = "The last lines before it failed:";
            self.write(screen, at, &format!("{heading}\n{stop}{lines}{}", resume.trim_end()));
        }
    }

    /// Tells the runner, which shows it in the log, too; as long as it takes more.
    fn annotate(&mut self, annotation: &Annotation, at: Timestamp, screen: &mut Screen) {
        let count = self.annotated.entry(annotation.severity).or_default();
        *count += 1;
        if *count > ANNOTATIONS {
            let is_error = annotation.severity == Severity::Error;
            let said = Said { target: None, at, is_error, is_hostile: false };
            return self.say(&said, &annotation.text, screen);
        }
        let mut annotation = annotation.clone();
        if let Some((place, _)) = &mut annotation.place {
            place.file = in_repository(&self.settings.root, &place.file);
        }
        self.write(screen, at, &Command::from(&annotation).to_string());
    }
}

/// What there is of a build at its end: `: ami-1 in us-east-1, ami-2 in eu-west-1`.
fn made(products: &[ArtifactSummary]) -> String {
    const MOST: usize = 5;
    let images = products.iter().flat_map(|product| &product.images);
    let mut all: Vec<String> = images.map(|(region, id)| format!("{id} in {region}")).collect();
    if all.is_empty() {
        all = products.iter().flat_map(|product| product.files.iter().cloned()).collect();
    }
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(one.clone()));
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

/// About what, when and by whom something is said.
struct Said<'a> {
    target: Option<&'a Target>,
    at: Timestamp,
    is_error: bool,
    /// Whether a guest or child says it.
    is_hostile: bool,
}

impl Part {
    fn new(phase: Phase, since: Timestamp) -> Self {
        let (lines, last) = Default::default();
        Self { phase, since, lines, hostile: false, failed: false, pieces: 0, last }
    }

    /// Which piece of the part is written next, where there are several.
    fn piece(&self) -> String {
        match self.pieces {
            0 => String::new(),
            before => format!(" (part {})", before + 1),
        }
    }
}

impl Presenter for Log {
    fn show(&mut self, event: Event, screen: &mut Screen) {
        self.mask(screen);
        self.record.lock().unwrap_or_else(PoisonError::into_inner).hear(&event);
        let Event { at, target, message, .. } = event;
        let target = target.as_ref();
        let said = |is_error, is_hostile| Said { target, at, is_error, is_hostile };
        match message {
            Message::Say(text) => self.say(&said(false, false), &text, screen),
            Message::Error(text) => self.say(&said(true, false), &text, screen),
            Message::Output { text, .. } => self.say(&said(false, true), &text, screen),
            Message::Text(text) | Message::Diagnostics(text) => {
                self.say(&said(false, false), text.trim_end(), screen);
            }
            // Dropping the answer says that nobody will give one.
            Message::Ask { question, .. } => {
                self.say(&said(true, false), &format!("nobody can be asked: {question}"), screen);
            }
            Message::Picture(picture) => {
                if let Some(text) = of_picture(&picture) {
                    self.say(&said(false, false), &text, screen);
                }
            }
            Message::BuildsPlanned(names) => self.unfinished = names.len(),
            Message::Annotation(annotation) => self.annotate(&annotation, at, screen),
            Message::Debug(text) => {
                screen.out().push_str(&format!("{}\n", Command::new("debug", text.trim_end())));
            }
            Message::BuildFinished(end) => {
                if let Some(target) = target {
                    self.finished(target, &end, at, screen);
                }
            }
            message => {
                if let Some(target) = target {
                    self.moved_on(&target.build, message, at, screen);
                }
            }
        }
        self.progress(at, screen);
    }

    fn patience(&self) -> Option<Duration> {
        Some(QUIET)
    }

    fn idle(&mut self, now: Timestamp, screen: &mut Screen) {
        self.mask(screen);
        self.progress(now, screen);
    }

    fn end(&mut self, screen: &mut Screen) {
        let now = Timestamp::now();
        self.mask(screen);
        for build in self.parts.keys().cloned().collect::<Vec<_>>() {
            if self.open.as_ref() != Some(&build) {
                self.write_piece(&build, now, screen);
            }
        }
        self.shut(screen);
    }
}

impl Log {
    /// A build comes to another step or part.
    fn moved_on(&mut self, build: &Arc<str>, message: Message, at: Timestamp, screen: &mut Screen) {
        match message {
            Message::StepStarted { phase, .. } => self.turn_to(build, phase, at, screen),
            Message::StepFinished { ok, .. } => {
                if let Some(part) = self.parts.get_mut(build) {
                    part.failed |= !ok;
                }
            }
            Message::PhaseStarted(phase) => {
                self.close(build, at, screen);
                self.parts.insert(build.clone(), Part::new(phase, at));
            }
            Message::PhaseFinished { ok } => {
                if let Some(part) = self.parts.get_mut(build) {
                    part.failed |= !ok;
                }
                self.close(build, at, screen);
            }
            _ => {}
        }
    }
}
