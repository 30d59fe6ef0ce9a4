//! Every known secret in a text is masked, in any of its forms.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::{BitOrAssign, Range};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use aho_corasick::AhoCorasick;
use indexmap::IndexSet;
use indexmap::set::Slice;

use super::{MASK, Secret, forms};

/// Masks every known secret in a text. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<RwLock<Known>>);

/// The secrets, in the order in which they became known.
#[derive(Debug, Default)]
struct Known {
    secrets: IndexSet<Secret>,
    /// Each looks for the secrets that follow those of the one before; so a secret that comes late
    /// costs no new search for all others.
    searchers: Vec<Searcher>,
    /// The one for what came last, made where it is first needed.
    latest: OnceLock<Searcher>,
    /// Texts that are no secrets, and that messages do not repeat all the same.
    taints: HashMap<Secret, Taint>,
}

/// Why a message does not repeat a text that is no secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// It was read from a file, or was made of that: no message has a line of it.
    pub content: bool,
    /// It was made of a secret, and is too [weak](super::Weakness) to be masked wherever it occurs: no
    /// message quotes it.
    pub part: bool,
}

impl Taint {
    /// Of what was read from a file.
    pub const CONTENT: Self = Self { content: true, part: false };
    /// Of what was made of a secret.
    pub const PART: Self = Self { content: false, part: true };

    /// Whether a message may repeat the text.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl BitOrAssign for Taint {
    fn bitor_assign(&mut self, other: Self) {
        self.content |= other.content;
        self.part |= other.part;
    }
}

/// What is shown in place of a text out of a file.
const CONTENT: &str = "<content of a file>";

/// What is shown in place of a part of a secret.
const PART: &str = "<part of a secret>";

/// A shorter text out of a file is in any message.
const SHORTEST_CONTENT: usize = 8;

/// Looks for secrets in one pass.
#[derive(Clone, Default)]
struct Searcher {
    /// How many secrets it is for.
    count: usize,
    /// The length of the longest form.
    longest: usize,
    /// `None` if there is nothing to look for.
    automaton: Option<AhoCorasick>,
}

impl fmt::Debug for Searcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The automaton has the secrets.
        write!(f, "Searcher({})", self.count)
    }
}

impl Searcher {
    fn of(secrets: &Slice<Secret>) -> Self {
        let patterns: HashSet<String> =
            secrets.iter().flat_map(|secret| forms::patterns(secret.expose())).collect();
        let longest = patterns.iter().map(String::len).max().unwrap_or_default();
        let automaton = AhoCorasick::new(patterns).ok().filter(|_| longest > 0);
        Self { count: secrets.len(), longest, automaton }
    }

    /// Where secrets are in `text`; they may overlap.
    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        // Most texts have none, and saying so is faster than looking for all.
        if let Some(automaton) = self.automaton.as_ref().filter(|own| own.is_match(text)) {
            found.extend(automaton.find_overlapping_iter(text).map(|found| found.range()));
        }
    }
}

impl Known {
    fn add(&mut self, text: String) {
        let secret = Secret::new(text);
        if !self.secrets.contains(&secret) {
            self.settle();
            self.secrets.insert(secret);
        }
    }

    /// Keeps the latest searcher, if there is one, joined with those that are not much larger.
    fn settle(&mut self) {
        let Some(latest) = self.latest.take() else { return };
        let mut count = latest.count;
        let before = self.searchers.len();
        while self.searchers.last().is_some_and(|last| last.count < 2 * count) {
            count += self.searchers.pop().map_or(0, |last| last.count);
        }
        let joins = self.searchers.len() < before;
        let from = self.searchers.iter().map(|one| one.count).sum::<usize>();
        let joined = || Searcher::of(&self.secrets[from..from + count]);
        let searcher = if joins { joined() } else { latest };
        self.searchers.push(searcher);
    }

    /// All of them together look for all secrets.
    fn searchers(&self) -> impl Iterator<Item = &Searcher> {
        let from = self.searchers.iter().map(|one| one.count).sum::<usize>();
        let latest = self.latest.get_or_init(|| Searcher::of(&self.secrets[from..]));
        self.searchers.iter().chain([latest])
    }
}

impl Redactor {
    /// Makes `secret`, and each of its lines, unprintable from now on, unless it is
    /// [weak](super::Weakness).
    pub fn register(&self, secret: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        forms::texts(secret).into_iter().for_each(|text| known.add(text));
    }

