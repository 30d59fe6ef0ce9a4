//! The machine's serial console: written to the log, kept to be shown when a build fails, and waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::sync::Notify;

use crate::guest::harmless;

/// How much of the console is kept.
const KEPT_BYTES: usize = 64 * 1024;
/// How much of it goes into the log.
const MOST_LOGGED: u64 = 16 << 20;
/// A longer line goes into the log in pieces.
const LONGEST_LOGGED: usize = 4096;

/// What a machine printed on its serial console lately. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Console(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// Told whenever something was printed.
    news: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// How many bytes there were in all.
    printed: u64,
    /// How many of them somebody has waited for already.
    heard: u64,
}

impl Console {
    /// Keeps what the machine that connects to `listener` prints, until it hangs up. The log calls the
    /// machine `name`.
    pub async fn record(self, listener: UnixListener, name: String) {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut log = Log { name, line: Vec::new(), logged: 0 };
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            self.keep(&buffer[..read]);
            log.write(&buffer[..read]);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept();
        kept.bytes.extend(bytes);
        kept.printed += bytes.len() as u64;
        let surplus = kept.bytes.len().saturating_sub(KEPT_BYTES);
        kept.bytes.drain(..surplus);
        drop(kept);
        self.0.news.notify_waiters();
    }

    /// How many bytes were printed.
    pub fn printed_so_far(&self) -> u64 {
        self.kept().printed
    }

    /// Waits until `text` was printed: after what was waited for before, if anything was. What moves the
    /// cursor or colours the text is no part of it.
    pub async fn printed(&self, text: &str) {
        loop {
            let mut news = std::pin::pin!(self.0.news.notified());
            // From here on nothing is missed.
            news.as_mut().enable();
            if self.kept().hear(text) {
                return;
            }
            news.await;
        }
    }

    /// The last lines, at most `count`, made harmless; empty lines are left out.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let bytes = Vec::from(self.kept().bytes.clone());
        let mut lines: Vec<_> = bytes
            .rsplit(|&byte| byte == b'\n')
            .map(harmless)
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .collect();
        lines.reverse();
        lines
    }
}

impl Kept {
    /// Whether `text` is in what nobody has waited for yet; then all up to its end has been.
    fn hear(&mut self, text: &str) -> bool {
        let first = self.printed - self.bytes.len() as u64;
        let skipped = usize::try_from(self.heard.saturating_sub(first)).unwrap_or(usize::MAX);
        let (plain, ends) = plain(self.bytes.iter().copied().skip(skipped));
        let mut windows = plain.windows(text.len().max(1));
        let Some(at) = windows.position(|window| window == text.as_bytes()) else { return false };
        self.heard = first.max(self.heard) + ends[at + text.len() - 1] as u64;
        true
    }
}

/// `bytes` without control characters and the sequences of terminals; and where each that is left ends.
fn plain(bytes: impl Iterator<Item = u8>) -> (Vec<u8>, Vec<usize>) {
    let (mut plain, mut ends) = (Vec::new(), Vec::new());
    // Whether within a sequence, and whether within one that takes numbers.
    let (mut escape, mut numbers) = (false, false);
    for (at, byte) in bytes.enumerate() {
        match byte {
            0x1b => (escape, numbers) = (true, false),
            b'[' if escape && !numbers => numbers = true,
            0x20..=0x3f if escape => {}
            _ if escape => escape = false,
            b'\n' | 0x20.. if byte != 0x7f => {
                plain.push(byte);
                ends.push(at + 1);
            }
            _ => {}
        }
    }
    (plain, ends)
}

/// Writes whole lines into the log.
struct Log {
    name: String,
    line: Vec<u8>,
    logged: u64,
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.logged >= MOST_LOGGED {
                return;
            }
            self.line.extend(part);
            if part.ends_with(b"\n") || self.line.len() > LONGEST_LOGGED {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.logged += line.len() as u64;
        let shown = harmless(&line);
        if !shown.trim().is_empty() {
            tracing::info!(machine = self.name, "console: {shown}");
        }
        if self.logged >= MOST_LOGGED {
            tracing::info!(machine = self.name, "console: the rest of it is not logged");
        }
    }
}

/// The last line often has no end: a prompt.
impl Drop for Log {
    fn drop(&mut self) {
        if self.logged < MOST_LOGGED {
            self.end_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_harmless() {
        let console = Console::default();
        for number in 0..20_000 {
            console.keep(format!("\x1b[1mline {number}\x1b[0m\r\n\r\n").as_bytes());
        }
        assert_eq!(console.last_lines(2), ["line 19998", "line 19999"]);
        assert!(console.kept().bytes.len() <= KEPT_BYTES);
    }

    #[tokio::test]
    async fn a_text_is_waited_for_whatever_colours_it() {
        let console = Console::default();
        console.keep(b"\x1b[2J\x1b[1;1Hpress \x1b[31ma\x1b[0m key\r\nlog");
        console.printed("press a key").await;
        let waiting = tokio::spawn({
            let console = console.clone();
            async move { console.printed("login: ").await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        console.keep(b"in: ");
        waiting.await.unwrap();
    }

    #[test]
    fn what_was_waited_for_is_not_found_again() {
        let console = Console::default();
        console.keep(b"one two one");
        let heard = |text: &str| console.kept().hear(text);
        assert!(heard("one") && heard("one") && !heard("one"));
        assert!(!heard("two"), "it came before");
        console.keep(&[b'x'; 2 * KEPT_BYTES]);
        console.keep(b"two");
        assert!(heard("two") && !heard("two"));
    }
}
