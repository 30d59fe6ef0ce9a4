//! A build, as the log tells of it.

use std::time::Duration;

use jiff::Timestamp;

use super::excerpt::Excerpt;
use super::line::Record;
use super::room::{NAME, Room, TEXT, cut};

/// How many parts, steps, waits, artifacts and pictures of a build are kept.
const MOST_PARTS: usize = 500;
const MOST_STEPS: usize = 2000;
const MOST_PRODUCTS: usize = 100;
const MOST_PICTURES: usize = 200;
/// How many packages of a list, and files of an artifact.
pub(super) const MOST_PACKAGES: usize = 3000;

/// A build.
#[derive(Debug, Default)]
pub(super) struct Build {
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// When the cloud was waited for.
    pub waits: Vec<Wait>,
    /// How it ended.
    pub end: Option<End>,
    /// What is left of it.
    pub products: Vec<Product>,
    /// What is inside its image.
    pub packages: Option<Packages>,
    /// Why it was baked, or was not.
    pub verdict: Option<String>,
    /// Pictures of its machine's screen: where the file is, and when it was taken.
    pub pictures: Vec<(String, String)>,
    /// How many things of it are too many for the page.
    pub left_out: usize,
    steps: usize,
}

/// A part of a build: a provisioner, the cleanup.
#[derive(Debug)]
pub(super) struct Part {
    /// What it is called: `provision: shell`.
    pub name: String,
    pub from: Timestamp,
    /// When it ended; `None` if nobody has said so.
    pub until: Option<Timestamp>,
    pub failed: bool,
    pub steps: Vec<Step>,
    pub lines: Excerpt,
}

/// A step of a part.
#[derive(Debug)]
pub(super) struct Step {
    pub name: String,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub failed: bool,
    /// Whether other parts belong to it, which tell more.
    contains: bool,
}

/// A wait for the cloud.
#[derive(Debug)]
pub(super) struct Wait {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// How a build ended.
#[derive(Debug)]
pub(super) struct End {
    pub at: Timestamp,
    pub result: Outcome,
    pub took: Duration,
    /// Where in the template it failed: `web.pkr.hcl:4:3`.
    pub place: String,
    pub error: String,
    /// Whose fault that is, in words.
    pub fault: String,
}

/// The ways in which a build can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
}

/// An artifact.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub id: String,
    pub description: String,
    pub files: Vec<String>,
}

/// What is inside an image.
#[derive(Debug, Default)]
pub(super) struct Packages {
    pub count: String,
    /// What the build has changed.
    pub baked: Vec<String>,
    /// What is other than in the image before, where that is known.
    pub since_previous: Option<Vec<String>>,
    /// The files that list all of it.
    pub files: Vec<String>,
}

impl Build {
    /// Takes in a record about it.
    pub fn hear(&mut self, record: &Record<'_>, room: &mut Room) {
        let at = record.exactly();
        match record.kind {
            "phase-started" => self.part_started(record.field(1), at, room),
            "phase-ended" => self.part_ended(at, record.field(1) == "ok"),
            "step-started" => self.step_started(record, at, room),
            "step-ended" => {
                self.step_ended(&cut(record.field(1), NAME), record.field(2) == "ok", at);
            }
            "waited" => self.waited(record.field(1), at),
            "build-ended" => self.ended(record, at, room),
            "product" => self.product(record, room),
            "skip-unchanged" => self.verdict = Some(room.text(record.field(1), TEXT)),
            "picture" => self.picture(record, room),
            "packages" => {
                let packages = self.packages.get_or_insert_default();
                packages.count = room.text(record.field(0), NAME);
                packages.baked = names(record, 1, room);
            }
            "packages-since-previous" => {
                let packages = self.packages.get_or_insert_default();
                packages.since_previous = Some(names(record, 0, room));
            }
            "sbom" => self.packages.get_or_insert_default().files = names(record, 0, room),
            _ => {}
        }
    }

    /// Takes in what was said in it.
    pub fn say(&mut self, text: &str, is_error: bool, at: Timestamp, room: &mut Room) {
        if self.parts.is_empty() {
            self.part_started("prepare", at, room);
        }
        let Some(part) = self.parts.last_mut() else { return };
        part.lines.say(text, is_error, room);
    }

    fn part_started(&mut self, name: &str, at: Timestamp, room: &mut Room) {
        // The step that is going on consists of parts.
        for step in self.parts.iter_mut().flat_map(|part| &mut part.steps) {
            step.contains |= step.until.is_none();
        }
        if let Some(last) = self.parts.last_mut() {
            last.until.get_or_insert(at);
        }
        if self.parts.len() == MOST_PARTS {
            self.left_out += 1;
            return;
        }
        self.parts.push(Part {
            name: room.text(name, NAME),
            from: at,
            until: None,
            failed: false,
            steps: Vec::new(),
            lines: Excerpt::default(),
        });
    }

