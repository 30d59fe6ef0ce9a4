//! `printf`: Go's verbs for strings, numbers and booleans.

use serde_json::Value;

use super::value::{print, type_name};
use crate::budget::Limit;

/// The widest that one value may be padded to; Go reads a format up to a larger number only.
const MAX_WIDTH: usize = 1_000_000;

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
        let (flags, after) = flags(&rest[at + 1..]);
        let longest = flags.width.max(flags.precision.unwrap_or(0));
        Limit::TEXT.check(text.len() + longest).map_err(|exceeded| exceeded.to_string())?;
        let Some(verb) = after.chars().next() else {
            text += "%!(NOVERB)";
            rest = "";
            break;
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
        arguments.map(|value| format!("{}={}", type_name(value), print(value))).collect();
    if !extra.is_empty() {
        text += &format!("%!(EXTRA {})", extra.join(", "));
    }
    Ok(text)
}

/// The flags at the start of `text`, and what follows them.
fn flags(text: &str) -> (Flags, &str) {
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
    (flags.width, rest) = number(rest);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after);
        flags.precision = Some(precision);
        rest = after;
    }
    (flags, rest)
}

/// The number at the start of `text`, and what follows it: nothing, if it is too large.
fn number(text: &str) -> (usize, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - rest.len()];
    match digits.parse() {
        Ok(number) if number <= MAX_WIDTH => (number, rest),
        _ if digits.is_empty() => (0, rest),
        _ => (0, ""),
    }
}

fn verb_text(verb: char, value: &Value, flags: &Flags) -> String {
    let body = match (verb, value) {
        ('v', _) => cut(print(value), value, flags),
        ('s', Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            cut(print(value), value, flags)
        }
        ('q', Value::String(text)) => format!("{text:?}"),
        ('x', Value::String(text)) => hex::encode(text),
        ('X', Value::String(text)) => hex::encode_upper(text),
        ('t', Value::Bool(_)) => print(value),
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
        _ => format!("%!{verb}({}={})", type_name(value), print(value)),
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
    let digits = filled(&digits, flags.precision.unwrap_or(0), "0");
    Some(format!("{}{digits}", sign(integer < 0, flags)))
}

fn float_text(verb: char, float: f64, flags: &Flags) -> Option<String> {
    /// No float has more digits than this that are no zeros.
    const MOST_DIGITS: usize = 1100;
    let magnitude = float.abs();
    let precision = flags.precision.unwrap_or(6);
    let (digits, zeros) = (precision.min(MOST_DIGITS), precision.saturating_sub(MOST_DIGITS));
    let digits = match verb {
        'f' | 'F' => format!("{magnitude:.digits$}") + &"0".repeat(zeros),
        'e' => exponent(&format!("{magnitude:.digits$e}"), zeros),
        'g' => print(&Value::from(magnitude)),
        _ => return None,
    };
    Some(format!("{}{digits}", sign(float < 0.0, flags)))
}

/// Go writes at least two digits of an exponent, and its sign. So many zeros are missing before it.
fn exponent(text: &str, zeros: usize) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let zeros = "0".repeat(zeros);
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}{zeros}e-{exponent:0>2}"),
        None => format!("{digits}{zeros}e+{exponent:0>2}"),
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
        let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
        return text + &blanks;
    }
    if flags.zero && is_number {
        let signed = text.starts_with(['-', '+', ' ']);
        let (sign, digits) = text.split_at(usize::from(signed));
        return format!("{sign}{}", filled(digits, width.saturating_sub(sign.len()), "0"));
    }
    filled(&text, width, " ")
}

/// `text` with `filler` before it up to the width; `format!` takes no large ones.
fn filled(text: &str, width: usize, filler: &str) -> String {
    filler.repeat(width.saturating_sub(text.chars().count())) + text
}
