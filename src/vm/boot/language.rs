//! The language of boot commands: plain characters, and what stands between `<` and `>`.
//!
//! As Packer reads it, whatever is none of its forms is plain text. What nobody can mean is
//! told beside the actions: a [`Finding`] knows which part of the text it is about.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::keys::{Key, Stroke};
use crate::config::GoDuration;
use crate::diagnostic::did_you_mean;

/// How long a wait for something takes at most, where it does not say so.
pub const LIMIT: Duration = Duration::from_secs(5 * 60);

/// One thing that a boot command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, for this long.
    Wait(Duration),
    /// A key goes down and up, or only one of the two.
    Type(Stroke, Motion),
    /// Nothing, until the machine has printed this on its serial console.
    WaitForText {
        /// What.
        text: String,
        /// How long at most.
        limit: Duration,
    },
    /// Nothing, until the screen looks different from how it looked before the last key.
    WaitForChange {
        /// How long at most.
        limit: Duration,
    },
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Down, and up again.
    Press,
    /// Down: it is held.
    Hold,
    /// Up.
    Release,
}

/// Something to tell of a boot command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which part of the text, in bytes.
    pub part: Range<usize>,
    /// Whether the command cannot be typed.
    pub is_error: bool,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub help: String,
}

/// A boot command that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// What it does, in order.
    pub actions: Vec<Action>,
    /// What there is to tell of it.
    pub findings: Vec<Finding>,
}

impl Command {
    /// Reads `text`.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0, command: Self::default() };
        while reader.at < text.len() {
            reader.next();
        }
        reader.command
    }

    /// Whether it waits for what a machine prints.
    pub fn waits_for_text(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::WaitForText { .. }))
    }
}

/// The keys that are still held when all of `commands` were typed, in the order of QEMU's names.
pub fn held_in_the_end<'a>(commands: impl IntoIterator<Item = &'a Command>) -> BTreeSet<Key> {
    let mut held = BTreeSet::new();
    for action in commands.into_iter().flat_map(|command| &command.actions) {
        match action {
            Action::Type(stroke, Motion::Hold) => _ = held.insert(stroke.key),
            Action::Type(stroke, Motion::Release) => _ = held.remove(&stroke.key),
            _ => {}
        }
    }
    held
}

/// Where a text is being read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    command: Command,
}

/// What a form is: how long it is, and what it does. `None`: it is none.
type Form = Option<(usize, Result<Action, (String, String)>)>;

impl Reader<'_> {
    /// Reads one action.
    fn next(&mut self) {
        let rest = &self.text[self.at..];
        let form = wait_for(rest)
            .or_else(|| wait(rest))
            .or_else(|| character_motion(rest))
            .or_else(|| special(rest));
        let (length, action) = form.unwrap_or_else(|| {
            self.doubt(rest);
            literal(rest)
        });
        let part = self.at..self.at + length;
        self.at = part.end;
        match action {
            Ok(action) => self.command.actions.push(action),
            Err((cause, help)) => self.find(Finding { part, is_error: true, cause, help }),
        }
    }

    /// Each part of the text is told once, however often it stands there.
    fn find(&mut self, found: Finding) {
        let is_known =
            |known: &Finding| self.text[known.part.clone()] == self.text[found.part.clone()];
        if !self.command.findings.iter().any(is_known) {
            self.command.findings.push(found);
        }
    }

    /// Tells of what looks like a key and is none.
    fn doubt(&mut self, rest: &str) {
        let Some(end) = rest.strip_prefix('<').and_then(|rest| rest.find('>')) else { return };
        let name = &rest[1..=end];
        let is_word = |next: char| next.is_ascii_alphanumeric() || " .+-".contains(next);
        if !name.starts_with(|next: char| next.is_ascii_alphabetic()) || !name.chars().all(is_word)
        {
            return;
        }
        let help = match did_you_mean(name, Key::names().chain(["wait"])) {
            Some(meant) => format!("did you mean `<{meant}>`?"),
            None if name.starts_with("wait") => {
                "write `<wait>`, `<wait5>` for five seconds, or `<wait1m30s>`".to_owned()
            }
            None => "if a key is meant: `imgbake explain qemu` has their names".to_owned(),
        };
        let cause = format!("`<{name}>` is no key and no wait: it is typed as it stands");
        let part = self.at..self.at + end + 2;
        self.find(Finding { part, is_error: false, cause, help });
    }
}

/// `<wait>`, `<wait5>`, `<wait1m30s>`.
fn wait(rest: &str) -> Form {
    let inner = rest.strip_prefix("<wait")?;
    let (written, _) = inner.split_once('>')?;
    let length = "<wait".len() + written.len() + 1;
    if written.is_empty() {
        return Some((length, Ok(Action::Wait(Duration::from_secs(1)))));
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |text: &str| digits(text) && (text == "0" || !text.starts_with('0'));
    let wrong = |cause| (format!("`<wait{written}>` {cause}"), FOR_SECONDS.to_owned());
    if is_whole(written) {
        let seconds = written.parse().ok().filter(|&seconds| seconds <= LONGEST);
        let wait = seconds.map(|seconds| Action::Wait(Duration::from_secs(seconds)));
        return Some((length, wait.ok_or_else(|| wrong("waits longer than anybody"))));
    }
    // A sign before each of its numbers is part of the form, if only the first may have one.
    let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut numbers = written;
    while !numbers.is_empty() {
        let number = numbers.strip_prefix('-').unwrap_or(numbers);
        let end = number.find(|next: char| !next.is_ascii_digit() && next != '.')?;
        let (whole, fraction) = match number[..end].split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (&number[..end], "0"),
        };
        let unit = units.into_iter().find(|unit| number[end..].starts_with(unit))?;
        if !is_whole(whole) || !digits(fraction) {
            return None;
        }
        numbers = &number[end + unit.len()..];
    }
    let wait = match GoDuration::parse(written) {
        Ok(wait) if wait.is_negative() => Err(wrong("waits for a negative time")),
        Ok(wait) if wait.get() <= Duration::from_secs(LONGEST) => Ok(Action::Wait(wait.get())),
        Ok(_) => Err(wrong("waits longer than anybody")),
        Err(_) => Err(wrong("has no duration")),
    };
    Some((length, wait))
}

