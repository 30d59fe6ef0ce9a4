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
    async fn check_products(&self, journal: &Journal);

    /// What [`clean`](Self::clean) would remove. What cannot be looked up is stuck in the journal.
    async fn would_remove(&self, journal: &Journal) -> Vec<String>;

    /// What runs have left anywhere, whatever became of their journals.
    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>>;
}

/// A platform whose things are looked at one after the other. That makes it a [`Cleaner`].
#[async_trait]
pub trait OneByOne: Send + Sync {
    /// What is needed to remove a thing that is there.
    type Found: Send;

    /// What it works with.
    fn context(&self) -> &CleanupContext;

    /// Whether `thing` is on this platform.
    fn has(&self, thing: &Thing) -> bool;

    /// In which order things go; that in which they were made, if it does not matter.
    fn in_order(&self, entries: Vec<Entry>) -> Vec<Entry> {
        entries
    }

    /// Looks for `thing`; `None` if it is not there any more.
    async fn find(&self, thing: &Thing) -> anyhow::Result<Option<Self::Found>>;

    /// How people know `thing`, which was `found`.
    fn describe(&self, thing: &Thing, _found: &Self::Found) -> String {
        thing.to_string()
    }

    /// Removes what was `found` to be the thing of `entry`.
    async fn remove(&self, entry: &Entry, found: Self::Found) -> anyhow::Result<()>;

    /// What runs have left anywhere, where that can be told from what is of people.
    async fn search_all(&self, _wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl<P: OneByOne> Cleaner for P {
    fn owns(&self, thing: &Thing) -> bool {
        self.has(thing)
    }

    async fn clean(&self, journal: &Journal) {
        for entry in self.in_order(self.own(journal.entries())) {
            let removed = match self.find(&entry.thing).await {
                Ok(Some(found)) => self.remove(&entry, found).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            journal.removed(&entry.thing, &removed);
        }
    }

    async fn check_products(&self, journal: &Journal) {
        for entry in self.own(journal.product_entries()) {
            match self.find(&entry.thing).await {
                Ok(Some(_)) => {}
                Ok(None) => journal.gone(&entry.thing),
                Err(error) => {
                    let ui = &self.context().ui;
                    ui.error(format!("{}: {} ({error:#})", entry.build, entry.thing));
                }
            }
        }
    }

    async fn would_remove(&self, journal: &Journal) -> Vec<String> {
        let mut there = Vec::new();
        for entry in self.in_order(self.own(journal.entries())) {
            match self.find(&entry.thing).await {
                Ok(Some(found)) => {
                    let thing = self.describe(&entry.thing, &found);
                    there.push(format!("{}: {thing}", entry.build));
                }
                Ok(None) => {}
                Err(error) => journal.mark_failed(&entry.thing, format!("{error:#}")),
            }
        }
        there
    }

    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        self.search_all(wanted).await
    }
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
