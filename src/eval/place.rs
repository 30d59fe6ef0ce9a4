//! The root names besides `var` and `local`: where the program runs, and what it builds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::UNKNOWN;
use crate::env::PACKER_VERSION;
use crate::interpolate::BUILD_DATA;

use super::Place;
use super::expr::Roots;
use super::functions::Host;
use super::types::Type;
use super::value::{Data, Value};

/// `path` and `packer`.
pub fn set_fixed(roots: &mut Roots, host: &Host) {
    let dir = match host.dir.to_string_lossy() {
        dir if dir.is_empty() => ".".into(),
        dir => dir,
    };
    let cwd = host.environment.cwd.to_string_lossy();
    let path = Value::object([("cwd", Value::string(cwd)), ("root", Value::string(dir))]);
    roots.set("path", path);
    let unknown = || Data::Unknown(Type::String).public();
    let packer = Value::object([
        ("version", Value::string(PACKER_VERSION)),
        ("iterationID", unknown()),
        ("versionFingerprint", unknown()),
    ]);
    roots.set("packer", packer);
}

/// `source` and `build` at `place`.
pub fn set(roots: &mut Roots, place: &Place<'_>) {
    let text = |text: Option<&str>| match text {
        Some(text) => Value::string(text),
        None => Data::Unknown(Type::String).public(),
    };
    let source = Value::object([
        ("type", text(place.source.map(|(kind, _)| kind))),
        ("name", text(place.source.map(|(_, name)| name))),
    ]);
    roots.set("source", source);
    roots.set("build", build(place));
}

fn build(place: &Place<'_>) -> Value {
    if place.build_name.is_none() && place.build_data.is_none() {
        return Data::Unknown(Type::Object(Arc::default())).public();
    }
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let generated = place.generated.iter().map(String::as_str);
    for name in BUILD_DATA.iter().copied().chain(generated) {
        entries.insert(name.into(), Value::string(UNKNOWN));
    }
    for (name, value) in place.build_data.into_iter().flatten() {
        entries.insert(name.as_str().into(), from_json(value));
    }
    entries.insert("name".into(), Value::string(place.build_name.unwrap_or_default()));
    Value::object(entries)
}

/// Data as an expression sees it.
pub fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::NULL,
        serde_json::Value::Bool(known) => (*known).into(),
        serde_json::Value::Number(number) => {
            super::number::Number::parse(&number.to_string()).map_or(Value::NULL, Value::from)
        }
        serde_json::Value::String(text) => Value::string(text),
        serde_json::Value::Array(items) => Value::tuple(items.iter().map(from_json)),
        serde_json::Value::Object(entries) => {
            Value::object(entries.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}
