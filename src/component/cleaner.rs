//! Who removes what dead runs have left.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::env::Environment;
use crate::event::Ui;
use crate::journal::{Entry, Journal, Thing};
use crate::secret::Redactor;

/// What a [`Cleaner`] works with.
#[derive(Clone, Debug)]
pub struct CleanupContext {
    /// Where credentials are looked for.
    pub environment: Arc<Environment>,
    /// Takes the secrets that turn up.
    pub redactor: Redactor,
    /// Where messages go.
    pub ui: Ui,
    /// Whether nothing is to be removed.
    pub dry_run: bool,
}

/// Removes what dead runs have left.
#[async_trait]
pub trait Cleaner: Send + Sync {
    /// Whether `thing` is on this cleaner's platform. It leaves all others alone.
    fn owns(&self, thing: &Thing) -> bool;

    /// What of `entries` is.
    fn own(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.retain(|entry| self.owns(&entry.thing));
        entries
    }

    /// Removes all that `journal` lists, in an order that works. What cannot be removed is stuck in
    /// the journal, with the reason.
    async fn clean(&self, journal: &Journal);

    /// Checks which finished products of a dead run still exist. They stay in `journal`; what somebody
    /// has removed goes from it.
    async fn keep(&self, journal: &Journal);

    /// What [`clean`](Self::clean) would remove. What cannot be looked up is stuck in the journal.
    async fn would_remove(&self, journal: &Journal) -> Vec<String>;

    /// What runs have left anywhere, whatever became of their journals.
    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>>;
}

/// What a [`Cleaner`] searches for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where; the place that the environment says if empty.
    pub places: Vec<String>,
    /// What builds have made that began before this moment.
    pub before: Timestamp,
    /// What runs have written down that are alive: what belongs to them is left alone.
    pub alive: Vec<Arc<Thing>>,
}
