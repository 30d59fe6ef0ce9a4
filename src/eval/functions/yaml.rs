//! `yamlencode` and `yamldecode`, in the dialect that HCL's YAML has always been: close to YAML 1.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{CallError, Function, Param, json_encode};
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("yamldecode", &[Param::string("src")], |call| {
        decode(call.text(0)).map_err(CallError::failed)
    }),
    Function::new("yamlencode", &[Param::any("value").or_null().or_untyped()], |call| {
        Ok(Value::string(encode(&call.args[0])))
    }),
];

/// `value` as a YAML document.
fn encode(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    // A bare scalar without a marker at its end could go on.
    let is_bare = matches!(value.data, Data::Null(_) | Data::Bool(_) | Data::Number(_));
    text.push_str(if is_bare { "\n...\n" } else { "\n" });
    match text.strip_suffix("\n\n") {
        Some(stripped) => format!("{stripped}\n"),
        None => text,
    }
}

/// Writes `value` without the line break after it.
fn write_value(to: &mut String, value: &Value, indent: usize) {
    match &value.data {
        Data::Null(_) | Data::Unknown(_) => to.push_str("null"),
        Data::Bool(known) => to.push_str(if *known { "true" } else { "false" }),
        Data::Number(number) => to.push_str(&number.to_string()),
        Data::String(text) => write_string(to, text, indent),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) if items.is_empty() => {
            to.push_str("[]");
        }
        Data::Map(_, entries) | Data::Object(entries) if entries.is_empty() => to.push_str("{}"),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => {
            for (at, item) in items.iter().enumerate() {
                start_line(to, at, indent);
                to.push_str("- ");
                write_value(to, item, indent + 2);
            }
        }
        Data::Map(_, entries) | Data::Object(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                start_line(to, at, indent);
                write_entry(to, key, value, indent);
            }
        }
    }
}

fn start_line(to: &mut String, at: usize, indent: usize) {
    if at > 0 {
        to.truncate(to.trim_end_matches('\n').len());
        to.push('\n');
        to.push_str(&" ".repeat(indent));
    }
}

fn write_entry(to: &mut String, key: &str, value: &Value, indent: usize) {
    write_quoted(to, key);
    to.push(':');
    let empty = value.children().next().is_none();
    match (value.items(), value.entries()) {
        (Some(_), _) if !empty => {
            to.push('\n');
            to.push_str(&" ".repeat(indent));
            write_value(to, value, indent);
        }
        (_, Some(_)) if !empty => {
            to.push('\n');
            to.push_str(&" ".repeat(indent + 2));
            write_value(to, value, indent + 2);
        }
        _ => {
            to.push(' ');
            write_value(to, value, indent);
        }
    }
}

/// Several lines as a block, anything else in double quotes.
fn write_string(to: &mut String, text: &str, indent: usize) {
    let is_block = text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.chars().any(|c| c.is_control() && c != '\n');
    if !is_block {
        return write_quoted(to, text);
    }
    let body = text.trim_end_matches('\n');
    to.push_str(match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    let pad = " ".repeat(indent.max(2));
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        to.push('\n');
        if !line.is_empty() {
            to.push_str(&pad);
            to.push_str(line);
        }
    }
}

fn write_quoted(to: &mut String, text: &str) {
    let escaped = json_encode(&Value::string(text));
    for (code, plain) in [("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&")] {
        if escaped.contains(code) {
            return to.push_str(&escaped.replace(code, plain));
        }
    }
    to.push_str(&escaped);
}

/// The value of the one document in `text`.
fn decode(text: &str) -> Result<Value, String> {
    let mut decoder =
        Decoder { parser: Parser::new_from_str(text), anchors: HashMap::new(), size: 0 };
    loop {
        match decoder.next()? {
            Event::StreamStart | Event::Nothing | Event::DocumentStart(_) => {}
            Event::StreamEnd => {
                return Err("on line 1, column 1: missing start of document".to_owned());
            }
            event => {
                let value = decoder.value(event, 0)?;
                return decoder.end(value);
            }
        }
    }
}

