//! Telling how far a transfer is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Message, Progress, Ui};

/// Reports are at least this far apart.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Counts the bytes of one transfer, whichever stream they go through. What it counted is reported
/// for the last time when it is dropped.
#[derive(Debug)]
pub(super) struct Counter {
    ui: Ui,
    what: String,
    total: Option<u64>,
    done: AtomicU64,
    reported: Mutex<Instant>,
}

impl Counter {
    pub(super) fn new(ui: &Ui, what: impl Into<String>, total: Option<u64>) -> Self {
        Self {
            ui: ui.clone(),
            what: what.into(),
            total,
            done: AtomicU64::new(0),
            reported: Mutex::new(Instant::now()),
        }
    }

    /// `bytes` more were done.
    pub(super) fn add(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.elapsed() >= BETWEEN_REPORTS {
            *reported = Instant::now();
            self.report(done, false);
        }
    }

    fn report(&self, done: u64, finished: bool) {
        let what = self.what.clone();
        self.ui.send(Message::Progress(Progress { what, done, total: self.total, finished }));
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.report(self.done.load(Ordering::Relaxed), true);
    }
}
