//! What values are to the language: true or not, how they print, what messages call them.

use serde_json::Value;

use crate::budget::Budget;

/// What a value costs to copy or to go through.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => Budget::of_text(text.len()),
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| Budget::of_text(key.len()) + weight(value);
            1 + entries.iter().map(entry).sum::<usize>()
        }
        _ => 1,
    }
}

/// Whether `{{if}}` takes `value` for true: anything but false, zero and the empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

/// The text of a value, as `%v` has it.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => print_float(float),
            None => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(print).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entry = |(key, value): &(&String, &Value)| format!("{key}:{}", print(value));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// The shortest digits, with an exponent for the very large and the very small.
fn print_float(float: f64) -> String {
    let exponent = float.abs().log10().floor();
    if float == 0.0 || (-4.0..21.0).contains(&exponent) {
        return format!("{float}");
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// What a message calls the type of `value`.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}
