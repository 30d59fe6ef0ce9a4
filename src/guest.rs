//! What guests and child processes print is hostile text: here it becomes lines that are safe to
//! show. Likewise [`archive`] and [`listing`]: what a guest sends becomes files, where we say.
//! What a guest reads is here, too: the language of its [`shell`].

pub mod archive;
pub mod listing;
pub mod shell;

use async_trait::async_trait;

use crate::event::{Stream, Ui};
use crate::secret::Redactor;

/// A line longer than this is shown in pieces of about this many bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Lines are passed on in batches of about this many bytes, so that a flood is cheap.
const BATCH: usize = 64 * 1024;

/// Where the bytes that a command prints go.
#[async_trait]
pub trait GuestOutput: Send {
    /// Takes the next bytes of one stream; returning late slows the guest down.
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]);
}

/// Keeps all that a command prints, up to a bound, to be read by a program.
#[derive(Debug)]
pub struct Capture {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    printed: u64,
    /// How much of each stream is kept; the rest is dropped.
    limit: usize,
}

impl Default for Capture {
    fn default() -> Self {
        Self::keeping(CAPTURE_LIMIT)
    }
}

impl Capture {
    /// Keeps at most `limit` bytes of each stream.
    pub fn keeping(limit: usize) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), printed: 0, limit }
    }

    /// How many bytes came, those that were dropped too.
    pub fn printed(&self) -> u64 {
        self.printed
    }
}

/// What [`Capture`] keeps of each stream where nobody says how much.
const CAPTURE_LIMIT: usize = 1024 * 1024;

#[async_trait]
impl GuestOutput for Capture {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        self.printed = self.printed.saturating_add(bytes.len() as u64);
        let room = self.limit.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Shows what a command prints, line by line. Call [`finish`](Self::finish) at its end.
#[derive(Debug)]
pub struct ShowLines {
    ui: Ui,
    stdout: Lines,
    stderr: Lines,
}

impl ShowLines {
    /// Shows lines through `ui`.
    pub fn new(ui: Ui) -> Self {
        let lines = || Lines::new(ui.redactor().clone());
        Self { stdout: lines(), stderr: lines(), ui }
    }

    /// Shows what is left of each stream's last line.
    pub async fn finish(mut self) {
        for (stream, lines) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            lines.end();
            if let Some(text) = lines.take() {
                self.ui.output(stream, text).await;
            }
        }
    }
}

#[async_trait]
impl GuestOutput for ShowLines {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        for part in bytes.chunks(BATCH) {
            lines.feed(part);
            if let Some(text) = lines.take() {
                self.ui.output(stream, text).await;
            }
        }
    }
}

/// `text` as one or more lines that cannot move the cursor, recolour, or ring: what a carriage
/// return would have overwritten is left out, escape sequences and control characters are
/// removed, and bytes that are no UTF-8 are replaced.
pub fn harmless(text: &[u8]) -> String {
    let mut lines = Lines::new(Redactor::default());
    lines.feed(text);
    lines.end();
    lines.take().unwrap_or_default()
}

/// Bytes of one stream → harmless lines. What is kept between two chunks is bounded, whatever the
/// guest prints.
#[derive(Debug)]
struct Lines {
    redactor: Redactor,
    /// Finished lines, each with its `\n`.
    done: String,
    /// The line that is being printed.
    line: String,
    /// Whether the line was cut already, so that its end is no empty line.
    cut: bool,
    /// Whether a carriage return waits to be either part of a line end or an overwriting.
    returned: bool,
    /// The start of a character whose rest has not come yet.
    partial: Vec<u8>,
    state: State,
}

/// Where in the terminal language the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Plain text.
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate character: one more belongs to it.
    EscapeIntermediate,
    /// A control sequence, up to its final character.
    Sequence,
    /// A string (a window title, …), up to BEL or ESC `\`.
    String,
    /// After an ESC within a string.
    StringEscape,
}