struct Decoder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    /// How many nodes there are, those that aliases repeat included.
    size: usize,
}

impl<'a> Decoder<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(describe(&error)),
            None => Ok(Event::StreamEnd),
        }
    }

    fn end(mut self, value: Value) -> Result<Value, String> {
        loop {
            match self.next()? {
                Event::DocumentEnd | Event::Nothing => {}
                // A lone null has no type, so its value counts as not known.
                Event::StreamEnd if value.is_null() => return Ok(Value::UNKNOWN),
                Event::StreamEnd => return Ok(value),
                _ => {
                    return Err("on line 1, column 1: unexpected extra content after value".into());
                }
            }
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        const DEEPEST: usize = 100;
        const LARGEST: usize = 1_000_000;
        self.size += 1;
        if depth > DEEPEST || self.size > LARGEST {
            return Err("the document is too deep or too large".to_owned());
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or("an alias stands inside of its own anchor")?;
                self.size += value.children().count();
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref())?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            _ => return Err("unexpected end of document".to_owned()),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::tuple(items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        let mut merged: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        loop {
            let event = self.next()?;
            if event == Event::MappingEnd {
                merged.append(&mut entries);
                return Ok(Value::object(merged));
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.value(event, depth + 1)?;
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if is_merge {
                merge(&mut merged, &value)?;
            } else {
                entries.insert(key_text(&key)?, value);
            }
        }
    }
}

/// Takes over what `<<` refers to: a mapping, or several.
fn merge(into: &mut BTreeMap<Arc<str>, Value>, value: &Value) -> Result<(), String> {
    match (value.entries(), value.items()) {
        (Some(entries), _) => {
            for (key, value) in entries.iter() {
                into.entry(key.clone()).or_insert_with(|| value.clone());
            }
            Ok(())
        }
        (_, Some(items)) => items.iter().try_for_each(|item| merge(into, item)),
        _ => Err("cannot merge a value that is not a mapping".to_owned()),
    }
}

fn key_text(key: &Value) -> Result<Arc<str>, String> {
    let key = match &key.data {
        Data::Null(_) => Err("mapping key must not be null".to_owned()),
        _ => crate::eval::convert::convert(key, &Type::String)
            .map_err(|error| format!("mapping key must be a primitive value: {error}")),
    }?;
    Ok(Arc::from(key.as_str().unwrap_or_default()))
}

fn describe(error: &ScanError) -> String {
    let at = error.marker();
    let info = match error.info() {
        text if text.contains("tab") => "found character that cannot start any token",
        text => text,
    };
    format!("on line {}, column {}: {info}", at.line(), at.col().max(1))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let suffix = tag.map(|tag| tag.suffix.as_str());
    match suffix {
        Some("str" | "binary" | "timestamp" | "!") => Ok(Value::string(text)),
        Some("int" | "float") => {
            let number =
                plain_number(text).ok_or_else(|| format!("cannot parse {text:?} as a number"))?;
            Ok(number)
        }
        Some("bool") => plain_bool(text)
            .map(Value::from)
            .ok_or_else(|| format!("cannot parse {text:?} as bool")),
        Some("null") => Ok(Value::NULL),
        _ if style != ScalarStyle::Plain => Ok(Value::string(text)),
        _ => Ok(plain(text)),
    }
}

/// What a scalar without quotes means.
fn plain(text: &str) -> Value {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::NULL;
    }
    if let Some(known) = plain_bool(text) {
        return known.into();
    }
    plain_number(text).unwrap_or_else(|| Value::string(text))
}

fn plain_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

fn plain_number(text: &str) -> Option<Value> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Number::parse("Inf").map(Value::from);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Number::parse("-Inf").map(Value::from),
        _ => {}
    }
    let starts =
        text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts {
        return None;
    }
    Number::parse(text).map(Value::from)
}
