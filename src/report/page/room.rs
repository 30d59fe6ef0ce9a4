//! How much of a log is kept in memory, whoever wrote it.

use crate::guest::harmless;
use crate::report::words::shortened;

/// All texts of a run together.
const ALL: usize = 64 << 20;
/// The characters of a name, and of a longer text.
pub(super) const NAME: usize = 300;
pub(super) const TEXT: usize = 4000;
/// A line of what was said.
const LONGEST_LINE: usize = 2000;

/// What is left to take texts.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ALL)
    }
}

impl Room {
    /// A line as it may be shown; `None` if there is no room for it.
    pub fn line(&mut self, text: &str) -> Option<String> {
        let text = cut(text, LONGEST_LINE);
        self.0 = self.0.checked_sub(text.len() + size_of::<String>())?;
        Some(text)
    }

    /// A text of at most `most` characters as it may be shown; empty if there is no room.
    pub fn text(&mut self, text: &str, most: usize) -> String {
        self.keep(cut(text, most))
    }

    /// The same of what is cut already.
    pub fn keep(&mut self, text: String) -> String {
        match self.0.checked_sub(text.len() + size_of::<String>()) {
            Some(left) => {
                self.0 = left;
                text
            }
            None => String::new(),
        }
    }

    /// A text is kept no longer.
    pub fn give_back(&mut self, text: &str) {
        self.0 += text.len() + size_of::<String>();
    }
}

/// A text of at most `most` characters as it may be shown.
pub(super) fn cut(text: &str, most: usize) -> String {
    visible(&shortened(text, most))
}

/// `text` without what a terminal would obey, and with the characters seen that change the order of
/// others, or stand for nothing: a reader must not be shown something else than what is there.
fn visible(text: &str) -> String {
    let text = if text.contains(|next: char| next.is_control() && next != '\n' && next != '\t') {
        harmless(text.as_bytes())
    } else {
        text.to_owned()
    };
    if !text.contains(is_invisible) {
        return text;
    }
    let mut seen = String::with_capacity(text.len());
    for next in text.chars() {
        match is_invisible(next) {
            true => seen.push_str(&format!("⟨U+{:04X}⟩", u32::from(next))),
            false => seen.push(next),
        }
    }
    seen
}

/// Marks of writing direction, and what takes no place.
fn is_invisible(next: char) -> bool {
    matches!(next,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("plain é 🦀\n\tx"), "plain é 🦀\n\tx");
        assert_eq!(visible("\u{1b}[31mred\u{1b}[0m\0"), "red");
        assert_eq!(visible("a\u{202e}b\u{200b}"), "a⟨U+202E⟩b⟨U+200B⟩");
    }

    #[test]
    fn there_is_an_end_of_what_is_kept() {
        let mut room = Room(100);
        let line = room.line("x").unwrap();
        assert_eq!(room.line(&"x".repeat(100)), None);
        room.give_back(&line);
        assert!(room.line(&"x".repeat(70)).is_some());
        assert_eq!(room.text("more than there is", 100), "");
    }
}
