//! The page of a run: one HTML file that needs nothing else, made from the machine-readable log.
//!
//! ```text
//! log ──▶ line::Record ──▶ run::Run ──▶ html ──▶ the page
//! ```
//!
//! Texts come from machines and servers, and the log may be anybody's. So none of them gets into the
//! page but as a text: [`maud`] escapes all that it is given. The page has no script and no link, and
//! its policy allows its own style sheet and pictures that are in it, and nothing else.
//!
//! | file | what is there |
//! |---|---|
//! | `line` | a line of the log, taken apart |
//! | `run`, `build` | what the log tells |
//! | `excerpt`, `room` | how much of it is kept |
//! | `html`, `section`, `bars` | how it looks |
//! | `span` | how long the run was, and what took how long |
//! | `picture` | the pictures of screens that are shown |

mod bars;
mod build;
mod excerpt;
mod html;
mod line;
mod picture;
mod room;
mod run;
mod section;
mod span;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use self::picture::Shelf;
pub use self::run::Run;
use crate::whole_file::WholeFile;

/// A page is never larger, in bytes: it can be attached, mailed, and opened at once.
pub const LARGEST: usize = 1_000_000;

/// How much is told; the less, the shorter.
#[derive(Clone, Copy, Debug)]
struct Detail {
    /// Lines of each part.
    lines: usize,
    /// Those of a part that failed.
    lines_of_failed: usize,
    /// Rows of tables and lists.
    rows: usize,
    /// Bytes of pictures.
    pictures: usize,
}

/// The last one has no place for what a log says: it always fits.
const DETAILS: [Detail; 9] = [
    Detail { lines: 1000, lines_of_failed: 1000, rows: 1000, pictures: 400_000 },
    Detail { lines: 400, lines_of_failed: 800, rows: 1000, pictures: 400_000 },
    Detail { lines: 150, lines_of_failed: 500, rows: 500, pictures: 300_000 },
    Detail { lines: 60, lines_of_failed: 200, rows: 300, pictures: 200_000 },
    Detail { lines: 25, lines_of_failed: 100, rows: 200, pictures: 100_000 },
    Detail { lines: 10, lines_of_failed: 40, rows: 100, pictures: 0 },
    Detail { lines: 0, lines_of_failed: 10, rows: 50, pictures: 0 },
    Detail { lines: 0, lines_of_failed: 0, rows: 20, pictures: 0 },
    Detail { lines: 0, lines_of_failed: 0, rows: 0, pictures: 0 },
];

/// The page of `run`, with the pictures that are below `dir`. It tells as much as fits.
pub fn page(run: &Run, dir: &Path) -> String {
    let mut shelf = Shelf::of(dir);
    let pages = DETAILS.iter().map(|detail| html::page(run, &mut shelf, *detail));
    let mut last = String::new();
    for page in pages {
        last = page;
        if last.len() <= LARGEST {
            break;
        }
    }
    last
}

/// A run that is kept for its page while it goes on.
pub type Recorder = Arc<Mutex<Run>>;

/// A page in the making. Its file appears when it is whole.
#[derive(Debug)]
pub struct Draft {
    file: WholeFile,
    shown: String,
}

impl Draft {
    /// A page that will be at `path`, seen from `dir`.
    ///
    /// # Errors
    /// If nothing can be written there: that is known before the run begins.
    pub fn create(dir: &Path, path: &Path) -> anyhow::Result<Self> {
        let to = dir.join(path);
        let shown = path.display().to_string();
        let wrong = || format!("{shown} cannot be written");
        if to.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(wrong);
        }
        let file = WholeFile::create(&to, 0o644).with_context(wrong)?;
        Ok(Self { file, shown })
    }

    /// Writes the page of `run`, with the pictures that are below `dir`.
    ///
    /// # Errors
    /// If that is not possible: then nothing is left of it.
    pub fn write(self, run: &Run, dir: &Path) -> anyhow::Result<()> {
        let Self { file, shown } = self;
        let written = file.file().write_all(page(run, dir).as_bytes());
        written.and_then(|()| file.appear()).with_context(|| format!("{shown} cannot be written"))
    }

    /// The same of a run that has ended, and was kept.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_recorded(self, kept: &Recorder, dir: &Path) -> anyhow::Result<()> {
        let mut run = kept.lock().unwrap_or_else(PoisonError::into_inner);
        run.end();
        self.write(&run, dir)
    }
}
