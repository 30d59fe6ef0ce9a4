//! `format` and `formatlist`: Go's verbs for HCL's values.

use unicode_segmentation::UnicodeSegmentation;

use super::json::{INFINITE, has_infinity};
use super::{Call, CallError, Function, Outcome, Param, Want, json_encode};
use crate::budget::Limit;
use crate::eval::convert::convert;
use crate::eval::go_format;
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic(
        "format",
        "Values in a text with Go's verbs: `%s`, `%d`, `%05.2f`, `%q`, `%v`.",
        &[Param::string("format")],
        ARGS,
        |call| {
            let refs: Vec<&Value> = call.args.iter().skip(1).collect();
            format(call, &refs).map(Value::string)
        },
    )
    .result(Want::String),
    Function::variadic(
        "formatlist",
        "`format` for each item of the lists among the arguments.",
        &[Param::string("format")],
        ARGS.or_unknown(),
        formatlist,
    )
    .result(Want::ListOfString)
    .partial(),
];

const ARGS: Param = Param::any("args").or_null();

/// One `%…` of a format string.
#[derive(Debug, Default)]
struct Verb {
    /// As it was written.
    text: String,
    /// Where it starts.
    offset: usize,
    mode: char,
    plus: bool,
    minus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
    /// Which argument, counted from 0.
    argument: usize,
}

/// The format of `call` applied to `args`.
fn format(call: &Call<'_>, args: &[&Value]) -> Result<String, CallError> {
    let mut text = String::new();
    let mut rest = Scanner { text: call.text(0), at: 0 };
    let (mut next, mut used) = (0, 0);
    while let Some(character) = rest.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        if rest.peek() == Some('%') {
            rest.next();
            text.push('%');
            continue;
        }
        let verb = rest.verb(next)?;
        verb.pay(call)?;
        next = verb.argument + 1;
        used = used.max(next);
        let value = args.get(verb.argument).ok_or_else(|| {
            CallError::failed(format!(
                "not enough arguments for {:?} at {}: need index {} but have {} total",
                verb.text,
                verb.offset,
                next,
                args.len()
            ))
        })?;
        text.push_str(&verb.apply(value)?);
    }
    if args.len() > used {
        let cause = match used {
            0 => "too many arguments; no verbs in format string".to_owned(),
            _ => format!("too many arguments; only {used} used by format string"),
        };
        return Err(CallError::argument(used + 1, cause));
    }
    Ok(text)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// The digits here.
    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|character| character.is_ascii_digit()) {
            self.next();
        }
        let digits = &self.text[start..self.at];
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX))
    }

    /// The verb after a `%`; without a number of its own it is about argument `next`.
    fn verb(&mut self, next: usize) -> Result<Verb, CallError> {
        let offset = self.at - 1;
        let mut verb = Verb { offset, argument: next, ..Verb::default() };
        while let Some(flag) = self.peek() {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                ' ' => verb.space = true,
                '0' => verb.zero = true,
                '#' => verb.sharp = true,
                _ => break,
            }
            self.next();
        }
        verb.width = self.number().unwrap_or(0);
        if self.peek() == Some('.') {
            self.next();
            verb.precision = Some(self.number().unwrap_or(0));
        }
        if self.peek() == Some('[') {
            self.next();
            verb.argument = self.argument()?;
        }
        let at = self.at;
        match self.next() {
            Some(mode) if mode.is_ascii_alphabetic() => verb.mode = mode,
            Some(other) => {
                return Err(CallError::failed(format!(
                    "unrecognized format character {other:?} at offset {at}"
                )));
            }
            None => return Err(CallError::failed("unexpected end of format string")),
        }
        verb.text = self.text[offset..self.at].to_owned();
        Ok(verb)
    }

    /// `n]`, as an index from 0.
    fn argument(&mut self) -> Result<usize, CallError> {
        let at = self.at;
        if let Some(wrong) = self.peek().filter(|first| !('1'..='9').contains(first)) {
            let cause = format!("unrecognized format character {wrong:?} at offset {at}");
            return Err(CallError::failed(cause));
        }
        let number = self.number().unwrap_or(1);
        match self.next() {
            Some(']') => Ok(number - 1),
            Some(other) => Err(CallError::failed(format!(
                "unrecognized format character {other:?} at offset {}",
                self.at - other.len_utf8()
            ))),
            None => Err(CallError::failed("unexpected end of format string")),
        }
    }
}