impl Lines {
    fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            done: String::new(),
            line: String::new(),
            cut: false,
            returned: false,
            partial: Vec::new(),
            state: State::Text,
        }
    }

    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]) {
        if self.partial.is_empty() {
            return self.decode(bytes);
        }
        let joined = [std::mem::take(&mut self.partial).as_slice(), bytes].concat();
        self.decode(&joined);
    }

    fn decode(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.text(chunk.valid());
            match chunk.invalid() {
                [] => {}
                // Its rest may come with the next bytes.
                invalid if ends_at(invalid, bytes) && invalid.len() < 4 && is_prefix(invalid) => {
                    self.partial = invalid.to_vec();
                }
                _ => self.text("\u{fffd}"),
            }
        }
    }

    fn text(&mut self, mut text: &str) {
        while !text.is_empty() {
            if self.state == State::Text {
                let plain = plain_length(text.as_bytes());
                // Where a special byte begins a longer character, the character goes with it.
                self.plain(&text[..plain]);
                text = &text[plain..];
            }
            let mut rest = text.chars();
            if let Some(next) = rest.next() {
                self.state = self.control(next);
            }
            text = rest.as_str();
        }
    }

    /// Adds a run of printable text.
    fn plain(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.returned) {
            self.line.clear();
        }
        self.line.push_str(text);
        if self.line.len() > LONGEST_LINE {
            self.cut_line();
        }
    }

    /// Finishes the start of a line that is too long, never in the middle of a secret.
    fn cut_line(&mut self) {
        let room = LONGEST_LINE + self.redactor.longest();
        while self.line.len() > room {
            let at = self.redactor.cut_near(&self.line, LONGEST_LINE);
            self.done.extend([&self.line[..at], "\n"]);
            self.line.drain(..at);
            self.cut = true;
        }
    }

    /// Takes a character that is more than plain text, or is within a sequence.
    fn control(&mut self, next: char) -> State {
        match (self.state, next) {
            (State::Text, '\n') => self.end_line(),
            (State::Text, '\r') => self.returned = true,
            (State::Text, '\u{9b}') => return State::Sequence,
            (State::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => return State::String,
            (State::Text, next) if !next.is_control() => self.plain(next.encode_utf8(&mut [0; 4])),
            (state, '\u{1b}') if state != State::String => return State::Escape,
            (State::Escape, '[') => return State::Sequence,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => return State::String,
            (State::Escape, ' '..='/') => return State::EscapeIntermediate,
            (State::Sequence, '\u{20}'..='\u{3f}') => return State::Sequence,
            (State::String, '\u{1b}') => return State::StringEscape,
            (State::String, '\u{7}' | '\u{9c}') | (State::StringEscape, '\\') => {}
            // A guest that never ends its string must not silence all that follows.
            (
                State::Escape
                | State::EscapeIntermediate
                | State::Sequence
                | State::String
                | State::StringEscape,
                '\n',
            ) => self.end_line(),
            (State::String | State::StringEscape, _) => return State::String,
            _ => {}
        }
        State::Text
    }

    fn end_line(&mut self) {
        self.returned = false;
        let cut = std::mem::take(&mut self.cut);
        if !(cut && self.line.is_empty()) {
            self.done.extend([self.line.trim_end(), "\n"]);
            self.line.clear();
        }
    }

    /// The stream is over: a line without end ends here.
    fn end(&mut self) {
        if !std::mem::take(&mut self.partial).is_empty() {
            self.plain("\u{fffd}");
        }
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    /// The lines that are finished, without the last `\n`.
    fn take(&mut self) -> Option<String> {
        let mut text = std::mem::take(&mut self.done);
        text.pop().map(|_| text)
    }
}

/// How many bytes come before the first special one; looked at in blocks, which is several times as
/// fast as one by one.
fn plain_length(bytes: &[u8]) -> usize {
    let has_special = |block: &&[u8]| block.iter().fold(false, |any, &byte| any | is_special(byte));
    let plain = bytes.chunks(32).take_while(|block| !has_special(block)).count() * 32;
    let rest = bytes.get(plain..).unwrap_or_default();
    plain.min(bytes.len()) + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

/// Whether `byte` is a control character other than a tab, or may begin one beyond ASCII.
fn is_special(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f || byte == 0xc2
}

/// Whether `part` is the end of `whole`.
fn ends_at(part: &[u8], whole: &[u8]) -> bool {
    part.as_ptr_range().end == whole.as_ptr_range().end
}

/// Whether `bytes` may be the start of one longer character.
fn is_prefix(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Message;

    #[test]
    fn escapes_carriage_returns_nuls_and_bad_bytes_become_plain_text() {
        assert_eq!(harmless(b"\x1b[31mred\x1b[0m and \x1b]0;title\x07plain"), "red and plain");
        assert_eq!(harmless(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(harmless(b"a\0b\x07c\xffd"), "abc\u{fffd}d");
        assert_eq!(harmless(b"tab\tstays  "), "tab\tstays");
        assert_eq!(harmless("\u{9b}2Jgone £5".as_bytes()), "gone £5");
        assert_eq!(harmless(b"\x1b(Bset\x1bPq#0\x1b\\ after\x1b7"), "set after");
        assert_eq!(harmless(b"open \x1b]0;never ended\nnext"), "open\nnext");
        assert_eq!(harmless(b"dos\r\nunix\n\nlast"), "dos\nunix\n\nlast");
    }

    #[test]
    fn how_the_bytes_are_cut_into_chunks_changes_nothing() {
        let text =
            "é \u{1b}[1;31mx\u{1b}[0m\r\n50%\r100%\r\n\u{1f980}\u{9b}5n end\u{1b}]2;t\u{1b}\\!";
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(b" \xf0\x9f\xa6");
        let whole = harmless(&bytes);
        assert_eq!(whole, "é x\n100%\n🦀 end! \u{fffd}");
        for size in 1..bytes.len() {
            let mut lines = Lines::new(Redactor::default());
            bytes.chunks(size).for_each(|chunk| lines.feed(chunk));
            lines.end();
            assert_eq!(lines.take().unwrap(), whole, "in chunks of {size}");
        }
    }

    async fn shown(redactor: Redactor, chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let (ui, mut said) = Ui::redacting(redactor);
        let mut show = ShowLines::new(ui);
        let mut texts = Vec::new();
        let mut collect = || {
            while let Ok(event) = said.try_recv() {
                if let Message::Output { text, .. } = event.message {
                    texts.extend(text.lines().map(str::to_owned));
                }
            }
        };
        for chunk in chunks {
            show.chunk(Stream::Stdout, &chunk).await;
            collect();
        }
        show.finish().await;
        collect();
        texts
    }

    #[tokio::test]
    async fn a_line_without_end_is_shown_in_pieces() {
        let lines = shown(Redactor::default(), [vec![b'x'; 3 * LONGEST_LINE + 1]]).await;
        assert_eq!(lines.iter().map(String::len).sum::<usize>(), 3 * LONGEST_LINE + 1);
        assert_eq!(lines.len(), 4);
    }

    #[tokio::test]
    async fn a_secret_anywhere_in_an_endless_line_is_hidden() {
        let redactor = Redactor::default();
        redactor.register("correct-horse");
        for before in LONGEST_LINE - 14..LONGEST_LINE + 2 {
            let mut line = vec![b'.'; before];
            line.extend(b"correct\x1b[0m-horse");
            line.extend(vec![b'.'; LONGEST_LINE]);
            let lines = shown(redactor.clone(), line.chunks(1000).map(<[u8]>::to_vec)).await;
            let text = lines.concat();
            assert!(text.contains("<sensitive>") && !text.contains("horse"), "after {before}");
        }
    }

    #[tokio::test]
    async fn a_progress_bar_without_line_ends_keeps_nothing() {
        let (ui, _said) = Ui::new();
        let mut show = ShowLines::new(ui);
        for _ in 0..10_000 {
            show.chunk(Stream::Stderr, b"downloading 42% [=======>          ]\r").await;
        }
        assert!(show.stderr.line.len() < 100 && show.stderr.done.is_empty());
    }
}
