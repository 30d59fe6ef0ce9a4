//! What exists outside of us because of a run: on disk *before* the call that makes it, so that
//! even a run that was killed can be cleaned up after.
//!
//! ```text
//! intended ──▶ made ──▶ finished ──▶ done
//!     └──────────┴──────────┴──────────┴──▶ gone
//! ```
//!
//! - intended: written before the call; nobody knows yet whether the call was made
//! - made: its id is known
//! - finished: a product, and complete. `imgbake cleanup` leaves it unless it is told otherwise
//! - done: its build ended well, so its products stay
//! - gone: removed, or never made
//!
//! A state may be skipped; `state` has the table. What `-on-error=abort` leaves is marked `kept`.
//!
//! A run that ends prints its products and deletes its journal, if nothing is left to remove. A run
//! that dies leaves its journal, and its products can be read from there.
//!
//! A [`Journal`] is what the living run sees of it; [`store`] is the directory where the journals
//! of dead runs are found again. Neither knows what the things are: who makes them leaves details
//! for whoever has to find them.

mod file;
mod state;
pub mod store;
#[cfg(test)]
mod tests;
mod thing;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use self::file::{Place, Record, Writer};
use self::state::Change;
pub use self::thing::Thing;
use self::thing::harmless;

/// The journal of one run. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Where the file is made as soon as there is something to write; `None`: nothing is written.
    place: Option<Place>,
    book: Mutex<Book>,
    /// Whether the run that wrote it is dead.
    is_of_dead: bool,
    /// Whether nothing more is written.
    is_frozen: AtomicBool,
    /// See [`Journal::of_dead`].
    dead: Mutex<Vec<Journal>>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// All that was ever written down, be it gone or not.
    written: Vec<Entry>,
    /// What is not settled yet, the oldest first.
    lines: BTreeMap<u64, Line>,
    /// What builds were for that ended well, or were about to.
    products: BTreeMap<u64, Line>,
    /// See [`Journal::take_left_on_purpose`].
    left: Vec<Line>,
    file: Option<Writer>,
}

#[derive(Clone, Debug)]
struct Line {
    build: String,
    thing: Arc<Thing>,
    stuck: Option<String>,
    /// Whether it was left on purpose.
    left_on_purpose: bool,
    /// Until when it stays, for a later run to go on with.
    reserved_until: Option<Timestamp>,
}

impl Line {
    fn new(build: String, thing: Arc<Thing>) -> Self {
        Self { build, thing, stuck: None, left_on_purpose: false, reserved_until: None }
    }

    fn entry(&self) -> Entry {
        Entry { build: self.build.clone(), thing: self.thing.clone() }
    }

    fn text(&self) -> String {
        format!("{}: {}", harmless(&self.build), self.thing)
    }

    /// Whether nobody has tried to remove it, or said how long it stays.
    fn is_untouched(&self) -> bool {
        self.stuck.is_none() && self.reserved_until.is_none()
    }

    /// It, with the time that it may stay.
    fn text_until(&self) -> Option<String> {
        Some(format!("{}, until {}", self.text(), self.reserved_until?))
    }
}

/// A line of the journal, for whoever cleans up.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The build that made it.
    pub build: String,
    /// What it is.
    pub thing: Arc<Thing>,
}

impl Journal {
    /// The journal of the run `run`, in `dir` as soon as there is something to write down.
    pub fn in_dir(dir: &Path, run: &str) -> Self {
        let place = Some(Place { dir: dir.to_owned(), run: run.to_owned() });
        Self(Arc::new(Shared { place, ..Shared::default() }))
    }

    /// Nothing is written from now on, whatever is found out.
    pub fn freeze(&self) {
        self.0.is_frozen.store(true, Ordering::Relaxed);
    }

    /// See [`freeze`](Self::freeze).
    pub fn is_frozen(&self) -> bool {
        self.0.is_frozen.load(Ordering::Relaxed)
    }