impl Verb {
    /// Pays for the blanks and digits that it asks for.
    fn pay(&self, call: &Call<'_>) -> Result<(), CallError> {
        let is_number = !matches!(self.mode, 's' | 'q' | 'v' | 't');
        let digits = self.precision.filter(|_| is_number).unwrap_or(0);
        Limit::DIGITS.check(digits)?;
        call.pay_text(self.width.saturating_add(digits.saturating_mul(8)))
    }

    fn unsupported(&self, cause: impl std::fmt::Display) -> CallError {
        CallError::failed(format!(
            "unsupported value for {:?} at {}: {cause}",
            self.text, self.offset
        ))
    }

    fn converted(&self, value: &Value, ty: &Type) -> Result<Value, CallError> {
        convert(value, ty).map_err(|cause| self.unsupported(cause))
    }

    fn apply(&self, value: &Value) -> Result<String, CallError> {
        if self.mode != 'v' && value.is_null() {
            return Err(self.unsupported("null value cannot be formatted"));
        }
        match self.mode {
            'v' => self.natural(value),
            // A width changes nothing.
            't' => {
                let value = self.converted(value, &Type::Bool)?;
                Ok((value.data == Data::Bool(true)).to_string())
            }
            'd' | 'b' | 'o' | 'x' | 'X' => self.integer(value),
            'e' | 'E' | 'f' | 'g' | 'G' => {
                let value = self.converted(value, &Type::Number)?;
                let Data::Number(number) = &value.data else { return Ok(String::new()) };
                Ok(self.float(number, self.mode))
            }
            's' | 'q' => {
                let value = self.converted(value, &Type::String)?;
                let text = value.as_str().unwrap_or_default();
                Ok(match self.mode {
                    's' => self.pad(self.cut(text).to_owned()),
                    _ => self.pad(json_encode(&Value::string(self.cut(text)))),
                })
            }
            _ => Err(CallError::failed(format!(
                "unsupported format verb {:?} in {:?} at offset {}",
                self.mode, self.text, self.offset
            ))),
        }
    }

