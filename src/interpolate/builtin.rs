//! The functions that all Go templates have.

use std::cmp::Ordering;

use serde_json::Value;

use super::functions::{count, string};
use super::printf::printf;
use super::value::{is_true, print, type_name};

/// A function of its arguments only.
type Function = fn(&[Value]) -> Result<Value, String>;

/// `and` and `or` are evaluated where their arguments are.
const FUNCTIONS: &[(&str, Function)] = &[
    ("and", |_| Ok(Value::Null)),
    ("call", |_| Err("there are no functions that are values".into())),
    ("eq", equal),
    ("ge", |arguments| Ok(compare("ge", arguments)?.is_ge().into())),
    ("gt", |arguments| Ok(compare("gt", arguments)?.is_gt().into())),
    ("html", |arguments| Ok(escape_html(&sprint(arguments)).into())),
    ("index", index),
    ("js", |arguments| Ok(escape_js(&sprint(arguments)).into())),
    ("le", |arguments| Ok(compare("le", arguments)?.is_le().into())),
    ("len", length),
    ("lt", |arguments| Ok(compare("lt", arguments)?.is_lt().into())),
    ("ne", |arguments| {
        let [a, b] = count("ne", arguments)?;
        Ok((!same(a, b)?).into())
    }),
    ("not", |arguments| {
        let [value] = count("not", arguments)?;
        Ok((!is_true(value)).into())
    }),
    ("or", |_| Ok(Value::Null)),
    ("print", |arguments| Ok(sprint(arguments).into())),
    ("printf", |arguments| match arguments.split_first() {
        Some((format, arguments)) => Ok(printf(string(format)?, arguments)?.into()),
        None => Err("wrong number of args for printf: want at least 1 got 0".into()),
    }),
    ("println", |arguments| {
        let words: Vec<String> = arguments.iter().map(print).collect();
        Ok(format!("{}\n", words.join(" ")).into())
    }),
    ("slice", slice),
    ("urlquery", |arguments| {
        let text = sprint(arguments);
        Ok(url::form_urlencoded::byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('*', "%2A")
            .replace("%7E", "~")
            .into())
    }),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, function)) => function(arguments),
        None => Err("there is no such function".into()),
    }
}

/// All values in a row, with spaces between those of which neither is a string.
fn sprint(arguments: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in arguments.iter().enumerate() {
        let spaced = at > 0 && !value.is_string() && !arguments[at - 1].is_string();
        if spaced {
            text.push(' ');
        }
        text += &print(value);
    }
    text
}

/// Whether the first value is equal to any of the others.
fn equal(arguments: &[Value]) -> Result<Value, String> {
    let (first, others) = match arguments.split_first() {
        Some((first, others)) if !others.is_empty() => (first, others),
        _ => {
            return Err(format!(
                "wrong number of args for eq: want at least 2 got {}",
                arguments.len()
            ));
        }
    };
    for other in others {
        if same(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    if a.is_null() || b.is_null() || type_name(a) == type_name(b) {
        return Ok(a == b);
    }
    Err(format!("incompatible types for comparison: {} and {}", type_name(a), type_name(b)))
}

fn compare(name: &str, arguments: &[Value]) -> Result<Ordering, String> {
    let [a, b] = count(name, arguments)?;
    let order = match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(x), Value::Number(y)) if type_name(a) == type_name(b) => {
            x.as_i64().zip(y.as_i64()).map(|(x, y)| x.cmp(&y)).or_else(|| {
                let (x, y) = x.as_f64().zip(y.as_f64())?;
                x.partial_cmp(&y)
            })
        }
        _ => None,
    };
    order.ok_or_else(|| format!("{} and {} have no order", type_name(a), type_name(b)))
}

fn length(arguments: &[Value]) -> Result<Value, String> {
    let [value] = count("len", arguments)?;
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        other => return Err(format!("len of type {}", type_name(other))),
    };
    Ok(length.into())
}

/// `index value key …`: into lists by number, into maps by name.
fn index(arguments: &[Value]) -> Result<Value, String> {
    let Some((value, keys)) = arguments.split_first() else {
        return Err("wrong number of args for index: want at least 1 got 0".into());
    };
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Object(entries), Value::String(key)) => {
                entries.get(key).cloned().unwrap_or_default()
            }
            (Value::Array(items), Value::Number(_)) => {
                items[position(key, items.len(), false)?].clone()
            }
            (Value::String(text), Value::Number(_)) => {
                text.as_bytes()[position(key, text.len(), false)?].into()
            }
            (of, key) => {
                let (of, key) = (type_name(of), type_name(key));
                return Err(format!("cannot index a {of} with a {key}"));
            }
        };
    }
    Ok(value)
}

/// `key` as a place in something of this length; `end` allows the place after the last.
fn position(key: &Value, length: usize, end: bool) -> Result<usize, String> {
    let place = key.as_u64().and_then(|place| usize::try_from(place).ok());
    let inside = place.filter(|place| *place < length || end && *place == length);
    inside.ok_or_else(|| format!("index out of range: {}", print(key)))
}

/// `slice value from to`.
fn slice(arguments: &[Value]) -> Result<Value, String> {
    let (value, bounds) = match arguments {
        [value, bounds @ ..] if bounds.len() <= 2 => (value, bounds),
        _ => return Err("wrong number of args for slice: want 1 to 3".into()),
    };
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        other => return Err(format!("cannot slice a {}", type_name(other))),
    };
    let from = bounds.first().map_or(Ok(0), |bound| position(bound, length, true))?;
    let to = bounds.get(1).map_or(Ok(length), |bound| position(bound, length, true))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Array(items) => items[from..to].to_vec().into(),
        other => {
            let text = other.as_str().unwrap_or_default().as_bytes();
            String::from_utf8_lossy(&text[from..to]).into()
        }
    })
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped += "&#34;",
            '\'' => escaped += "&#39;",
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            _ => escaped.push(c),
        }
    }
    escaped
}

fn escape_js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\\\",
            '\'' => escaped += "\\'",
            '"' => escaped += "\\\"",
            '<' | '>' | '&' | '=' => escaped += &format!("\\u{:04X}", u32::from(c)),
            _ if c.is_control() => escaped += &format!("\\u{:04X}", u32::from(c)),
            _ => escaped.push(c),
        }
    }
    escaped
}
