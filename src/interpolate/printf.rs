//! `printf`: Go's verbs for strings, numbers and booleans.

use serde_json::Value;

use super::value::{print_inner, type_name};

/// The widest that one value may be padded to.
const MAX_WIDTH: usize = 10_000;

/// What stands between `%` and the verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// `format` with its verbs filled in. A verb that does not fit its value is printed as Go prints
/// it: `%!d(string=x)`.
pub(super) fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text += &rest[..at];
        let (flags, after) = flags(&rest[at + 1..])?;
        let Some(verb) = after.chars().next() else {
            text += "%!(NOVERB)";
            return Ok(text);
        };
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            text.push('%');
            continue;
        }
        match arguments.next() {
            Some(value) => text += &verb_text(verb, value, &flags),
            None => text += &format!("%!{verb}(MISSING)"),
        }
    }
    text += rest;
    let extra: Vec<String> =
        arguments.map(|value| format!("{}={}", type_name(value), print_inner(value))).collect();
    if !extra.is_empty() {
        text += &format!("%!(EXTRA {})", extra.join(", "));
    }
    Ok(text)
}

fn flags(text: &str) -> Result<(Flags, &str), String> {
    let mut flags = Flags::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '0' => flags.zero = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    (flags.width, rest) = number(rest)?;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after)?;
        flags.precision = Some(precision);
        rest = after;
    }
    Ok((flags, rest))
}

fn number(text: &str) -> Result<(usize, &str), String> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - rest.len()];
    match digits.parse() {
        Ok(number) if number <= MAX_WIDTH => Ok((number, rest)),
        _ if digits.is_empty() => Ok((0, rest)),
        _ => Err(format!("the width {digits} is too large")),
    }
}

fn verb_text(verb: char, value: &Value, flags: &Flags) -> String {
    let body = match (verb, value) {
        ('v', _) => cut(print_inner(value), value, flags),
        ('s', Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            cut(print_inner(value), value, flags)
        }
        ('q', Value::String(text)) => format!("{text:?}"),
        ('x', Value::String(text)) => hex::encode(text),
        ('X', Value::String(text)) => hex::encode_upper(text),
        ('t', Value::Bool(_)) => print_inner(value),
        ('T', _) => type_name(value).to_owned(),
        (_, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => match integer_text(verb, integer, flags) {
                Some(text) => text,
                None => return misfit(verb, value),
            },
            (None, Some(float)) => match float_text(verb, float, flags) {
                Some(text) => text,
                None => return misfit(verb, value),
            },
            _ => return misfit(verb, value),
        },
        _ => return misfit(verb, value),
    };
    pad(body, value.is_number(), flags)
}

fn misfit(verb: char, value: &Value) -> String {
    match value {
        Value::Null => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({}={})", type_name(value), print_inner(value)),
    }
}

/// A string is cut to the precision.
fn cut(text: String, value: &Value, flags: &Flags) -> String {
    match flags.precision {
        Some(precision) if value.is_string() => text.chars().take(precision).collect(),
        _ => text,
    }
}

fn integer_text(verb: char, integer: i64, flags: &Flags) -> Option<String> {
    let magnitude = integer.unsigned_abs();
    let prefix = |prefix: &'static str| if flags.sharp { prefix } else { "" };
    let digits = match verb {
        'd' => format!("{magnitude}"),
        'x' => format!("{}{magnitude:x}", prefix("0x")),
        'X' => format!("{}{magnitude:X}", prefix("0X")),
        'o' => format!("{}{magnitude:o}", prefix("0")),
        'b' => format!("{}{magnitude:b}", prefix("0b")),
        'c' => return u32::try_from(integer).ok().and_then(char::from_u32).map(String::from),
        'q' => {
            let c = u32::try_from(integer).ok().and_then(char::from_u32)?;
            return Some(format!("{c:?}"));
        }
        'U' => return Some(format!("U+{magnitude:04X}")),
        _ => return None,
    };
    let digits = format!("{digits:0>width$}", width = flags.precision.unwrap_or(0));
    Some(format!("{}{digits}", sign(integer < 0, flags)))
}

fn float_text(verb: char, float: f64, flags: &Flags) -> Option<String> {
    let magnitude = float.abs();
    let digits = match verb {
        'f' | 'F' => format!("{magnitude:.*}", flags.precision.unwrap_or(6)),
        'e' => exponent(&format!("{magnitude:.*e}", flags.precision.unwrap_or(6))),
        'g' => print_inner(&Value::from(magnitude)),
        _ => return None,
    };
    Some(format!("{}{digits}", sign(float < 0.0, flags)))
}

/// Go writes at least two digits of an exponent, and its sign.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

fn sign(negative: bool, flags: &Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn pad(text: String, is_number: bool, flags: &Flags) -> String {
    let width = flags.width;
    if flags.minus {
        return format!("{text:<width$}");
    }
    if flags.zero && is_number {
        let signed = text.starts_with(['-', '+', ' ']);
        let (sign, digits) = text.split_at(usize::from(signed));
        return format!("{sign}{digits:0>width$}", width = width.saturating_sub(sign.len()));
    }
    format!("{text:>width$}")
}
