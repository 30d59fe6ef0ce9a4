//! The book of what exists outside of us because of this run, so that whatever ends it can say what
//! is left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// What exists outside of us because of this run. Clones share one book.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    lines: BTreeMap<u64, Line>,
}

struct Line {
    build: String,
    what: Box<dyn Fn() -> String + Send + Sync>,
    stuck: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.build, (self.what)())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.stuck)
    }
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `what` of `build` exists from now on. It is asked anew each time that it is told: ids come
    /// to be known only while things are made.
    pub fn enter(&self, build: &str, what: impl Fn() -> String + Send + Sync + 'static) -> Entry {
        let mut book = self.book();
        let id = book.next;
        book.next += 1;
        let line = Line { build: build.to_owned(), what: Box::new(what), stuck: None };
        book.lines.insert(id, line);
        Entry(id)
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
        self.book().lines.values().map(Line::to_string).collect()
    }

    /// All that nobody has tried to remove: `-on-error=abort` leaves it.
    pub fn untouched(&self) -> Vec<String> {
        let book = self.book();
        let untouched = book.lines.values().filter(|line| line.stuck.is_none());
        untouched.map(Line::to_string).collect()
    }

    /// All that could not be removed, and why.
    pub fn left_behind(&self) -> Vec<String> {
        let book = self.book();
        let stuck = |line: &Line| Some(format!("{line} ({})", line.stuck.as_ref()?));
        book.lines.values().filter_map(stuck).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    #[test]
    fn what_could_not_be_removed_is_said_with_its_reason() {
        let ledger = Ledger::default();
        let id = Arc::new(OnceLock::new());
        let known = id.clone();
        let group = ledger
            .enter("web", move || format!("security group {}", known.get().unwrap_or(&"packer_1")));
        let key = ledger.enter("web", || "key pair packer_1".to_owned());
        ledger.gone(&key);
        assert_eq!(ledger.present(), ["web: security group packer_1"]);
        id.set("sg-1").unwrap();
        assert_eq!(ledger.present(), ["web: security group sg-1"]);
        assert!(ledger.left_behind().is_empty());
        ledger.stuck(&group, "in use");
        assert_eq!(ledger.left_behind(), ["web: security group sg-1 (in use)"]);
    }
}
