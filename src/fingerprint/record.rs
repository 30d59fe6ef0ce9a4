//! A digest of each part that an image was made from: what travels with it.

use sha2::{Digest as _, Sha256};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This program.
    Program,
    /// A plugin, by its version.
    Plugin,
    /// An option of the builder.
    Option,
    /// An option that is about the image, and not about the machine that it is made of.
    Image,
    /// A provisioner.
    Provisioner,
    /// A test that the image has passed.
    Test,
    /// A file, or a directory.
    File,
    /// A variable of the environment.
    Variable,
    /// The image that it was made from.
    Source,
}

const KINDS: [(Kind, char); 9] = [
    (Kind::Program, 'v'),
    (Kind::Plugin, 'g'),
    (Kind::Option, 'o'),
    (Kind::Image, 'i'),
    (Kind::Provisioner, 'p'),
    (Kind::Test, 't'),
    (Kind::File, 'f'),
    (Kind::Variable, 'e'),
    (Kind::Source, 's'),
];

impl Kind {
    fn letter(self) -> char {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or('?', |(_, letter)| *letter)
    }

    fn of(letter: char) -> Option<Self> {
        KINDS.iter().find(|(_, one)| *one == letter).map(|(kind, _)| *kind)
    }

    /// What people call the part `name` of this kind.
    fn shown(self, name: &str) -> String {
        match self {
            Self::Program => "the version of imgbake".to_owned(),
            Self::Source => "the source image".to_owned(),
            Self::Plugin => format!("the version of {name}"),
            Self::Option | Self::Image => format!("`{name}`"),
            Self::Test => format!("the test `{name}`"),
            Self::Variable => format!("the variable {name}"),
            Self::Provisioner | Self::File => name.to_owned(),
        }
    }

    /// The same where only the kind is known.
    fn some(self) -> &'static str {
        match self {
            Self::Program => "the version of imgbake",
            Self::Plugin => "the version of a plugin",
            Self::Source => "the source image",
            Self::Option | Self::Image => "an option",
            Self::Test => "a test",
            Self::Variable => "a variable",
            Self::Provisioner => "a provisioner",
            Self::File => "a file",
        }
    }

    /// The same where it is not there any more.
    fn gone(self) -> &'static str {
        match self {
            Self::Program => "the version of imgbake",
            Self::Plugin => "a plugin that is not used any more",
            Self::Source => "the source image",
            Self::Option | Self::Image => "an option that is not given any more",
            Self::Test => "a test that is gone",
            Self::Variable => "a variable that is not used any more",
            Self::Provisioner => "a provisioner that is gone",
            Self::File => "a file that is not used any more",
        }
    }
}

/// What an image is made from, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    parts: Vec<Part>,
    number: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    kind: Kind,
    name: String,
    /// In hexadecimal digits.
    digest: String,
}

/// What stands of a [`Record`] beside an image, which has little room: names are not told, but known
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief(Vec<Part>);

/// The hexadecimal digits of a name and of a digest in a [`Brief`].
const NAME_DIGITS: usize = 4;
const DIGEST_DIGITS: usize = 8;
/// The characters of a part there.
const PART: usize = 1 + NAME_DIGITS + DIGEST_DIGITS;

impl Record {
    /// Of these parts: kind, name, digest.
    pub(super) fn new(parts: impl IntoIterator<Item = (Kind, String, String)>) -> Self {
        let parts = parts.into_iter().map(|(kind, name, digest)| Part { kind, name, digest });
        Self::of(parts.collect())
    }

    fn of(parts: Vec<Part>) -> Self {
        let mut digest = Sha256::new();
        for part in &parts {
            digest.update(format!(
                "{}{}:{}{}",
                part.kind.letter(),
                part.name.len(),
                part.name,
                part.digest
            ));
        }
        Self { parts, number: hex::encode(digest.finalize()) }
    }

    /// One number for all of it, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.number
    }

    /// This, made from the image `id`.
    pub fn with_source(&self, id: &str) -> Self {
        let source = Part {
            kind: Kind::Source,
            name: String::new(),
            digest: hex::encode(Sha256::digest(id)),
        };
        Self::of(self.parts.iter().cloned().chain([source]).collect())
    }

    /// What stands of it beside the image.
    pub fn brief(&self) -> Brief {
        Brief(self.parts.iter().map(Part::brief).collect())
    }

    /// What is different from `older`, in words; empty if nothing is.
    pub fn changes_since(&self, older: &Brief) -> Vec<String> {
        changes(&self.named(), older)
    }

    /// Its parts in brief, with their names.
    fn named(&self) -> Vec<Named<'_>> {
        self.parts.iter().map(|part| (part.brief(), Some(part.name.as_str()))).collect()
    }
}

