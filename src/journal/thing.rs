//! One thing that a run makes outside of us.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::state::{Change, State};

/// Something outside of us that a run makes. What is known of it grows while it is made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Thing {
    /// For people, e.g. `security group`.
    kind: String,
    /// What it is known by until its id is known: a name or a tag that we chose.
    name: String,
    /// Where, e.g. `us-east-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// Whether it is what the build is for: it stays if the build ends well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    product: bool,
    /// Whether people are told its name, though its id is known: the id says nothing to them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_name: bool,
    /// What whoever cleans up needs to find it, and to know that it is ours; never a credential.
    /// `None`: nobody could clean it up, and it is not written.
    #[serde(rename = "clue", skip_serializing_if = "Option::is_none")]
    details: Option<Json>,
    #[serde(skip)]
    id: OnceLock<String>,
    #[serde(skip)]
    entry: OnceLock<u64>,
    #[serde(skip)]
    progress: Progress,
}

/// What only the process knows that has the thing in its hands.
#[derive(Debug, Default)]
struct Progress {
    known_since: OnceLock<Instant>,
    tried: AtomicBool,
    doubtful: AtomicBool,
    state: Mutex<State>,
}

/// How long not everybody may know yet that something is there.
const NEW: Duration = Duration::from_secs(60);

impl Thing {
    /// A thing of this kind that will be known by `name`.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into(), ..Self::default() }
    }

    /// It will be there.
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// Whoever cleans up finds it by these details.
    pub fn with_details(self, details: Json) -> Self {
        Self { details: Some(details), ..self }
    }

    /// It is what the build is for.
    pub fn as_product(self) -> Self {
        Self { product: true, ..self }
    }

    /// People are told its name, and not its id.
    pub fn shown_by_name(self) -> Self {
        Self { by_name: true, ..self }
    }

    /// It exists already, and this is its id.
    pub fn known_as(self, id: impl Into<String>) -> Self {
        self.attempt();
        Self { id: OnceLock::from(id.into()), ..self }
    }

    /// See [`with_details`](Self::with_details).
    pub fn details(&self) -> Option<&Json> {
        self.details.as_ref()
    }

    /// Its id, once somebody has said it.
    pub fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    /// Whether its id became known only a moment ago.
    pub fn is_new(&self) -> bool {
        self.progress.known_since.get().is_some_and(|since| since.elapsed() < NEW)
    }

    /// See [`as_product`](Self::as_product).
    pub fn is_product(&self) -> bool {
        self.product
    }

    /// The call that makes it is about to be made.
    pub fn attempt(&self) {
        self.progress.tried.store(true, Ordering::Relaxed);
    }

    /// Whether there was a call that may have made it.
    pub fn is_attempted(&self) -> bool {
        self.progress.tried.load(Ordering::Relaxed)
    }

    /// A call that may have made it went unanswered: the thing may show only after a moment.
    pub fn doubt(&self) {
        self.progress.doubtful.store(true, Ordering::Relaxed);
    }

    /// See [`doubt`](Self::doubt).
    pub fn is_doubtful(&self) -> bool {
        self.progress.doubtful.load(Ordering::Relaxed)
    }

    /// Whether it is a product that nothing is missing of.
    pub fn is_finished(&self) -> bool {
        self.product && matches!(*self.state(), State::Finished | State::Done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.progress.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `change` happens to it. What cannot happen changes nothing: then it stays listed as it is,
    /// and is looked up.
    pub(super) fn change(&self, change: Change) {
        let mut state = self.state();
        match state.next(change, self.product) {
            Some(next) => *state = next,
            None => tracing::warn!(?state, ?change, "this cannot happen to {self}"),
        }
    }

    /// The same as its [display](fmt::Display), with its name where its id is known.
    pub fn in_full(&self) -> String {
        match self.id() {
            Some(_) if !self.by_name => harmless(&format!("{self} ({})", self.name)),
            _ => self.to_string(),
        }
    }

    /// Whether the build that made it ended well.
    pub fn is_of_done_build(&self) -> bool {
        *self.state() == State::Done
    }

    /// Its line in the journal, if it has one.
    pub(super) fn entry(&self) -> Option<u64> {
        self.entry.get().copied()
    }

    /// `entry` is its line from now on.
    pub(super) fn enter_as(&self, entry: u64) {
        // It has had none so far: `Journal::intend` sees to that.
        let _ = self.entry.set(entry);
    }

    /// Whether `id` is news.
    pub(super) fn learn(&self, id: &str) -> bool {
        self.progress.known_since.get_or_init(Instant::now);
        self.change(Change::Made);
        self.id.set(id.to_owned()).is_ok()
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            format!("{} {}", self.kind, self.id().filter(|_| !self.by_name).unwrap_or(&self.name));
        match &self.place {
            Some(place) => write!(f, "{} in {}", harmless(&text), harmless(place)),
            None => write!(f, "{}", harmless(&text)),
        }
    }
}

/// `text` as one line: anybody may have written it into a file.
pub(super) fn harmless(text: &str) -> String {
    text.replace(char::is_control, " ")
}
