//! Two inventories → what has changed.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{Ecosystem, Inventory};
use crate::event::PackageChange;

/// What people know a package by. One may be there in several versions (kernels), and for several
/// processors.
type Versions<'a> = BTreeMap<(&'a str, Ecosystem), BTreeSet<&'a str>>;

/// What is new, then what is there in another version, then what is gone; each by name.
pub fn difference(before: &Inventory, now: &Inventory) -> Vec<PackageChange> {
    let (before, now) = (versions(before), versions(now));
    let (mut new, mut other, mut gone) = <(Vec<_>, Vec<_>, Vec<_>)>::default();
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for key in names {
        let (was, is) = (before.get(key), now.get(key));
        if was == is {
            continue;
        }
        let change = PackageChange { name: called(*key), before: was.map(text), now: is.map(text) };
        match (was, is) {
            (None, _) => new.push(change),
            (_, None) => gone.push(change),
            _ => other.push(change),
        }
    }
    [new, other, gone].concat()
}

fn versions(inventory: &Inventory) -> Versions<'_> {
    let mut versions = Versions::new();
    for package in &inventory.packages {
        let key = (package.name.as_str(), package.ecosystem);
        versions.entry(key).or_default().insert(&package.version);
    }
    versions
}

fn text(versions: &BTreeSet<&str>) -> String {
    versions.iter().copied().collect::<Vec<_>>().join(", ")
}

/// A system has one list of packages of its own, and others beside it.
fn called((name, ecosystem): (&str, Ecosystem)) -> String {
    match ecosystem {
        Ecosystem::PyPi => format!("{name} (pip)"),
        Ecosystem::Npm => format!("{name} (npm)"),
        _ => name.to_owned(),
    }
}
