//! What fixers do with the options of a component.

use serde_json::{Map, Value};

/// The options of a component, by name.
pub(super) type Object = Map<String, Value>;

/// The option `key`, if it is a text.
pub(super) fn text<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// Whether there is an option `key` that is a text.
pub(super) fn is_text(object: &Object, key: &str) -> bool {
    object.get(key).is_some_and(Value::is_string)
}

/// Whether there is an option `key` that is true or false.
pub(super) fn is_bool(object: &Object, key: &str) -> bool {
    object.get(key).is_some_and(Value::is_boolean)
}

/// Takes the option `key` out if it is true or false.
pub(super) fn take_bool(object: &mut Object, key: &str) -> Option<bool> {
    let value = object.get(key)?.as_bool()?;
    object.remove(key);
    Some(value)
}

/// Takes the option `key` out if it is a text.
pub(super) fn take_text(object: &mut Object, key: &str) -> Option<String> {
    is_text(object, key).then(|| object.remove(key)).flatten().and_then(|value| match value {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// Sets an option, whether or not it was set.
pub(super) fn set(object: &mut Object, key: &str, value: impl Into<Value>) {
    object.insert(key.to_owned(), value.into());
}

/// Gives an option another name. It wins over one that has that name already.
pub(super) fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        set(object, to, value);
    }
}

/// Gives an option another name. One that has that name already wins.
pub(super) fn rename_unless_set(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.entry(to).or_insert(value);
    }
}

/// Gives a text another name. Where one has that name already, that one wins, and the other is
/// removed, text or not.
pub(super) fn rename_text_unless_set(object: &mut Object, from: &str, to: &str) {
    if is_text(object, from) || object.contains_key(to) {
        rename_unless_set(object, from, to);
    }
}

/// Takes the options `keys` out, under their names.
pub(super) fn take(object: &mut Object, keys: &[&str]) -> Object {
    keys.iter().filter_map(|key| object.remove_entry(*key)).collect()
}
