//! `jsonencode` and `jsondecode`, with numbers of any size.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::{CallError, Function, Param, Want};
use crate::budget::{Budget, Limit};
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "jsonencode",
        "The value as JSON.",
        &[Param::any("val").or_null().or_untyped()],
        |call| match has_infinity(&call.args[0]) {
            true => Err(CallError::failed(INFINITE)),
            false => Ok(Value::string(encode(&call.args[0]))),
        },
    )
    .result(Want::String),
    Function::new(
        "jsondecode",
        "The value that a JSON text stands for.",
        &[Param::string("str")],
        |call| decode(call.text(0), &call.host.budget),
    ),
];

/// What JSON has no number for.
pub(super) const INFINITE: &str = "cannot serialize infinity as JSON";

/// Whether an infinite number is anywhere in `value`.
pub(super) fn has_infinity(value: &Value) -> bool {
    let is_infinite = matches!(&value.data, Data::Number(number) if number.is_infinite());
    is_infinite || value.children().any(has_infinity)
}

/// `value` as JSON without blanks.
pub fn encode(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(to: &mut String, value: &Value) {
    match &value.data {
        Data::Null(_) | Data::Unknown(_) => to.push_str("null"),
        Data::Bool(known) => to.push_str(if *known { "true" } else { "false" }),
        Data::Number(number) => to.push_str(&number.to_string()),
        Data::String(text) => write_string(to, text),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(',');
                }
                write_value(to, item);
            }
            to.push(']');
        }
        Data::Map(_, entries) | Data::Object(entries) => {
            to.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    to.push(',');
                }
                write_string(to, key);
                to.push(':');
                write_value(to, value);
            }
            to.push('}');
        }
    }
}

/// Go's escapes, which are safe inside of HTML too.
fn write_string(to: &mut String, text: &str) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(to, "\\u{:04x}", u32::from(character));
            }
            _ => to.push(character),
        }
    }
    to.push('"');
}

/// What JSON text says; objects and arrays become objects and tuples.
pub fn decode(text: &str, budget: &Budget) -> Decoded<Value> {
    let mut decoder = Decoder { text, at: 0, depth: 0, budget };
    decoder.skip_blanks();
    if decoder.peek().is_none() {
        return Err("EOF".into());
    }
    let value = decoder.value()?;
    decoder.skip_blanks();
    match decoder.peek() {
        None => Ok(value),
        Some(_) => Err("extraneous data after JSON object".into()),
    }
}

type Decoded<T> = Result<T, CallError>;

struct Decoder<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    budget: &'a Budget,
}

impl Decoder<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// The character here is not what `context` says.
    fn unexpected<T>(&self, context: &str) -> Decoded<T> {
        match self.peek() {
            Some(character) => Err(format!("invalid character {character:?} {context}").into()),
            None => Err("unexpected EOF".into()),
        }
    }

    fn value(&mut self) -> Decoded<Value> {
        self.skip_blanks();
        self.depth += 1;
        // The value is one level deeper than its brackets.
        Limit::DEPTH.check(self.depth)?;
        self.budget.pay(1)?;
        let value = match self.peek() {
            Some('{') => self.object(),
            Some('[') => self.array(),
            Some('"') => self.string().map(Value::string),
            Some('-' | '0'..='9') => self.number(),
            Some('t') => self.word("true", true.into()),
            Some('f') => self.word("false", false.into()),
            Some('n') => self.word("null", Data::Null(Type::Any).public()),
            _ => self.unexpected("looking for beginning of value"),
        };
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &str, value: Value) -> Decoded<Value> {
        for expected in word.chars() {
            if self.peek() != Some(expected) {
                return self.unexpected(&format!("in literal {word} (expecting {expected:?})"));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn object(&mut self) -> Decoded<Value> {
        let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(Value::object(entries));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some('"') {
                return self.unexpected("looking for beginning of object key string");
            }
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(':') {
                return self.unexpected("after object key");
            }
            self.at += 1;
            let value = self.value()?;
            // Attributes have names in normal form C, and no other way leads to this one.
            if !unicode_normalization::is_nfc(&key) {
                return Err(format!("unsupported attribute {key:?}").into());
            }
            entries.insert(key.into(), value);
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => break,
                _ => return self.unexpected("after object key:value pair"),
            }
        }
        self.at += 1;
        Ok(Value::object(entries))
    }

    fn array(&mut self) -> Decoded<Value> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(Value::tuple(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(']') => break,
                _ => return self.unexpected("after array element"),
            }
        }
        self.at += 1;
        Ok(Value::tuple(items))
    }

    fn digits(&mut self) -> usize {
        let rest = &self.text[self.at..];
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        count
    }

    fn number(&mut self) -> Decoded<Value> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        if self.peek() == Some('0') {
            self.at += 1;
        } else if self.digits() == 0 {
            return self.unexpected("in numeric literal");
        }
        if self.peek() == Some('.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.unexpected("after decimal point in numeric literal");
            }
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.unexpected("in exponent of numeric literal");
            }
        }
        let text = &self.text[start..self.at];
        Limit::DIGITS.check(text.len())?;
        Ok(Number::parse(text).ok_or_else(|| format!("invalid number {text}"))?.into())
    }

    fn string(&mut self) -> Decoded<String> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let Some(character) = self.peek() else { return self.unexpected("") };
            match character {
                '"' => {
                    self.at += 1;
                    return Ok(text);
                }
                '\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                '\0'..='\x1f' => return self.unexpected("in string literal"),
                _ => {
                    self.at += character.len_utf8();
                    text.push(character);
                }
            }
        }
    }

    fn escape(&mut self) -> Decoded<char> {
        let Some(selector) = self.peek() else { return self.unexpected("") };
        let character = match selector {
            '"' | '\\' | '/' => selector,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.unexpected("in string escape code"),
        };
        self.at += 1;
        Ok(character)
    }

    /// A lone half of a surrogate pair becomes the replacement character.
    fn unicode_escape(&mut self) -> Decoded<char> {
        let high = self.hex4()?;
        let is_high = (0xd800..0xdc00).contains(&high);
        if is_high && self.text[self.at..].starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Decoded<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|character| character.to_digit(16));
            let Some(digit) = digit else {
                return self.unexpected("in \\u hexadecimal character escape");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
