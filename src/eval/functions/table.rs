//! All functions by name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{
    Available, Function, collection, control, crypto, csv, encoding, filesystem, format, json,
    list, map, network, number, regex, service, set, string, time, yaml,
};

const FAMILIES: &[&[Function]] = &[
    collection::FUNCTIONS,
    control::FUNCTIONS,
    crypto::FUNCTIONS,
    csv::FUNCTIONS,
    encoding::FUNCTIONS,
    filesystem::FUNCTIONS,
    format::FUNCTIONS,
    json::FUNCTIONS,
    list::FUNCTIONS,
    map::FUNCTIONS,
    network::FUNCTIONS,
    number::FUNCTIONS,
    regex::FUNCTIONS,
    service::FUNCTIONS,
    set::FUNCTIONS,
    string::FUNCTIONS,
    time::FUNCTIONS,
    yaml::FUNCTIONS,
];

fn table() -> &'static BTreeMap<&'static str, Function> {
    static TABLE: OnceLock<BTreeMap<&'static str, Function>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let all = FAMILIES.iter().flat_map(|family| family.iter());
        all.map(|function| (function.name, *function)).collect()
    })
}

fn is_available(name: &str, available: Available) -> bool {
    match available {
        Available::Nothing => false,
        Available::Env => name == "env",
        Available::All => name != "env",
        Available::InTemplateFile => name != "env" && name != "templatefile",
    }
}

/// The function `name`, if it may be called.
pub fn find(name: &str, available: Available) -> Option<&'static Function> {
    table().get(name).filter(|_| is_available(name, available))
}

/// The names of all functions that may be called, sorted.
pub fn names(available: Available) -> impl Iterator<Item = &'static str> {
    table().keys().copied().filter(move |name| is_available(name, available))
}