    fn part_ended(&mut self, at: Timestamp, ok: bool) {
        if let Some(part) = self.parts.last_mut() {
            part.until = Some(at);
            part.failed |= !ok;
        }
    }

    fn step_started(&mut self, record: &Record<'_>, at: Timestamp, room: &mut Room) {
        let phase = cut(record.field(2), NAME);
        if self.parts.last().is_none_or(|part| part.name != phase) {
            self.part_started(&phase, at, room);
        }
        self.steps += 1;
        match self.parts.last_mut() {
            Some(part) if self.steps <= MOST_STEPS => part.steps.push(Step {
                name: room.text(record.field(1), NAME),
                from: at,
                until: None,
                failed: false,
                contains: false,
            }),
            _ => self.left_out += 1,
        }
    }

    fn step_ended(&mut self, name: &str, ok: bool, at: Timestamp) {
        let last = self.parts.len().saturating_sub(1);
        for (index, part) in self.parts.iter_mut().enumerate().rev() {
            let open = part.steps.iter_mut().rfind(|one| one.name == name && one.until.is_none());
            let Some(step) = open else { continue };
            (step.until, step.failed) = (Some(at), !ok);
            // What a step consists of has said itself that it failed.
            part.failed |= !ok && !step.contains;
            if index == last {
                part.until = Some(at);
            }
            return;
        }
    }

    fn waited(&mut self, millis: &str, at: Timestamp) {
        let took = Duration::from_millis(millis.parse().unwrap_or_default());
        match at.checked_sub(took) {
            Ok(from) if self.waits.len() < MOST_STEPS => self.waits.push(Wait { from, until: at }),
            _ => self.left_out += 1,
        }
    }

    fn ended(&mut self, record: &Record<'_>, at: Timestamp, room: &mut Room) {
        let result = match record.field(1) {
            "ok" => Outcome::Succeeded,
            "cancelled" => Outcome::Cancelled,
            _ => Outcome::Failed,
        };
        // What it was torn out of has ended, too.
        for part in &mut self.parts {
            part.until.get_or_insert(at);
            for step in &mut part.steps {
                step.until.get_or_insert(at);
            }
        }
        self.end = Some(End {
            at,
            result,
            took: Duration::from_millis(record.field(2).parse().unwrap_or_default()),
            place: room.text(record.field(3), NAME),
            error: room.text(record.field(4), TEXT),
            fault: room.text(record.field(5), NAME),
        });
    }

    fn product(&mut self, record: &Record<'_>, room: &mut Room) {
        if self.products.len() == MOST_PRODUCTS {
            self.left_out += 1;
            return;
        }
        let (id, description) = (cut(record.field(1), TEXT), cut(record.field(2).trim(), TEXT));
        let product = Product { id, description, files: cut_names(record, 3).collect() };
        // A post-processor that only looks at an artifact leaves it twice.
        if !self.products.contains(&product) {
            self.products.push(Product {
                id: room.keep(product.id),
                description: room.keep(product.description),
                files: product.files.into_iter().map(|file| room.keep(file)).collect(),
            });
        }
    }

    fn picture(&mut self, record: &Record<'_>, room: &mut Room) {
        let (path, moment) = (cut(record.field(0), TEXT), cut(record.field(1), NAME));
        // A path that is given again is another picture.
        for (path, moment) in self.pictures.extract_if(.., |(known, _)| *known == path) {
            room.give_back(&path);
            room.give_back(&moment);
        }
        match self.pictures.len() < MOST_PICTURES {
            true => self.pictures.push((room.keep(path), room.keep(moment))),
            false => self.left_out += 1,
        }
    }

    /// When it began, as far as is known.
    pub fn from(&self) -> Option<Timestamp> {
        self.parts.first().map(|part| part.from)
    }

    /// How long it took, or takes until `now`.
    pub fn took(&self, now: Timestamp) -> Duration {
        match (&self.end, self.from()) {
            (Some(end), _) => end.took,
            (None, Some(from)) => between(from, now),
            (None, None) => Duration::ZERO,
        }
    }
}

/// How long it is from one time to another; nothing, if they are in the wrong order.
pub(super) fn between(from: Timestamp, until: Timestamp) -> Duration {
    until.duration_since(from).try_into().unwrap_or_default()
}

/// The fields of `record` from `first` on.
fn names(record: &Record<'_>, first: usize, room: &mut Room) -> Vec<String> {
    cut_names(record, first).map(|name| room.keep(name)).collect()
}

fn cut_names<'a>(record: &'a Record<'_>, first: usize) -> impl Iterator<Item = String> + 'a {
    let fields = record.fields.iter().skip(first).take(MOST_PACKAGES);
    fields.map(|field| cut(field, NAME))
}
