//! What is known of each image, from wherever, as one row of a table.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::manifest::Entry;
use crate::component::PastImage;
use crate::fingerprint::{Brief, MadeFrom, Record};
use crate::guest::harmless;

/// The characters of a text that a file or a server gives.
const LONGEST: usize = 200;

/// An image that has been baked.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub build: String,
    pub id: String,
    pub region: String,
    pub made_at: Option<Timestamp>,
    pub size: Option<u64>,
    pub commit: String,
    pub channels: BTreeSet<String>,
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only AWS has channels"))]
    pub published_as: Vec<String>,
    pub is_tested: bool,
    /// Whether it is still there; `None` if nobody was asked.
    pub is_there: Option<bool>,
    made_from: Option<MadeFrom>,
    /// What is other than in the one before.
    pub changes: String,
}

/// A row, as programs read it. What is not known is null.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    build: &'a str,
    image: &'a str,
    region: Option<&'a str>,
    made_at: Option<String>,
    size_bytes: Option<u64>,
    is_there: Option<bool>,
    is_tested: Option<bool>,
    channels: &'a BTreeSet<String>,
    commit: Option<&'a str>,
    changes: Option<&'a str>,
}

/// What a manifest says of `build`, an image for each region.
pub(super) fn of_entry(build: &str, entry: &Entry) -> Vec<Row> {
    let row = Row {
        build: build.to_owned(),
        made_at: entry.made_at,
        commit: clean(&entry.commit),
        made_from: entry.made_from.clone(),
        ..Row::default()
    };
    let pairs = entry.id.split(',').map(|one| one.split_once(':'));
    let pairs: Option<Vec<_>> = pairs.collect();
    let is_ami = |(_, id): &(&str, &str)| id.starts_with("ami-");
    match pairs.filter(|pairs| pairs.iter().all(is_ami)) {
        Some(pairs) => {
            let of = |(region, id)| Row { id: clean(id), region: clean(region), ..row.clone() };
            pairs.into_iter().map(of).collect()
        }
        None => {
            let first = entry.files.first().map(|(name, _)| name.as_str());
            let sizes: Option<Vec<u64>> = entry.files.iter().map(|(_, size)| *size).collect();
            let size = sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.iter().sum());
            // Some builders call all that they make the same.
            let id = if entry.id.contains(':') { &entry.id } else { first.unwrap_or(&entry.id) };
            vec![Row { id: clean(id), size, ..row }]
        }
    }
}

/// Adds a row, unless it is of an image that is known, of which it may say more: a run in which nothing
/// had changed writes the image down once more, and it was made in the first.
pub(super) fn add(rows: &mut Vec<Row>, row: Row) {
    let mut same = rows.iter_mut().filter(|one| one.id == row.id && one.region == row.region);
    // An id of the cloud is there once; what is in a file is replaced by the next run.
    let known = match (row.region.is_empty(), &row.made_from) {
        (false, _) => same.next(),
        (true, Some(from)) => same.find(|one| one.made_from.as_ref() == Some(from)),
        // Of which of them it speaks is not known, if it does not say when.
        (true, None) if row.made_at.is_none() && same.next().is_some() => return,
        (true, None) => None,
    };
    let Some(known) = known else { return rows.push(row) };
    known.made_at = known.made_at.or(row.made_at);
    known.made_from = known.made_from.take().or(row.made_from);
    known.size = known.size.or(row.size);
    if known.commit.is_empty() {
        known.commit = row.commit;
    }
}

/// Adds what the build itself has found to what manifests say. What it has looked for and not found is not
/// there any more. `cwd` is where paths in manifests begin.
pub(super) fn join(build: &str, cwd: &Path, rows: &mut Vec<Row>, found: Vec<PastImage>) {
    for row in rows.iter_mut() {
        row.is_there = was_looked_for(row, cwd, &found).then_some(false);
    }
    for image in found {
        let (id, region) = (clean(&image.id), clean(&image.region));
        // The last one that was written down: those before it were replaced.
        let known = rows.iter().rposition(|row| row.id == id && row.region == region);
        let at = known.unwrap_or_else(|| {
            rows.push(Row { build: build.to_owned(), id, region, ..Row::default() });
            rows.len() - 1
        });
        let row = &mut rows[at];
        row.is_there = Some(true);
        row.made_at = row.made_at.or(image.made_at);
        row.size = image.size.or(row.size);
        row.is_tested = image.is_tested;
        row.published_as = image.published_as;
        row.made_from = row.made_from.take().or(image.made_from);
    }
}

