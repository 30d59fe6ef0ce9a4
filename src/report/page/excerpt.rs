//! Lines of a log of which there may be too many: the first and the last are kept, and how many
//! were between them.

use std::collections::VecDeque;

use super::room::Room;

/// The lines that are kept of each end.
const FIRST: usize = 300;
const LAST: usize = 700;

/// A line that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What was said.
    pub text: String,
    /// Whether it is about something that went wrong, or was printed as such.
    pub is_error: bool,
}

/// Lines, or the ends of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Excerpt {
    first: Vec<Line>,
    last: VecDeque<Line>,
    left_out: usize,
}

/// What is shown of them.
pub(super) struct Shown<'a> {
    pub first: Vec<&'a Line>,
    /// How many lines are between the two ends and not shown.
    pub left_out: usize,
    pub last: Vec<&'a Line>,
}

impl Excerpt {
    /// A line was said. Where there is no room for it, it is only counted.
    pub fn say(&mut self, text: &str, is_error: bool, room: &mut Room) {
        let Some(text) = room.line(text) else {
            self.left_out += 1;
            return;
        };
        if let Some(gone) = self.push(Line { text, is_error }) {
            room.give_back(&gone.text);
        }
    }

    /// Adds a line; the one that is given up for it comes back.
    fn push(&mut self, line: Line) -> Option<Line> {
        if self.first.len() < FIRST && self.last.is_empty() && self.left_out == 0 {
            self.first.push(line);
            return None;
        }
        self.last.push_back(line);
        let gone = if self.last.len() > LAST { self.last.pop_front() } else { None };
        self.left_out += usize::from(gone.is_some());
        gone
    }

    /// How many lines were said.
    pub fn said(&self) -> usize {
        self.first.len() + self.left_out + self.last.len()
    }

    /// At most so many of them. The last ones tell most.
    pub fn shown(&self, most: usize) -> Shown<'_> {
        let all = self.first.len() + self.last.len();
        if self.left_out == 0 && all <= most {
            let (first, last) = (self.first.iter().chain(&self.last).collect(), Vec::new());
            return Shown { first, left_out: 0, last };
        }
        let head = (most / 3).min(self.first.len());
        let tail = (most - most / 3).min(all - head);
        let skipped = all - head - tail;
        let both = || self.first.iter().chain(&self.last);
        Shown {
            first: both().take(head).collect(),
            left_out: self.left_out + skipped,
            last: both().skip(head + skipped).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(count: usize) -> Excerpt {
        let mut all = Excerpt::default();
        for number in 0..count {
            all.push(Line { text: number.to_string(), is_error: false });
        }
        all
    }

    fn told(all: &Excerpt, most: usize) -> (usize, usize, usize, String) {
        let Shown { first, left_out, last } = all.shown(most);
        let end = last.last().or(first.last()).map(|line| line.text.clone());
        (first.len(), left_out, last.len(), end.unwrap_or_default())
    }

    #[test]
    fn no_line_is_lost_without_being_counted() {
        assert_eq!(told(&said(0), 9), (0, 0, 0, String::new()));
        assert_eq!(told(&said(9), 9), (9, 0, 0, "8".into()));
        assert_eq!(told(&said(10), 9), (3, 1, 6, "9".into()));
        assert_eq!(told(&said(10), 0), (0, 10, 0, String::new()));
        for count in [0, 5, 299, 300, 301, 999, 1000, 1001, 5000] {
            let all = said(count);
            assert_eq!(all.said(), count);
            for most in [0, 1, 2, 3, 50, 400, 999, 1000, 2000] {
                let (first, left_out, last, _) = told(&all, most);
                assert_eq!(first + left_out + last, count, "{count} {most}");
                assert!(first + last <= most, "{count} {most}");
            }
        }
    }
}