/// A part in brief, with its name where that is known.
type Named<'a> = (Part, Option<&'a str>);

/// What is different in `own` from `older`, in words; empty if nothing is.
fn changes(own: &[Named<'_>], older: &Brief) -> Vec<String> {
    let mut changes = Vec::new();
    for (kind, _) in KINDS {
        let own: Vec<_> = own.iter().filter(|(part, _)| part.kind == kind).collect();
        match kind {
            Kind::Provisioner => changed_provisioners(&own, older, &mut changes),
            kind => changed(kind, &own, older, &mut changes),
        }
    }
    changes
}

/// Parts that are known by their names.
fn changed(kind: Kind, own: &[&Named<'_>], older: &Brief, changes: &mut Vec<String>) {
    for (_, name) in own.iter().filter(|(part, _)| !older.0.contains(part)) {
        let shown = name.map_or_else(|| kind.some().to_owned(), |name| kind.shown(name));
        // Two provisioners may read one file.
        if !changes.contains(&shown) {
            changes.push(shown);
        }
    }
    let mut old = older.0.iter().filter(|part| part.kind == kind);
    if old.any(|old| own.iter().all(|(part, _)| part.name != old.name)) {
        changes.push(kind.gone().to_owned());
    }
}

/// Provisioners are known by their places.
fn changed_provisioners(own: &[&Named<'_>], older: &Brief, changes: &mut Vec<String>) {
    let new: Vec<&str> = own.iter().map(|(part, _)| part.digest.as_str()).collect();
    let old = older.0.iter().filter(|part| part.kind == Kind::Provisioner);
    let old: Vec<&str> = old.map(|part| part.digest.as_str()).collect();
    let (mut sorted_new, mut sorted_old) = (new.clone(), old.clone());
    sorted_new.sort_unstable();
    sorted_old.sort_unstable();
    if new != old && sorted_new == sorted_old {
        changes.push("the order of the provisioners".to_owned());
        return;
    }
    let shown = |at: usize| {
        let name = own[at].1.map(|name| format!(" ({name})")).unwrap_or_default();
        format!("provisioner {}{name}", at + 1)
    };
    for change in capture_diff_slices(Algorithm::Myers, &old, &new) {
        match change {
            DiffOp::Equal { .. } => {}
            DiffOp::Delete { .. } => changes.push(Kind::Provisioner.gone().to_owned()),
            DiffOp::Insert { new_index, new_len, .. }
            | DiffOp::Replace { new_index, new_len, .. } => {
                changes.extend((new_index..new_index + new_len).map(shown));
            }
        }
    }
}

impl Part {
    fn brief(&self) -> Self {
        let name = hex::encode(Sha256::digest(&self.name));
        Self {
            kind: self.kind,
            name: name.chars().take(NAME_DIGITS).collect(),
            digest: self.digest.chars().take(DIGEST_DIGITS).collect(),
        }
    }

    /// Reads a part of a brief record.
    fn parse(text: &str) -> Option<Self> {
        let kind = Kind::of(text.chars().next()?)?;
        let name = text.get(1..=NAME_DIGITS)?;
        let digest = text.get(1 + NAME_DIGITS..).filter(|digest| digest.len() == DIGEST_DIGITS)?;
        Some(Self { kind, name: name.to_owned(), digest: digest.to_owned() })
    }
}

impl Brief {
    /// What is different from `older`, in words. `now` knows what parts are called that are still there;
    /// of others, only the kind is known.
    pub fn changes_since(&self, older: &Self, now: Option<&Record>) -> Vec<String> {
        let known = now.map(Record::named).unwrap_or_default();
        let name = |part: &Part| {
            let is_it = |(other, _): &&Named<'_>| {
                // Provisioners of one type have one name.
                let is_same = part.kind != Kind::Provisioner || other.digest == part.digest;
                (other.kind, &other.name) == (part.kind, &part.name) && is_same
            };
            known.iter().find(is_it).and_then(|(_, name)| *name)
        };
        let own = self.0.iter().map(|part| (part.clone(), name(part)));
        changes(&own.collect::<Vec<_>>(), older)
    }

    /// As texts of at most `longest` characters.
    pub fn to_texts(&self, longest: usize) -> Vec<String> {
        let text = |part: &Part| format!("{}{}{}", part.kind.letter(), part.name, part.digest);
        let chunks = self.0.chunks((longest / PART).max(1));
        chunks.map(|parts| parts.iter().map(text).collect()).collect()
    }

    /// Reads such texts; what is no part is left out.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let parts = texts.into_iter().flat_map(|text| text.as_bytes().chunks(PART));
        Self(parts.filter_map(|part| Part::parse(std::str::from_utf8(part).ok()?)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(parts: &[(Kind, &str, &str)]) -> Record {
        let digest = |text: &str| hex::encode(Sha256::digest(text));
        Record::new(parts.iter().map(|&(kind, name, text)| (kind, name.to_owned(), digest(text))))
    }

    const OLD: [(Kind, &str, &str); 6] = [
        (Kind::Program, "imgbake", "1"),
        (Kind::Option, "instance_type", "t3.micro"),
        (Kind::Option, "region", "us-east-1"),
        (Kind::Provisioner, "shell", "one"),
        (Kind::Provisioner, "file", "two"),
        (Kind::File, "setup.sh", "three"),
    ];
    const PLUGIN: (Kind, &str, &str) = (Kind::Plugin, "github.com/acme/fake", "1.0.0");
    const TEST: (Kind, &str, &str) = (Kind::Test, "boot-test", "four");

    /// What is said to have changed after `change`.
    fn changes(change: impl FnOnce(&mut Vec<(Kind, &'static str, &'static str)>)) -> Vec<String> {
        let mut new = OLD.to_vec();
        change(&mut new);
        let old = record(&OLD).with_source("ami-1").brief().to_texts(50);
        record(&new)
            .with_source("ami-1")
            .changes_since(&Brief::parse(old.iter().map(String::as_str)))
    }

    #[test]
    fn two_images_are_compared_though_names_do_not_travel() {
        let now = record(&OLD);
        let changed = |change: fn(&mut Vec<(Kind, &'static str, &'static str)>)| {
            let mut old = OLD.to_vec();
            change(&mut old);
            let old = record(&old).brief();
            let known = now.brief().changes_since(&old, Some(&now));
            (known, now.brief().changes_since(&old, None))
        };
        let both = |known: &[&str], unknown: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            (owned(known), owned(unknown))
        };
        assert_eq!(changed(|_| ()), both(&[], &[]));
        assert_eq!(
            changed(|old| old[1].2 = "t3.large"),
            both(&["`instance_type`"], &["an option"])
        );
        assert_eq!(
            changed(|old| old[4].2 = "2"),
            both(&["provisioner 2 (file)"], &["provisioner 2"])
        );
        let order = ["the order of the provisioners"];
        assert_eq!(changed(|old| old.swap(3, 4)), both(&order, &order));
        let gone = "a file that is not used any more";
        assert_eq!(changed(|old| old[5].1 = "b.sh"), both(&["setup.sh", gone], &["a file", gone]));
    }

    #[test]
    fn exactly_what_has_changed_is_named() {
        assert_eq!(changes(|_| ()), Vec::<String>::new());
        assert_eq!(changes(|new| new[0].2 = "2"), ["the version of imgbake"]);
        assert_eq!(changes(|new| new[1].2 = "t3.large"), ["`instance_type`"]);
        assert_eq!(changes(|new| _ = new.remove(1)), ["an option that is not given any more"]);
        assert_eq!(changes(|new| new.swap(3, 4)), ["the order of the provisioners"]);
        assert_eq!(changes(|new| new[4].2 = "2"), ["provisioner 2 (file)"]);
        assert_eq!(changes(|new| _ = new.remove(3)), ["a provisioner that is gone"]);
        assert_eq!(
            changes(|new| new.insert(3, (Kind::Provisioner, "sleep", "zero"))),
            ["provisioner 1 (sleep)"]
        );
        assert_eq!(changes(|new| new[5].2 = "other"), ["setup.sh"]);
        assert_eq!(
            changes(|new| new[5].1 = "start.sh"),
            ["start.sh", "a file that is not used any more"]
        );
        assert_eq!(changes(|new| new.push(PLUGIN)), ["the version of github.com/acme/fake"]);
        assert_eq!(changes(|new| new.push(TEST)), ["the test `boot-test`"]);
        let source = record(&OLD).with_source("ami-2");
        let old = record(&OLD).with_source("ami-1");
        assert_eq!(source.changes_since(&old.brief()), ["the source image"]);
        assert_ne!(source.digest(), old.digest());
    }

    #[test]
    fn a_brief_record_survives_the_way_there_and_back() {
        let brief = record(&OLD).brief();
        let texts = brief.to_texts(256);
        assert!(texts.iter().all(|text| text.len() <= 256));
        assert_eq!(Brief::parse(texts.iter().map(String::as_str)), brief);
        assert_eq!(Brief::parse(["nonsense", "", "ü"]), Brief::default());
    }
}