/// Whether the build would have `found` the image of `row` if it were there. AMIs are looked for by their
/// ids. Of files and container images only the last one has a record, and post-processors make others
/// of it, under other names.
fn was_looked_for(row: &Row, cwd: &Path, found: &[PastImage]) -> bool {
    let is_found_by_id = || found.iter().any(|image| clean(&image.id) == row.id);
    let is_other = || found.iter().all(|image| image.made_from != row.made_from);
    let has_gone = || row.made_from.is_some() && is_other() && !cwd.join(&row.id).exists();
    !row.region.is_empty() || is_found_by_id() || has_gone()
}

/// Whether there are two of which is known what they were made from.
pub(super) fn can_be_compared(rows: &[Row]) -> bool {
    rows.iter().filter(|row| row.made_from.is_some()).nth(1).is_some()
}

/// Sorts the images of one build, the newest first, and says of each what has changed since the one
/// before. `now` knows the names of what the build is made from.
pub(super) fn compare(rows: &mut [Row], now: Option<&Record>) {
    // Of those of one second, manifests name the newest last.
    rows.reverse();
    rows.sort_by(|a, b| b.made_at.cmp(&a.made_at).then_with(|| a.region.cmp(&b.region)));
    let mut known: Vec<(Option<Timestamp>, MadeFrom)> = Vec::new();
    for row in rows.iter_mut().rev() {
        let Some(made_from) = &row.made_from else { continue };
        let before = known.iter().rev().find(|(_, before)| before.number != made_from.number);
        let is_first = known.is_empty();
        row.changes = match before {
            _ if is_first => String::new(),
            Some((_, before)) => changes(made_from, before, now),
            None => "nothing".to_owned(),
        };
        known.push((row.made_at, made_from.clone()));
    }
}

fn changes(made_from: &MadeFrom, before: &MadeFrom, now: Option<&Record>) -> String {
    if made_from.parts.is_empty() || before.parts.is_empty() {
        return "something".to_owned();
    }
    let brief = |of: &MadeFrom| Brief::parse([of.parts.as_str()]);
    let changes = brief(made_from).changes_since(&brief(before), now);
    if changes.is_empty() { "something".to_owned() } else { changes.join(", ") }
}

/// A text of somebody else, as it may be shown.
fn clean(text: &str) -> String {
    let text: String = text.chars().take(LONGEST).collect();
    harmless(text.as_bytes()).replace('\n', " ")
}

impl Row {
    /// Somebody else says from which commit it is.
    #[cfg(feature = "aws")]
    pub fn know_commit(&mut self, commit: &str) {
        self.commit = clean(commit);
    }

    /// The cells, as the heading names them.
    pub fn cells(&self) -> [String; 8] {
        let made_at = self.made_at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string());
        let there = match self.is_there {
            Some(false) => "gone",
            _ if self.is_tested => "tested",
            _ => "",
        };
        [
            made_at.unwrap_or_else(|| "?".to_owned()),
            self.build.clone(),
            self.id.clone(),
            self.region.clone(),
            self.size.map(size).unwrap_or_default(),
            there.to_owned(),
            self.all_channels(),
            self.note(),
        ]
    }

    /// What has changed, and of which commit it is.
    fn note(&self) -> String {
        let commit: String = self.commit.chars().take(12).collect();
        match (self.changes.as_str(), commit.as_str()) {
            ("", "") => String::new(),
            ("", commit) => format!("commit {commit}"),
            (changes, "") => changes.to_owned(),
            (changes, commit) => format!("{changes} (commit {commit})"),
        }
    }

    fn all_channels(&self) -> String {
        self.channels.iter().cloned().collect::<Vec<_>>().join(" ")
    }

    /// The same for programs: all of it, as it is.
    pub fn told(&self) -> Told<'_> {
        fn known(text: &str) -> Option<&str> {
            (!text.is_empty()).then_some(text)
        }
        Told {
            build: &self.build,
            image: &self.id,
            region: known(&self.region),
            made_at: self.made_at.map(|at| at.to_string()),
            size_bytes: self.size,
            is_there: self.is_there,
            is_tested: self.is_there.map(|_| self.is_tested),
            channels: &self.channels,
            commit: known(&self.commit),
            changes: known(&self.changes),
        }
    }

    /// The fields of its record, in that order but for the build.
    pub fn fields(&self) -> Vec<String> {
        let told = self.told();
        let flag = |value: Option<bool>| value.map(|value| value.to_string()).unwrap_or_default();
        vec![
            told.made_at.unwrap_or_default(),
            self.id.clone(),
            self.region.clone(),
            self.size.map(|size| size.to_string()).unwrap_or_default(),
            flag(told.is_there),
            flag(told.is_tested),
            self.all_channels(),
            self.commit.clone(),
            self.changes.clone(),
        ]
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(*unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}
