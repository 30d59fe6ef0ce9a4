//! A run, as its machine-readable log tells of it, line by line. Whoever wrote the log decides what is
//! in it, so what is kept has a size.

use std::io::{self, BufRead, Read as _};

use indexmap::IndexMap;
use jiff::Timestamp;

use super::build::Build;
use super::excerpt::Excerpt;
use super::line::Record;
use super::room::{NAME, Room, TEXT, cut};

/// How many builds and findings are kept.
const MOST_BUILDS: usize = 1000;
const MOST_FINDINGS: usize = 1000;
/// What is read of a line; the rest of it is passed over.
const LONGEST_LINE: usize = 1 << 20;
/// What is read of a log.
const LARGEST_LOG: u64 = 4 << 30;

/// A run.
#[derive(Debug, Default)]
pub struct Run {
    /// The version of the program; `None` if no build was begun.
    pub(super) version: Option<String>,
    /// When the first and the last line were said.
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    /// Whether the log says that the run ended.
    pub(super) has_ended: bool,
    /// In the order of the plan.
    pub(super) builds: IndexMap<String, Build>,
    pub(super) findings: Vec<Finding>,
    /// What the run said of itself.
    pub(super) said: Excerpt,
    /// How many builds and findings are too many for the page.
    pub(super) left_out: usize,
    /// How many lines of the log are no records.
    pub(super) strange: usize,
    records: usize,
    room: Room,
}

/// A remark about a template, or about the run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub is_error: bool,
    /// `web.pkr.hcl:4:3`; empty if it is about no place.
    pub place: String,
    pub title: String,
    pub text: String,
}

impl Run {
    /// Reads a log.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(log: impl BufRead) -> anyhow::Result<Self> {
        let mut run = Self::default();
        let mut log = log.take(LARGEST_LOG);
        let mut line = Vec::new();
        while next_line(&mut log, &mut line)? {
            run.hear(&String::from_utf8_lossy(&line));
        }
        anyhow::ensure!(
            run.records > 0,
            "it is no log of a run: write one with `imgbake -machine-readable build … > LOG`"
        );
        Ok(run)
    }

    /// Takes in a line of a log.
    pub fn hear(&mut self, line: &str) {
        let Some(record) = Record::parse(line) else {
            self.strange += usize::from(!line.trim().is_empty());
            return;
        };
        self.records += 1;
        let at = match record.kind {
            "run-started" | "run-ended" => record.exactly(),
            _ => record.at,
        };
        self.from.get_or_insert(at);
        self.until = self.until.max(Some(at));
        match record.kind {
            "ui" => self.say(record.field(1), record.field(0) == "error", at),
            "run-started" => self.version = Some(self.room.text(record.field(1), NAME)),
            "run-ended" => self.has_ended = true,
            "build-planned" => self.left_out += usize::from(self.build(&record.target).is_none()),
            "finding" => self.finding(&record),
            _ if !record.target.is_empty() => {
                if let Some((build, room)) = self.build(&record.target) {
                    build.hear(&record, room);
                }
            }
            _ => {}
        }
    }

    /// All has been said.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// The build `name`, and the room for what it says; `None` if there are too many.
    fn build(&mut self, name: &str) -> Option<(&mut Build, &mut Room)> {
        let name = cut(name, NAME);
        if !self.builds.contains_key(&name) && self.builds.len() >= MOST_BUILDS {
            return None;
        }
        Some((self.builds.entry(name).or_default(), &mut self.room))
    }

    fn finding(&mut self, record: &Record<'_>) {
        let finding = Finding {
            is_error: record.field(0) == "error",
            place: cut(record.field(1), NAME),
            title: cut(record.field(2), NAME),
            text: cut(record.field(3), TEXT),
        };
        // What is said beside the run may have been drawn before.
        if self.findings.contains(&finding) {
            return;
        }
        match self.findings.len() < MOST_FINDINGS {
            true => self.findings.push(Finding {
                is_error: finding.is_error,
                place: self.room.keep(finding.place),
                title: self.room.keep(finding.title),
                text: self.room.keep(finding.text),
            }),
            false => self.left_out += 1,
        }
    }

    /// Something was said to people: `==> web: …` was said by the build `web`.
    fn say(&mut self, text: &str, is_error: bool, at: Timestamp) {
        // Names are kept as they may be shown.
        let text = cut(text, LONGEST_LINE);
        let owner = self.builds.keys().filter_map(|name| Some((name, prefix(&text, name)?)));
        let owner = owner.max_by_key(|(name, _)| name.len());
        let owner = owner.map(|(name, prefix)| (name.clone(), prefix));
        match owner {
            None => text.split('\n').for_each(|line| self.say_itself(line, is_error)),
            Some((name, prefix)) => {
                let Some(build) = self.builds.get_mut(&name) else { return };
                // Who speaks is known from the beginning: what a guest prints may look like another's.
                // And only what begins so is a line: in `C:\new` is no end of one.
                for line in text[prefix.len()..].split(&format!("\n{prefix}")) {
                    let line = line.strip_prefix(' ').unwrap_or(line).replace('\n', "\\n");
                    build.say(&line, is_error, at, &mut self.room);
                }
            }
        }
    }

    /// The run itself says `line`.
    fn say_itself(&mut self, line: &str, is_error: bool) {
        if line.is_empty() {
            return;
        }
        self.said.say(line, is_error, &mut self.room);
    }
}

/// What `text` begins with if the build `name`, or a part of it, says it.
fn prefix<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.strip_prefix("==> ")?.strip_prefix(name)?;
    let rest = match rest.strip_prefix(" (") {
        Some(part) => part.split_once(')')?.1,
        None => rest,
    };
    let rest = rest.strip_prefix(':')?;
    Some(&text[..text.len() - rest.len()])
}

/// Reads the next line; `false` if there is none. What is too long is passed over.
fn next_line(log: &mut io::Take<impl BufRead>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if log.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') {
        log.skip_until(b'\n')?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_takes_no_more_room() {
        let again = [
            "1700000000,web,build-planned",
            "1700000000,,ui,say,==> web: x",
            "1700000000,,finding,warning,web.pkr.hcl:1:1,title,text",
            "1700000000,web,product,x,id,text,file",
            "1700000000,web,picture,x.screens/1.png,then",
        ];
        let mut run = Run::default();
        let mut room_after = |times| {
            (0..times).for_each(|_| again.iter().for_each(|line| run.hear(line)));
            format!("{:?}", run.room)
        };
        // More lines than an excerpt keeps.
        let room = room_after(1500);
        assert_eq!(room_after(10), room);
    }

    #[test]
    fn a_build_that_is_one_too_many_is_counted_once() {
        let mut run = Run::default();
        for number in 0..MOST_BUILDS + 2 {
            for record in ["build-planned", "phase-started,,x", "build-ended,,ok,1"] {
                run.hear(&format!("1700000000,{number},{record}"));
            }
        }
        assert_eq!((run.builds.len(), run.left_out), (MOST_BUILDS, 2));
    }
}