    /// `%v` and `%#v`.
    fn natural(&self, value: &Value) -> Result<String, CallError> {
        match &value.data {
            Data::String(text) if !self.sharp => Ok(self.pad(text.to_string())),
            Data::Number(number) if !self.sharp => Ok(self.pad(plain(number))),
            _ if has_infinity(value) => Err(self.unsupported(INFINITE)),
            _ => Ok(self.pad(json_encode(value))),
        }
    }

    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let Some(most) = self.precision.filter(|most| *most > 0) else { return text };
        match text.grapheme_indices(true).nth(most) {
            Some((end, _)) => &text[..end],
            None => text,
        }
    }

    fn integer(&self, value: &Value) -> Result<String, CallError> {
        let value = self.converted(value, &Type::Number)?;
        let Data::Number(number) = &value.data else { return Ok(String::new()) };
        let whole =
            number.to_integer().ok_or_else(|| self.unsupported("an integer is required"))?;
        let (prefix, radix) = match self.mode {
            'b' => ("0b", 2),
            'o' => ("0", 8),
            'x' => ("0x", 16),
            'X' => ("0X", 16),
            _ => ("", 10),
        };
        let digits = whole.in_radix(radix).to_string();
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits.to_owned()),
            None => ("", digits),
        };
        let digits = if self.mode == 'X' { digits.to_uppercase() } else { digits };
        let prefix = if self.sharp { prefix } else { "" };
        Ok(self.pad_integer(sign, prefix, &digits))
    }

    fn float(&self, number: &Number, mode: char) -> String {
        let text = match (mode, self.precision) {
            ('f', digits) if !number.is_infinite() => number.fixed(digits.unwrap_or(6)),
            ('g', None) if !number.is_infinite() => number.general(),
            ('G', None) if !number.is_infinite() => number.general().to_uppercase(),
            ('e' | 'E', None) => go_format::float(number.to_f64(), mode, Some(6)),
            (mode, precision) => go_format::float(number.to_f64(), mode, precision),
        };
        let (sign, digits) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(digits), _) => ("-", digits),
            (_, Some(digits)) => (if self.space { " " } else { "+" }, digits),
            _ => (self.sign(""), text.as_str()),
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        // Here `0` wins over `-`, but infinity has no zeros before it.
        match (self.zero && !number.is_infinite(), self.minus) {
            (true, _) => format!("{sign}{}{digits}", "0".repeat(missing)),
            (false, true) => format!("{sign}{digits}{}", " ".repeat(missing)),
            (false, false) => format!("{}{sign}{digits}", " ".repeat(missing)),
        }
    }

    /// The sign to write before a number that has `own`.
    fn sign<'s>(&self, own: &'s str) -> &'s str {
        match own {
            "" if self.plus => "+",
            "" if self.space => " ",
            own => own,
        }
    }

    /// A precision is the least count of digits; `-` wins over `0` here.
    fn pad_integer(&self, sign: &str, prefix: &str, digits: &str) -> String {
        let sign = self.sign(sign);
        let digits = if self.precision == Some(0) && digits == "0" { "" } else { digits };
        let zeros = self.precision.map_or(0, |least| least.saturating_sub(digits.len()));
        let missing = self.width.saturating_sub(sign.len() + prefix.len() + zeros + digits.len());
        let (left, zeros, right) = match () {
            () if self.minus => (0, zeros, missing),
            () if self.zero && self.precision.is_none() => (0, zeros + missing, 0),
            () => (missing, zeros, 0),
        };
        let [left, right] = [left, right].map(|count| " ".repeat(count));
        format!("{left}{sign}{prefix}{}{digits}{right}", "0".repeat(zeros))
    }

    /// Fills up to the width, which counts what a reader sees as characters.
    fn pad(&self, text: String) -> String {
        if self.width == 0 {
            return text;
        }
        let missing = self.width.saturating_sub(text.graphemes(true).count());
        let padding = if self.zero { "0" } else { " " }.repeat(missing);
        if self.minus { text + &padding } else { padding + &text }
    }
}

/// The shortest text that names the number.
fn plain(number: &Number) -> String {
    match number.is_infinite() {
        true => number.to_string(),
        false => number.general(),
    }
}

/// `format` once for each item of the lists among the arguments, which must be of one length; other
/// arguments are the same every time.
fn formatlist(call: &Call<'_>) -> Outcome {
    let args = &call.args[1..];
    let mut turns: Option<(usize, usize)> = None;
    for (at, arg) in args.iter().enumerate() {
        if let Data::Unknown(Type::Any | Type::List(_) | Type::Set(_) | Type::Tuple(_)) = arg.data {
            return Ok(Data::Unknown(Type::List(Type::String.into())).public());
        }
        let Some(items) = arg.items() else { continue };
        match turns {
            Some((first, length)) if length != items.len() => {
                let cause = format!(
                    "argument {} has length {}, which is inconsistent with argument {} of length {length}",
                    at + 1,
                    items.len(),
                    first + 1
                );
                return Err(CallError::argument(at + 1, cause));
            }
            Some(_) => {}
            None => turns = Some((at, items.len())),
        }
    }
    let count = turns.map_or(1, |(_, length)| length);
    let mut lines = Vec::with_capacity(count);
    for turn in 0..count {
        let values: Vec<&Value> = args
            .iter()
            .map(|arg| arg.items().and_then(|items| items.get(turn)).unwrap_or(arg))
            .collect();
        if !values.iter().all(|value| value.is_wholly_known()) {
            lines.push(Data::Unknown(Type::String).public());
            continue;
        }
        let line = format(call, &values).map_err(|error| match error {
            CallError::Failed(cause) => {
                CallError::failed(format!("error on format iteration {turn}: {cause}"))
            }
            other => other,
        })?;
        lines.push(Value::string(line));
    }
    Ok(Value::list(Type::String, lines))
}
