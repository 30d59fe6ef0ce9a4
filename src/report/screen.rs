//! The two streams of the process, and what is about to be written to them.

use std::io::{self, Write};

use super::progress::ProgressBars;

/// Collects what is to be shown and writes it in one go.
///
/// A stream that was closed by its reader is forgotten: nobody who looks away ends a build.
pub(super) struct Screen {
    out: Sink,
    err: Sink,
    /// Bars under the text, on a terminal.
    pub bars: ProgressBars,
}

/// One stream.
struct Sink {
    stream: Box<dyn Write + Send>,
    pending: String,
    /// Why it takes nothing more.
    failed: Option<io::Error>,
}

/// When so much is pending, it is written before more is rendered.
const FULL: usize = 64 * 1024;

impl Screen {
    /// Writes to these streams.
    pub fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, bars: ProgressBars) -> Self {
        let sink = |stream| Sink { stream, pending: String::new(), failed: None };
        Self { out: sink(out), err: sink(err), bars }
    }

    /// What is pending for standard output; add whole lines.
    pub fn out(&mut self) -> &mut String {
        &mut self.out.pending
    }

    /// Adds to standard error, after all that was said before.
    pub fn err(&mut self, text: &str) {
        self.err.pending.push_str(text);
        self.flush();
    }

    /// Whether it is time to write.
    pub fn is_full(&self) -> bool {
        self.out.pending.len() >= FULL
    }

    /// Whether standard output took all that was written so far.
    pub fn into_written(self) -> io::Result<()> {
        self.out.failed.map_or(Ok(()), Err)
    }

    /// Writes all that is pending.
    pub fn flush(&mut self) {
        let (out, err) = (&mut self.out, &mut self.err);
        if out.pending.is_empty() && err.pending.is_empty() {
            return;
        }
        self.bars.aside(|| {
            out.flush();
            err.flush();
        });
    }
}

impl Sink {
    fn flush(&mut self) {
        if self.failed.is_none() && !self.pending.is_empty() {
            self.failed = self.write_all().err();
        }
        self.pending.clear();
        // A single huge text must not be held for the rest of the run.
        self.pending.shrink_to(4 * FULL);
    }

    /// A stream that somebody else made non-blocking is waited for.
    fn write_all(&mut self) -> io::Result<()> {
        let mut rest = self.pending.as_bytes();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_a_moment(),
                Err(error) => return Err(error),
            }
        }
        self.stream.flush()
    }
}

#[expect(clippy::disallowed_methods, reason = "the reporter's own thread has nothing else to do")]
fn wait_a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}
