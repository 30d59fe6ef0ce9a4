//! `yamldecode`, in the dialect that HCL's YAML has always been: close to YAML 1.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, Time};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::yaml_writer::encode;
use super::{CallError, Function, Param, Want};
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
    )
    .result(Want::String),
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
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "sequence", "seq")?;
                (anchor, self.sequence(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "mapping", "map")?;
                (anchor, self.mapping(depth)?)
            }
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

/// The tag as errors call it.
fn tag_name(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

/// What YAML itself calls a scalar: `str`, `int`, ….
fn core_tag(tag: &Tag) -> Option<&str> {
    match tag.handle.as_str() {
        "tag:yaml.org,2002:" => Some(tag.suffix.as_str()),
        _ => tag.suffix.strip_prefix("tag:yaml.org,2002:"),
    }
}

/// A sequence or mapping has no tag, or the one of its kind.
fn check_tag(tag: Option<&Tag>, kind: &str, name: &str) -> Result<(), String> {
    match tag {
        Some(tag) if core_tag(tag) != Some(name) => {
            Err(format!("can't interpret {kind} as {}", tag_name(tag)))
        }
        _ => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Decoded<Value> {
    const KNOWN: [&str; 7] = ["str", "binary", "bool", "int", "float", "null", "timestamp"];
    let suffix = match tag {
        None => "",
        Some(tag) => match core_tag(tag) {
            Some(name) if KNOWN.contains(&name) => name,
            _ => return Err(format!("unsupported tag {:?}", tag_name(tag)).into()),
        },
    };
    let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
    let is_word = text.starts_with(|c: char| "yYnNtTfFoO~+-.0123456789".contains(c));
    match suffix {
        "str" => return Ok(Value::string(text)),
        "binary" => {
            let is_base64 = STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok();
            let cause = || format!("cannot parse {text:?} as {suffix}: not valid base64");
            return if is_base64 { Ok(Value::string(text)) } else { Err(cause().into()) };
        }
        // What looks like a value of another type is meant as a text.
        _ if is_quoted && (suffix.is_empty() || is_word || text.is_empty()) => {
            return Ok(Value::string(text));
        }
        _ => {}
    }
    if let Some(value) = plain(text, suffix)? {
        return Ok(value);
    }
    match suffix {
        "" => Ok(Value::string(text)),
        "null" => Ok(Value::NULL),
        "int" | "float" => {
            based_integer(text).ok_or_else(|| format!("cannot parse {text:?} as a number").into())
        }
        _ => Err(format!("cannot parse {text:?} as {suffix}").into()),
    }
}

/// What a scalar without quotes means, if not its text.
fn plain(text: &str, tag: &str) -> Decoded<Option<Value>> {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Some(Value::NULL));
    }
    if let Some(known) = plain_bool(text) {
        return Ok(Some(known.into()));
    }
    if tag.is_empty() && matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("floating point NaN is not supported".into());
    }
    if matches!(tag, "" | "timestamp")
        && let Some(moment) = timestamp(text)
    {
        return Ok(Some(Value::string(moment)));
    }
    Ok(plain_number(text))
}

/// A date, or a date and a time, as RFC 3339 writes it.
fn timestamp(text: &str) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let date = Date::strptime("%Y-%m-%d", date).ok()?;
    let Some((separator, time)) = time else { return Some(format!("{date}T00:00:00Z")) };
    let (clock, zone) = match separator {
        " " => (time, "Z"),
        _ => time.split_at(time.find(['Z', '+', '-'])?),
    };
    let is_zone = zone == "Z" || Time::strptime("%H:%M", zone.get(1..)?).is_ok();
    let whole = clock.split('.').next().unwrap_or(clock);
    let clock = Time::strptime("%H:%M:%S", whole).ok()?;
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    is_zone.then(|| format!("{date}T{}{zone}", clock.strftime("%H:%M:%S")))
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
    match text.bytes().next() {
        Some(b'.') => Number::parse(text).map(Value::from),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            let number = Number::parse(&digits).map(Value::from);
            number.or_else(|| has_binary_prefix(&digits).then(|| based_integer(&digits)).flatten())
        }
        _ => None,
    }
}

fn has_binary_prefix(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).starts_with("0b")
}

/// `0x1F`, `0o17`, `0b11`.
fn based_integer(text: &str) -> Option<Value> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let (prefix, digits) = digits.split_at_checked(2)?;
    let base = match prefix {
        "0x" | "0X" => 16,
        "0o" | "0O" => 8,
        "0b" | "0B" => 2,
        _ => return None,
    };
    Number::parse_integer(&format!("{sign}{digits}"), base).map(Value::from)
}