/// Two hundred years, in seconds: what Packer can count.
const LONGEST: u64 = 200 * 365 * 24 * 3600;

const FOR_SECONDS: &str = "write `<wait5>` for five seconds, or `<wait1m30s>`";

/// `<waitForText 'login:'>`, `<waitForText 10m 'login:'>`, `<waitForChange>`, `<waitForChange 30s>`.
fn wait_for(rest: &str) -> Form {
    const BEGINNING: &str = "<waitFor";
    if !rest.get(..BEGINNING.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEGINNING)) {
        return None;
    }
    if let Some(inner) = rest.strip_prefix("<waitForText ") {
        let (limit, quoted) = match inner.split_once(' ') {
            Some((limit, quoted)) if !inner.starts_with('\'') => (Some(limit), quoted),
            _ => (None, inner),
        };
        let text = quoted.strip_prefix('\'').and_then(|text| text.split_once("'>"));
        if let (Some((text, after)), Some(limit)) = (text, time_limit(limit))
            && !text.is_empty()
        {
            let text = text.to_owned();
            let length = rest.len() - after.len();
            return Some((length, Ok(Action::WaitForText { text, limit })));
        }
    } else if let Some((inner, after)) =
        rest.strip_prefix("<waitForChange").and_then(|inner| inner.split_once('>'))
    {
        let limit = match inner {
            "" => time_limit(None),
            inner => inner.strip_prefix(' ').and_then(|limit| time_limit(Some(limit))),
        };
        if let Some(limit) = limit {
            return Some((rest.len() - after.len(), Ok(Action::WaitForChange { limit })));
        }
    }
    let length = rest.find('>').map_or(rest.len(), |end| end + 1);
    let cause = format!("`{}` waits for nothing that is known", &rest[..length]);
    let help = "write `<waitForText 'login:'>`, `<waitForText 10m 'login:'>`, `<waitForChange>` or \
                `<waitForChange 30s>`";
    Some((length, Err((cause, help.to_owned()))))
}

/// The limit that is written, or the usual one; `None` if it is none.
fn time_limit(written: Option<&str>) -> Option<Duration> {
    let Some(written) = written else { return Some(LIMIT) };
    let limit = GoDuration::parse(written).ok()?;
    (!limit.is_negative() && !limit.is_zero()).then(|| limit.get())
}

/// `<aOn>`, `<aOff>`.
fn character_motion(rest: &str) -> Form {
    let mut inner = rest.strip_prefix('<')?.chars();
    let character = inner.next()?;
    let (word, _) = inner.as_str().split_once('>')?;
    let motion = motion(word)?;
    let length = 1 + character.len_utf8() + word.len() + 1;
    Some((length, stroke(character).map(|stroke| Action::Type(stroke, motion))))
}

/// `<enter>`, `<leftShiftOn>`, `<leftShiftOff>`.
fn special(rest: &str) -> Form {
    let (name, _) = rest.strip_prefix('<')?.split_once('>')?;
    let of = |name: &str, motion| Some((Key::named(name)?, motion));
    // `leftOption` ends with `on`, and is a name.
    let (key, motion) = of(name, Motion::Press).or_else(|| {
        ["on", "off"].into_iter().find_map(|word| {
            let at = name.len().checked_sub(word.len())?;
            let (name, word) = name.split_at_checked(at)?;
            of(name, motion(word)?)
        })
    })?;
    let stroke = Stroke { key, shift: false };
    Some((name.len() + 2, Ok(Action::Type(stroke, motion))))
}

fn motion(word: &str) -> Option<Motion> {
    match word.to_ascii_lowercase().as_str() {
        "on" => Some(Motion::Hold),
        "off" => Some(Motion::Release),
        _ => None,
    }
}

/// The character that `rest` begins with.
fn literal(rest: &str) -> (usize, Result<Action, (String, String)>) {
    let character = rest.chars().next().unwrap_or_default();
    let typed = stroke(character).map(|stroke| Action::Type(stroke, Motion::Press));
    (character.len_utf8().max(1), typed)
}

fn stroke(character: char) -> Result<Stroke, (String, String)> {
    Stroke::of(character).ok_or_else(|| match character {
        '\n' | '\r' => (
            "it has the end of a line in it, which is no key".to_owned(),
            "write `<enter>` for the Enter key; join the lines of a heredoc, or make them a list"
                .to_owned(),
        ),
        '\t' => ("it has a tab in it, which is no key".to_owned(), "write `<tab>`".to_owned()),
        other => (
            format!("`{}` cannot be typed at a US keyboard", shown(other)),
            "boot loaders and firmware assume the US layout: write characters of ASCII".to_owned(),
        ),
    })
}

fn shown(character: char) -> String {
    match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    }
}

#[cfg(test)]
mod tests;
