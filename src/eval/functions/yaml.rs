//! `yamldecode`, in the dialect that HCL's YAML has always been: close to YAML 1.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::yaml_writer::encode;
use super::{CallError, Function, Param};
use crate::budget::{Budget, Limit};
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "yamldecode",
        "The value that a YAML document stands for.",
        &[Param::string("src")],
        |call| decode(call.text(0), &call.host.budget),
    ),
    Function::new(
        "yamlencode",
        "The value as YAML.",
        &[Param::any("value").or_null().or_untyped()],
        |call| Ok(Value::string(encode(&call.args[0]))),
    ),
];

/// The value of the one document in `text`.
fn decode(text: &str, budget: &Budget) -> Decoded<Value> {
    let parser = Parser::new_from_str(text);
    let mut decoder = Decoder { parser, anchors: HashMap::new(), budget };
    loop {
        match decoder.next()? {
            Event::StreamStart | Event::Nothing | Event::DocumentStart(_) => {}
            Event::StreamEnd => {
                return Err("on line 1, column 1: missing start of document".into());
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
    budget: &'a Budget,
}

type Decoded<T> = Result<T, CallError>;

impl<'a> Decoder<'a> {
    fn next(&mut self) -> Decoded<Event<'a>> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(describe(&error).into()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn end(mut self, value: Value) -> Decoded<Value> {
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

    fn value(&mut self, event: Event<'a>, depth: usize) -> Decoded<Value> {
        Limit::DEPTH.check(depth)?;
        self.budget.pay(1)?;
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                return Ok(value.ok_or("an alias stands inside of its own anchor")?);
            }
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref())?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            _ => return Err("unexpected end of document".into()),
        };
        // Aliases make a value deeper than its text.
        Limit::DEPTH.check(value.traits().depth)?;
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Decoded<Value> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::tuple(items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Decoded<Value> {
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
                self.budget.pay(value.traits().weight)?;
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

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Decoded<Value> {
    let suffix = tag.map(|tag| tag.suffix.as_str());
    match suffix {
        Some("str" | "binary" | "timestamp" | "!") => Ok(Value::string(text)),
        Some("int" | "float") => {
            Ok(plain_number(text).ok_or_else(|| format!("cannot parse {text:?} as a number"))?)
        }
        Some("bool") => {
            let known = plain_bool(text).ok_or_else(|| format!("cannot parse {text:?} as bool"))?;
            Ok(known.into())
        }
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
