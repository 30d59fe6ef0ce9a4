//! The book of what exists outside of us because of this run, so that whatever ends it can say what
//! is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What exists outside of us because of this run. Clones share one book.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    lines: BTreeMap<u64, Line>,
}

#[derive(Debug)]
struct Line {
    what: String,
    stuck: Option<String>,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `what` of `build` exists from now on.
    pub fn enter(&self, build: &str, what: impl AsRef<str>) -> Entry {
        let mut book = self.book();
        let id = book.next;
        book.next += 1;
        let what = format!("{build}: {}", what.as_ref());
        book.lines.insert(id, Line { what, stuck: None });
        Entry(id)
    }

    /// More is known of it now, e.g. its id.
    pub fn amend(&self, entry: &Entry, build: &str, what: impl AsRef<str>) {
        if let Some(line) = self.book().lines.get_mut(&entry.0) {
            line.what = format!("{build}: {}", what.as_ref());
        }
    }

    /// It is gone.
    pub fn gone(&self, entry: &Entry) {
        self.book().lines.remove(&entry.0);
    }

    /// It could not be removed.
    pub fn stuck(&self, entry: &Entry, why: impl Into<String>) {
        if let Some(line) = self.book().lines.get_mut(&entry.0) {
            line.stuck = Some(why.into());
        }
    }

    /// All that still exists, the oldest first.
    pub fn present(&self) -> Vec<String> {
        self.book().lines.values().map(|line| line.what.clone()).collect()
    }

    /// All that nobody has tried to remove: `-on-error=abort` leaves it.
    pub fn untouched(&self) -> Vec<String> {
        let book = self.book();
        let untouched = book.lines.values().filter(|line| line.stuck.is_none());
        untouched.map(|line| line.what.clone()).collect()
    }

    /// All that could not be removed, and why.
    pub fn left_behind(&self) -> Vec<String> {
        let book = self.book();
        let stuck = |line: &Line| Some(format!("{} ({})", line.what, line.stuck.as_ref()?));
        book.lines.values().filter_map(stuck).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_removed_is_said_with_its_reason() {
        let ledger = Ledger::default();
        let group = ledger.enter("web", "security group packer_1");
        let key = ledger.enter("web", "key pair packer_1");
        ledger.gone(&key);
        ledger.amend(&group, "web", "security group sg-1");
        assert_eq!(ledger.present(), ["web: security group sg-1"]);
        assert!(ledger.left_behind().is_empty());
        ledger.stuck(&group, "in use");
        assert_eq!(ledger.left_behind(), ["web: security group sg-1 (in use)"]);
    }
}
