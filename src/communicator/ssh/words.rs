//! What a server says to people: banners, and why it ends a connection. And what we say of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Ui;

/// Why nothing of ours can be run.
pub(super) const NO_SHELL: &str = "the machine runs no POSIX shell for us";
/// What is shown of one text.
const LONGEST: usize = 4096;
/// How many different texts of one server are shown.
const MOST: usize = 16;

/// The words of one server, over all connections to it.
#[derive(Debug)]
pub(super) struct Words {
    ui: Ui,
    host: String,
    shown: Mutex<BTreeSet<String>>,
    goodbye: Mutex<Option<String>>,
}

impl Words {
    /// Those of the server `host` are shown through `ui`.
    pub(super) fn new(ui: Ui, host: String) -> Self {
        Self { ui, host, shown: Mutex::default(), goodbye: Mutex::default() }
    }

    /// Shows a text of the server, once.
    pub(super) fn banner(&self, text: &str) {
        let text = harmless(text);
        if !text.is_empty() {
            self.once(format!("{} says: {text}", self.host));
        }
    }

    /// Says something of the server, once.
    pub(super) fn once(&self, text: String) {
        let mut shown = lock(&self.shown);
        if shown.len() < MOST && shown.insert(text.clone()) {
            self.ui.say(text);
        }
    }

    /// The server ended a connection with these words.
    pub(super) fn goodbye(&self, text: &str) {
        tracing::info!("{} ended the connection: {}", self.host, harmless(text));
        *lock(&self.goodbye) = Some(harmless(text)).filter(|text| !text.is_empty());
    }

    /// How it last ended a connection, once.
    pub(super) fn last_goodbye(&self) -> Option<String> {
        lock(&self.goodbye).take()
    }
}

/// What was `said` where an answer was expected, as the end of a sentence.
pub(super) fn it_says(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it says: {said}") }
}

/// `text`, cut and without control characters.
pub(super) fn harmless(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    crate::guest::harmless(text.trim().as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
