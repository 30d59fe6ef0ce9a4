//! What an image says of what it was made from, wherever that stands: tags, a label, a file.

use serde::{Deserialize, Serialize};

use super::record::{Brief, Record};

/// Which build made an image, and from what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFrom {
    /// The build.
    pub build: String,
    /// What it was made from, as [one number](Record::digest).
    pub number: String,
    /// The same part by part, as a [`Brief`] is written; empty where that was too long.
    #[serde(default)]
    pub parts: String,
}

impl MadeFrom {
    /// What an image of `build` says that is made from `record` now, where `most` characters are the
    /// most that may tell of its parts.
    pub fn new(build: &str, record: &Record, most: usize) -> Self {
        let parts = record.brief().to_texts(usize::MAX).concat();
        // With some of them only, all others would seem to be new.
        let parts = if parts.len() > most { String::new() } else { parts };
        Self { build: build.to_owned(), number: record.digest().to_owned(), parts }
    }

    /// What is different in `record`, in words; `None` if nothing is.
    pub fn changes(&self, record: &Record) -> Option<String> {
        if self.number == record.digest() {
            return None;
        }
        if self.parts.is_empty() {
            return Some("something".to_owned());
        }
        let changes = record.changes_since(&Brief::parse([self.parts.as_str()]));
        Some(match changes.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => "something that has no name".to_owned(),
        })
    }
}