    /// The file to write to.
    fn file(&self) -> Option<Writer> {
        self.book().file.clone().filter(|_| !self.is_frozen())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `things` of `build` are about to be made. When this returns, they are on the disk.
    ///
    /// # Errors
    /// When they cannot be written: then they must not be made.
    pub async fn intend(&self, build: &str, mut things: Vec<Arc<Thing>>) -> io::Result<()> {
        things.retain(|thing| thing.entry().is_none());
        if self.0.place.is_none() || things.iter().all(|thing| thing.details().is_none()) {
            things.into_iter().for_each(|thing| self.insert(build, thing));
            return Ok(());
        }
        let (journal, build) = (self.clone(), build.to_owned());
        blocking(move || {
            let file = journal.write_intents(&build, things)?;
            // Outside of the lock: builds that run at the same time do not wait for each other.
            file.sync()
        })
        .await
    }

    /// `thing` of `build` is there. Only this run knows it: nothing is written.
    pub fn insert(&self, build: &str, thing: Arc<Thing>) {
        self.book().enter(build, thing);
    }

    fn write_intents(&self, build: &str, things: Vec<Arc<Thing>>) -> io::Result<Writer> {
        let mut book = self.book();
        let file = match (&book.file, &self.0.place) {
            (Some(file), _) => file.clone(),
            (None, Some(place)) => Writer::create(place)?,
            (None, None) => return Err(io::Error::other("there is no place for a journal")),
        };
        book.file = Some(file.clone());
        let mut records = Vec::new();
        for (entry, thing) in (book.next..).zip(&things) {
            if thing.details().is_some() {
                records.push(Record::Intent {
                    entry,
                    build: build.to_owned(),
                    thing: thing.clone(),
                });
                records.extend(thing.id().map(|id| Record::Made { entry, id: id.to_owned() }));
            }
        }
        file.append(&records)?;
        things.into_iter().for_each(|thing| book.enter(build, thing));
        Ok(file)
    }

    /// `thing` is there, and this is its id.
    pub fn made(&self, thing: &Thing, id: &str) {
        if thing.learn(id) {
            self.write(thing, |entry| Record::Made { entry, id: id.to_owned() });
        }
    }

    /// `thing` is not there any more, or never came to be. Nobody says so of the products of a run
    /// that is alive: they stay.
    pub fn gone(&self, thing: &Thing) {
        let is_listed = |entry: u64| {
            let book = self.book();
            book.lines.contains_key(&entry) || self.0.is_of_dead && book.has(entry)
        };
        if let Some(entry) = thing.entry()
            && is_listed(entry)
        {
            self.write(thing, |entry| Record::Gone { entry });
            thing.change(Change::Gone);
            let mut book = self.book();
            book.lines.remove(&entry);
            book.products.remove(&entry);
        }
    }

    /// `thing` stays until then, for a later run to go on with: nobody cleans it up before. When this
    /// returns, that is on the disk.
    pub async fn reserve_until(&self, thing: &Thing, until: Timestamp) -> io::Result<()> {
        let Some(entry) = thing.entry() else { return Ok(()) };
        self.write_down(Record::KeptUntil { entry, until: until.as_second() }).await?;
        self.book().set_until(entry, Some(until));
        Ok(())
    }

    /// `thing` does not stay after all.
    pub fn release(&self, thing: &Thing) {
        if let Some(entry) = thing.entry() {
            self.write(thing, |entry| Record::KeptUntil { entry, until: 0 });
            self.book().set_until(entry, None);
        }
    }

    /// See [`reserve_until`](Self::reserve_until).
    pub fn is_reserved(&self, thing: &Thing) -> bool {
        let book = self.book();
        let line = thing.entry().and_then(|entry| book.lines.get(&entry));
        line.is_some_and(|line| line.reserved_until.is_some())
    }

    /// All that stays for a later run to go on with, and until when.
    pub fn reserved(&self) -> Vec<String> {
        self.book().lines.values().filter_map(Line::text_until).collect()
    }

    /// Takes what stays beyond `now` for a later run to go on with out of what is there to remove; it
    /// stays in the file. What that is.
    pub fn take_reserved(&self, now: Timestamp) -> Vec<String> {
        let mut book = self.book();
        let left = book.leave(|line| line.reserved_until.is_some_and(|until| until > now));
        left.iter().filter_map(Line::text_until).collect()
    }

    /// `thing` could not be removed. The disk need not know: there it is not gone, which is enough.
    pub fn mark_failed(&self, thing: &Thing, why: impl Into<String>) {
        let mut book = self.book();
        if let Some(line) = thing.entry().and_then(|entry| book.lines.get_mut(&entry)) {
            line.stuck = Some(why.into());
        }
    }

    /// What came of the removal of `thing`: it is gone, or stuck.
    pub fn removed(&self, thing: &Thing, removed: &anyhow::Result<()>) {
        match removed {
            Ok(()) => self.gone(thing),
            Err(error) => self.mark_failed(thing, format!("{error:#}")),
        }
    }

    /// Nothing more is done for `build`: all of it that still exists could not be removed.
    pub fn fail_rest(&self, build: &str, why: &str) {
        for line in self.book().lines.values_mut().filter(|line| line.build == build) {
            line.stuck.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Forgets that `thing` could not be removed: somebody else can.
    pub fn clear_failure(&self, thing: &Thing) {
        let mut book = self.book();
        if let Some(line) = thing.entry().and_then(|entry| book.lines.get_mut(&entry)) {
            line.stuck = None;
        }
    }

    /// Writes that `build`'s products are complete: after a crash, cleanup leaves them. In this process
    /// nothing changes, because the run may still fail and remove them.
    pub async fn finished(&self, build: &str) -> io::Result<()> {
        let is_finished =
            |line: &Line| line.build == build && line.thing.is_product() && line.stuck.is_none();
        let entries = {
            let book = self.book();
            let finished = book.lines.iter().filter(|(_, line)| is_finished(line));
            finished.map(|(entry, _)| *entry).collect()
        };
        self.write_down(Record::Finished { entries }).await
    }

    /// Writes that the build of `things` ended well. Its products are no longer listed for removal. When
    /// this returns, that is on the disk, for all of them or for none.
    pub async fn done(&self, things: &[Arc<Thing>]) -> io::Result<()> {
        let entries: Vec<u64> = things.iter().filter_map(|thing| thing.entry()).collect();
        things.iter().for_each(|thing| thing.change(Change::Done));
        self.book().move_to_products(&entries);
        self.write_down(Record::Done { entries }).await
    }

    /// Writes `record`, if there is a file, and waits until it is on the disk.
    async fn write_down(&self, record: Record) -> io::Result<()> {
        let Some(file) = self.file() else { return Ok(()) };
        blocking(move || {
            file.append(&[record])?;
            file.sync()
        })
        .await
    }

    /// Writes what need not be on the disk at once: if it is lost, the thing is looked up.
    fn write(&self, thing: &Thing, record: impl FnOnce(u64) -> Record) {
        let file = self.file();
        if let (Some(file), Some(entry), true) = (file, thing.entry(), thing.details().is_some())
            && let Err(error) = file.append(&[record(entry)])
        {
            tracing::warn!(%error, "the journal cannot be written");
        }
    }

    /// All that still exists, the oldest first.
    pub fn entry_texts(&self) -> Vec<String> {
        self.book().lines.values().map(Line::text).collect()
    }

    /// All that builds which ended well have made to stay.
    pub fn product_texts(&self) -> Vec<String> {
        self.book().products.values().map(Line::text).collect()
    }

    /// What still exists, for whoever cleans up.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().lines.values().map(Line::entry).collect()
    }

    /// All that `build` has ever written down, be it gone or not.
    pub fn of_build(&self, build: &str) -> Vec<Arc<Thing>> {
        let book = self.book();
        let written = book.written.iter().filter(|entry| entry.build == build);
        written.map(|entry| entry.thing.clone()).collect()
    }

    /// The products of a run that died before it could say what they are.
    pub fn product_entries(&self) -> Vec<Entry> {
        self.book().products.values().map(Line::entry).collect()
    }

    /// Nobody wants the products of the dead run: they are to be removed like all else.
    pub fn give_up_products(&self) {
        let mut book = self.book();
        let mut products = std::mem::take(&mut book.products);
        book.lines.append(&mut products);
    }

    /// All that nobody has tried to remove: `-on-error=abort` leaves it.
    pub fn untouched(&self) -> Vec<String> {
        let book = self.book();
        book.lines.values().filter(|line| line.is_untouched()).map(Line::text).collect()
    }

    /// All that nobody has tried to remove stays on purpose: who only cleans up after accidents leaves
    /// it alone.
    pub fn leave_untouched(&self) {
        let mut book = self.book();
        let untouched = book.lines.iter_mut().filter(|(_, line)| line.is_untouched());
        let mark = |(entry, line): (&u64, &mut Line)| {
            line.left_on_purpose = true;
            *entry
        };
        let entries: Vec<u64> = untouched.map(mark).collect();
        if let Some(file) = &book.file
            && let Err(error) = file.append(&[Record::Kept { entries }])
        {
            tracing::warn!(%error, "the journal does not say what was left on purpose");
        }
    }

    /// Stops listing what was kept on purpose, so that nobody removes it; it stays in the file. Returns
    /// it as texts.
    pub fn take_left_on_purpose(&self) -> Vec<String> {
        let mut book = self.book();
        book.leave(|line| line.left_on_purpose);
        book.left.iter().map(Line::text).collect()
    }

    /// All that could not be removed, and why.
    pub fn left_behind(&self) -> Vec<String> {
        let book = self.book();
        let stuck = |line: &Line| Some(format!("{} ({})", line.text(), line.stuck.as_ref()?));
        book.lines.values().filter_map(stuck).collect()
    }

    /// Ends the journal. Deletes the file if nothing in it is left to remove; otherwise returns the run's
    /// name, for `imgbake cleanup`. What a dead run has finished stays listed, too.
    pub fn close(&self) -> Option<String> {
        let book = self.book();
        if book.lines.values().any(|line| line.thing.details().is_some()) {
            return self.0.run(&book);
        }
        let is_listed = self.0.is_of_dead && !book.products.is_empty() || !book.left.is_empty();
        book.file.iter().filter(|_| !is_listed).for_each(Writer::remove);
        None
    }

    /// The run's name for `imgbake cleanup`; `None` if nothing was written.
    pub fn run_to_clean_up(&self) -> Option<String> {
        self.0.run(&self.book())
    }
}

impl Shared {
    fn run(&self, book: &Book) -> Option<String> {
        self.place.as_ref().filter(|_| book.file.is_some()).map(|place| place.run.clone())
    }
}

impl Book {
    fn has(&self, entry: u64) -> bool {
        self.lines.contains_key(&entry) || self.products.contains_key(&entry)
    }

    fn set_until(&mut self, entry: u64, until: Option<Timestamp>) {
        if let Some(line) = self.lines.get_mut(&entry) {
            line.reserved_until = until;
        }
    }

    /// What `stays` is not there to remove any more: that.
    fn leave(&mut self, stays: impl Fn(&Line) -> bool) -> Vec<Line> {
        let all = std::mem::take(&mut self.lines);
        let (left, others): (BTreeMap<_, _>, _) = all.into_iter().partition(|one| stays(&one.1));
        self.lines = others;
        let left: Vec<_> = left.into_values().collect();
        self.left.extend(left.iter().cloned());
        left
    }

    /// Those of `entries` that are products are nobody's garbage.
    fn move_to_products(&mut self, entries: &[u64]) {
        for entry in entries {
            let is_product = |line: &Line| line.thing.is_product();
            if self.lines.get(entry).is_some_and(is_product)
                && let Some(line) = self.lines.remove(entry)
            {
                self.products.insert(*entry, line);
            }
        }
    }

    fn enter(&mut self, build: &str, thing: Arc<Thing>) {
        let entry = self.next;
        self.next += 1;
        self.insert(entry, Line::new(build.to_owned(), thing));
    }

    fn insert(&mut self, entry: u64, line: Line) {
        line.thing.enter_as(entry);
        self.written.push(line.entry());
        self.lines.insert(entry, line);
    }
}

/// Runs what waits for the disk where nobody else has to wait for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cut_off| Err(io::Error::other(cut_off)))
}
