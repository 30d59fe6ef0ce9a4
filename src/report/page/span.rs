//! The time of a run, and how long things took.

use std::time::Duration;

use jiff::Timestamp;

use super::build::Build;
use super::run::Run;
use crate::report::words;

/// What is known of the time of a run.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Span {
    pub fn of(run: &Run) -> Self {
        let starts = run.builds.values().filter_map(Build::from).chain(run.from);
        let ends = run.builds.values().filter_map(|build| Some(build.end.as_ref()?.at));
        let from = starts.min().unwrap_or_default();
        Self { from, until: ends.chain(run.until).max().unwrap_or(from) }
    }
}

/// How long something took.
pub(super) fn took(took: Duration) -> String {
    match took {
        took if took.is_zero() => "0 s".to_owned(),
        took if took < Duration::from_secs(10) => format!("{:.1} s", took.as_secs_f64()),
        took => words::short(took),
    }
}
