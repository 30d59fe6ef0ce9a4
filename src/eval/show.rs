//! Values as people see them: in `inspect`, in the console, and in errors.

use std::fmt::Write;

use super::go_format::quoted;
use super::value::{Data, Value};
use crate::config::UNKNOWN;
use crate::secret::{MASK, Redactor};

/// `value` as Packer prints it, with everything sensitive masked.
///
/// A text at the top stands for itself; nulls in maps are left out; a value with anything unknown
/// inside is as a whole unknown.
pub fn show(value: &Value, redactor: &Redactor) -> String {
    if !value.is_wholly_known() {
        return UNKNOWN.to_owned();
    }
    match &value.data {
        Data::String(text) => masked(text, value.sensitive, redactor),
        _ => {
            let mut text = String::new();
            write_value(&mut text, value, 0, value.sensitive, redactor);
            text
        }
    }
}

/// `text` without secrets: known ones are masked where they occur; a sensitive text without any
/// known secret in it, as a whole.
fn masked(text: &str, sensitive: bool, redactor: &Redactor) -> String {
    let redacted = redactor.redact(text).into_owned();
    if sensitive && redacted == text && !text.is_empty() { MASK.to_owned() } else { redacted }
}

fn write_value(to: &mut String, value: &Value, depth: usize, sensitive: bool, redactor: &Redactor) {
    let sensitive = sensitive || value.sensitive;
    match &value.data {
        Data::Null(_) => to.push_str("null"),
        Data::Unknown(_) => to.push_str(UNKNOWN),
        Data::Bool(_) | Data::Number(_) if sensitive => to.push_str(MASK),
        Data::Bool(known) => to.push_str(if *known { "true" } else { "false" }),
        Data::Number(number) => to.push_str(&number.shown()),
        Data::String(text) => to.push_str(&quoted(&masked(text, sensitive, redactor))),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => {
            let lines = items.iter().map(|item| (None, item));
            write_block(to, ('[', ']'), lines, depth, sensitive, redactor);
        }
        Data::Map(_, entries) | Data::Object(entries) => {
            let lines = entries
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (Some(quoted(&redactor.redact(key))), value));
            write_block(to, ('{', '}'), lines, depth, sensitive, redactor);
        }
    }
}

fn write_block<'a>(
    to: &mut String,
    (open, close): (char, char),
    lines: impl Iterator<Item = (Option<String>, &'a Value)>,
    depth: usize,
    sensitive: bool,
    redactor: &Redactor,
) {
    to.push(open);
    let mut empty = true;
    for (key, value) in lines {
        empty = false;
        // Writing to a string cannot fail.
        let _ = write!(to, "\n{:indent$}", "", indent = depth * 2 + 2);
        if let Some(key) = &key {
            let _ = write!(to, "{key} = ");
        }
        write_value(to, value, depth + 1, sensitive, redactor);
        if key.is_none() {
            to.push(',');
        }
    }
    if !empty {
        let _ = write!(to, "\n{:indent$}", "", indent = depth * 2);
    }
    to.push(close);
}

/// `value` in a few words, for the notes of an error: `"eu-north-1"`, `list of 4 elements`.
pub fn brief(value: &Value, redactor: &Redactor) -> String {
    const LONGEST: usize = 60;
    let taint = value.as_str().map(|text| redactor.taint(text)).unwrap_or_default();
    if value.sensitive || taint.part {
        return "a sensitive value".to_owned();
    }
    if taint.content {
        return "the content of a file".to_owned();
    }
    let kind = match &value.data {
        Data::Tuple(_) => "tuple",
        Data::Object(_) => "object",
        _ => value.ty().kind_name(),
    };
    let count = value.children().count();
    let plural = if count == 1 { "" } else { "s" };
    match &value.data {
        Data::Unknown(_) => "not known yet".to_owned(),
        Data::String(text) if text.chars().count() > LONGEST => {
            let start: String = redactor.redact(text).chars().take(LONGEST).collect();
            format!("{}…", quoted(&start))
        }
        Data::List(..) | Data::Set(..) | Data::Tuple(_) => {
            format!("{kind} with {count} element{plural}")
        }
        Data::Map(..) => format!("map with {count} element{plural}"),
        Data::Object(_) => format!("object with {count} attribute{plural}"),
        _ => {
            let mut text = String::new();
            write_value(&mut text, value, 0, false, redactor);
            text
        }
    }
}
