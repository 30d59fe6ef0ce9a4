//! The directory of journals: those in it that nobody holds are of runs that died, or that left
//! something behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::file::{self, EXTENSION, Place, Record, Writer};
use super::state::Change;
use super::{Book, Journal, Line, Shared, Thing};
use crate::peer::PeerName;

/// How long after its end the calls of a run may still take effect unseen.
const FRESH: Duration = Duration::from_secs(60);

/// A journal that was found.
#[derive(Debug)]
pub struct Found {
    /// The run that wrote it.
    pub run: String,
    path: PathBuf,
}

/// Whose a journal is.
#[derive(Debug)]
pub enum Holder {
    /// Its run is alive, or somebody else cleans up after it.
    Somebody,
    /// Ours, as long as we hold this.
    Us(Journal),
}

/// The journals in `dir`, the oldest first.
pub fn journals(dir: &Path) -> io::Result<Vec<Found>> {
    let files = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut found = Vec::new();
    for file in files {
        let path = file?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == EXTENSION);
        let Some(run) = path.file_stem().filter(|_| is_journal) else { continue };
        match PeerName::new(&run.to_string_lossy()) {
            Ok(run) => found.push(Found { run: run.as_str().to_owned(), path }),
            Err(error) => tracing::warn!(%error, "no run of ours is called so"),
        }
    }
    // A run's name begins with its time.
    found.sort_by(|one, other| one.run.cmp(&other.run));
    Ok(found)
}

impl Journal {
    /// The journals of dead runs beside this one that list anything that is `wanted`, or was before.
    /// Nobody else cleans up after those runs as long as this journal is there.
    pub fn of_dead(&self, wanted: impl Fn(&Thing) -> bool) -> Vec<Self> {
        let Some(place) = &self.0.place else { return Vec::new() };
        let mut held = self.0.dead.lock().unwrap_or_else(PoisonError::into_inner);
        // A journal that cannot be read is for whoever cleans up.
        for found in journals(&place.dir).unwrap_or_default() {
            let things = found.things().unwrap_or_default();
            if things.iter().any(|thing| wanted(thing))
                && let Ok(Holder::Us(journal)) = found.take_over()
            {
                held.push(journal);
            }
        }
        held.clone()
    }
}

impl Found {
    /// What the run has written down, if it is alive.
    pub fn of_living(&self) -> io::Result<Option<Vec<Arc<Thing>>>> {
        if Writer::take_over(&self.path)?.is_some() {
            return Ok(None);
        }
        self.things().map(Some)
    }

    /// All that the run has written down.
    fn things(&self) -> io::Result<Vec<Arc<Thing>>> {
        let records = file::read_all(&self.path)?.into_iter();
        let thing = |record| match record {
            Record::Intent { thing, .. } => Some(thing),
            _ => None,
        };
        Ok(records.filter_map(thing).collect())
    }

    /// Takes the journal over, unless somebody holds it.
    pub fn take_over(&self) -> io::Result<Holder> {
        let Some((file, records)) = Writer::take_over(&self.path)? else {
            return Ok(Holder::Somebody);
        };
        // A clock that was set back makes it fresh: that only costs time.
        let is_fresh = file.modified()?.elapsed().map_or(true, |age| age < FRESH);
        let mut book = Book { file: Some(file), ..Book::default() };
        records.into_iter().for_each(|record| book.replay(record));
        book.lines.values().filter(|_| is_fresh).for_each(|line| line.thing.doubt());
        let dir = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let place = Some(Place { dir, run: self.run.clone() });
        let book = Mutex::new(book);
        let shared = Shared { place, book, is_of_dead: true, ..Shared::default() };
        Ok(Holder::Us(Journal(Arc::new(shared))))
    }
}

/// What `text`, all of a journal, says: for whoever only looks.
///
/// # Errors
/// When it is no journal.
pub fn read(text: &[u8]) -> io::Result<Journal> {
    let mut book = Book::default();
    file::read(text)?.0.into_iter().for_each(|record| book.replay(record));
    let shared = Shared { book: Mutex::new(book), is_of_dead: true, ..Shared::default() };
    Ok(Journal(Arc::new(shared)))
}

impl Book {
    /// `change` happens to what of `entries` is not gone.
    fn change(&self, entries: &[u64], change: Change) {
        let line = |entry| self.lines.get(entry).or(self.products.get(entry));
        entries.iter().filter_map(line).for_each(|line| line.thing.change(change));
    }

    fn replay(&mut self, record: Record) {
        match record {
            Record::Imgbake { .. } => {}
            // A number is given once.
            Record::Intent { entry, .. } if self.has(entry) || entry > u64::MAX / 2 => {}
            Record::Intent { entry, build, thing } => {
                // Nobody knows whether the call was made.
                thing.attempt();
                self.next = self.next.max(entry + 1);
                self.insert(entry, Line::new(build, thing));
            }
            Record::Made { entry, id } => {
                if let Some(line) = self.lines.get(&entry).or(self.products.get(&entry)) {
                    let _known_before = !line.thing.learn(&id);
                }
            }
            Record::Gone { entry } => {
                self.change(&[entry], Change::Gone);
                self.lines.remove(&entry);
                self.products.remove(&entry);
            }
            Record::Kept { entries } => {
                for (entry, line) in &mut self.lines {
                    line.left_on_purpose |= entries.contains(entry);
                }
            }
            Record::KeptUntil { entry, until } => {
                self.set_until(entry, Timestamp::from_second(until).ok());
            }
            Record::Finished { entries } => {
                self.change(&entries, Change::Finished);
                self.move_to_products(&entries);
            }
            Record::Done { entries } => {
                self.change(&entries, Change::Done);
                self.move_to_products(&entries);
            }
        }
    }
}
