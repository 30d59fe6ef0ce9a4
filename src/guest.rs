//! What guests and child processes print is hostile text: here it becomes lines that are safe to
//! show.

use async_trait::async_trait;

use crate::event::{Stream, Ui};

/// A line longer than this is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Where the bytes that a command prints go.
#[async_trait]
pub trait GuestOutput: Send {
    /// Takes the next bytes of one stream; returning late slows the guest down.
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]);
}

/// Keeps all that a command prints, up to a bound, to be read by a program.
#[derive(Debug, Default)]
pub struct Capture {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// What [`Capture`] keeps of each stream; the rest is dropped.
const CAPTURE_LIMIT: usize = 1024 * 1024;

#[async_trait]
impl GuestOutput for Capture {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = CAPTURE_LIMIT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Shows what a command prints, line by line. Call [`finish`](Self::finish) at its end.
#[derive(Debug)]
pub struct ShowLines {
    ui: Ui,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl ShowLines {
    /// Shows lines through `ui`.
    pub fn new(ui: Ui) -> Self {
        Self { ui, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Shows what is left of each stream's last line.
    pub async fn finish(mut self) {
        for (stream, rest) in [
            (Stream::Stdout, std::mem::take(&mut self.stdout)),
            (Stream::Stderr, std::mem::take(&mut self.stderr)),
        ] {
            if !rest.is_empty() {
                self.ui.output(stream, harmless(&rest)).await;
            }
        }
    }
}

#[async_trait]
impl GuestOutput for ShowLines {
    async fn chunk(&mut self, stream: Stream, mut bytes: &[u8]) {
        let pending = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            pending.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(pending);
            for piece in pieces(&line) {
                self.ui.output(stream, harmless(piece)).await;
            }
        }
        pending.extend_from_slice(bytes);
        while pending.len() > LONGEST_LINE {
            let rest = pending.split_off(LONGEST_LINE);
            let piece = std::mem::replace(pending, rest);
            self.ui.output(stream, harmless(&piece)).await;
        }
    }
}

/// `line` in pieces of at most [`LONGEST_LINE`]; an empty line is one empty piece.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = line.is_empty().then_some(line);
    empty.into_iter().chain(line.chunks(LONGEST_LINE))
}

/// `line` as text that cannot move the cursor, recolour, or ring: what a carriage return would
/// have overwritten is left out, escape sequences and control characters are removed, and bytes
/// that are no UTF-8 are replaced.
pub fn harmless(line: &[u8]) -> String {
    let line = line.trim_ascii_end();
    let visible = line.rsplit(|&byte| byte == b'\r').next().unwrap_or(line);
    let text = String::from_utf8_lossy(visible);
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\t' => shown.push('\t'),
            control if control.is_control() => {}
            plain => shown.push(plain),
        }
    }
    shown
}

/// Drops what follows ESC: a control sequence, a string up to its terminator, or one character.
fn skip_escape(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => skip_control_sequence(rest),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut before = ' ';
            for next in rest.by_ref() {
                if next == '\u{7}' || (before == '\u{1b}' && next == '\\') {
                    break;
                }
                before = next;
            }
        }
        Some(' '..='/') => {
            rest.next();
        }
        _ => {}
    }
}

fn skip_control_sequence(rest: &mut std::str::Chars<'_>) {
    for next in rest.by_ref() {
        if ('\u{40}'..='\u{7e}').contains(&next) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_carriage_returns_nuls_and_bad_bytes_become_plain_text() {
        assert_eq!(harmless(b"\x1b[31mred\x1b[0m and \x1b]0;title\x07plain"), "red and plain");
        assert_eq!(harmless(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(harmless(b"a\0b\x07c\xffd"), "abc\u{fffd}d");
        assert_eq!(harmless(b"tab\tstays  "), "tab\tstays");
        assert_eq!(harmless("\u{9b}2Jgone".as_bytes()), "gone");
    }

    #[tokio::test]
    async fn a_line_without_end_is_shown_in_pieces() {
        let (ui, mut said) = Ui::new();
        let mut lines = ShowLines::new(ui);
        lines.chunk(Stream::Stdout, &vec![b'x'; 3 * LONGEST_LINE + 1]).await;
        lines.finish().await;
        let mut count = 0;
        while said.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 4);
    }
}