    /// The secrets that became known after the first `count`, for whoever hides them elsewhere.
    pub fn since(&self, count: usize) -> Vec<Secret> {
        self.known().secrets.iter().skip(count).cloned().collect()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `text` has secrets: in order, without overlaps.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.known().searchers().for_each(|searcher| searcher.find(text, &mut found));
        joined(found)
    }

    /// `text` without any registered secret.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text);
        if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked(text, &found)) }
    }

    /// [`redact`](Self::redact) for a text that is given away.
    pub fn clean(&self, text: String) -> String {
        match self.redact(&text) {
            Cow::Owned(clean) => clean,
            Cow::Borrowed(_) => text,
        }
    }

    /// Whether `text` has a registered secret as it was registered. For a text that is about to
    /// become a secret itself: nothing is made for the search.
    pub fn holds(&self, text: &str) -> bool {
        self.known().secrets.iter().any(|secret| text.contains(secret.expose()))
    }

    /// From now on no message repeats `text`.
    pub fn note(&self, text: &str, taint: Taint) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *known.taints.entry(Secret::new(text)).or_default() |= taint;
    }

    /// What is known of `text`.
    pub fn taint(&self, text: &str) -> Taint {
        self.known().taints.get(text).copied().unwrap_or_default()
    }

    /// Whether there is any.
    pub fn has_taints(&self) -> bool {
        !self.known().taints.is_empty()
    }

    /// A `message` without what was read from files: neither a line of it, nor what stands between
    /// quotes and is a part of it. And without parts of secrets between quotes.
    pub fn without_tainted(&self, message: String) -> String {
        let known = self.known();
        if known.taints.is_empty() {
            return message;
        }
        let is_part = |quoted: &str| known.taints.get(quoted).is_some_and(|taint| taint.part);
        let mut message = without_quoted(message, PART, is_part);
        let contents = known.taints.iter().filter(|(_, taint)| taint.content);
        let contents: Vec<&str> = contents.map(|(text, _)| text.expose()).collect();
        for line in contents.iter().flat_map(|text| text.lines()).map(str::trim) {
            if line.len() >= SHORTEST_CONTENT && message.contains(line) {
                message = message.replace(line, CONTENT);
            }
        }
        let is_content = |quoted: &str| {
            let is_long = quoted.len() >= SHORTEST_CONTENT;
            is_long && contents.iter().any(|content| content.contains(quoted))
        };
        without_quoted(message, CONTENT, is_content)
    }

    /// How many secrets there are.
    pub fn count(&self) -> usize {
        self.known().secrets.len()
    }

    /// The length of the longest form of a secret in bytes.
    pub fn longest(&self) -> usize {
        self.known().searchers().map(|searcher| searcher.longest).max().unwrap_or_default()
    }

    /// Where to cut `text` near the byte `at` so that no secret is cut in two: before it if
    /// possible, else after. `text` should reach [`longest`](Self::longest) bytes beyond `at`.
    pub fn cut_near(&self, text: &str, at: usize) -> usize {
        let at = text.floor_char_boundary(at);
        let inside = |found: &Range<usize>| found.start < at && at < found.end;
        match self.find(text).into_iter().find(inside) {
            Some(found) if found.start > 0 => found.start,
            Some(found) => found.end,
            None => at,
        }
    }
}

/// `text` with `mask` in place of what stands between quotes where `is_hidden` says so.
pub(crate) fn without_quoted(text: String, mask: &str, is_hidden: impl Fn(&str) -> bool) -> String {
    ['`', '"'].into_iter().fold(text, |text, quote| {
        let parts = text.split(quote).enumerate();
        let parts =
            parts.map(|(at, part)| if at % 2 == 1 && is_hidden(part) { mask } else { part });
        parts.collect::<Vec<_>>().join(&quote.to_string())
    })
}

/// The same ranges in order; those that touch become one.
pub(crate) fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, before| {
        let touches = next.start <= before.end;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
    ranges
}

/// `text` with [`MASK`] in place of each of `ranges`.
fn masked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for range in ranges {
        clean.extend([&text[end..range.start], MASK]);
        end = range.end;
    }
    clean + &text[end..]
}

#[cfg(test)]
mod tests;
