//! How Go prints floats and quotes strings, because that is how values have always been shown.

use std::fmt::Write;

use crate::source::is_print;

/// `%g` with the fewest digits that name the float.
pub fn float_shortest(value: f64) -> String {
    float(value, 'g', None)
}

/// A float in the form of the verb `e`, `E`, `f`, `F`, `g` or `G`; `precision` `None` is the verb's
/// shortest form.
pub fn float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_infinite() {
        return if value < 0.0 { "-Inf".into() } else { "+Inf".into() };
    }
    let text = match verb.to_ascii_lowercase() {
        'e' => exponent_form(value, precision),
        'f' => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => format!("{value}"),
        },
        _ => general_form(value, precision),
    };
    if verb.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// `d.ddde±dd`.
fn exponent_form(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Exponent form for very small and large values, else plain; trailing zeros are dropped.
fn general_form(value: f64, precision: Option<usize>) -> String {
    let digits = precision.map(|digits| digits.max(1));
    let text = exponent_form(value, digits.map(|digits| digits - 1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let limit = match digits {
        None => 6,
        Some(digits) if digits > significant && significant as i32 > exponent => significant as i32,
        Some(digits) => digits as i32,
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:0>2}", exponent.unsigned_abs());
    }
    let decimals = (significant as i32 - 1 - exponent).max(0);
    format!("{value:.*}", usize::try_from(decimals).unwrap_or(0))
}

/// `%q`: in double quotes, with everything escaped that does not print.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_print(character) => quoted.push(character),
            _ => escape(&mut quoted, character),
        }
    }
    quoted.push('"');
    quoted
}

fn escape(to: &mut String, character: char) {
    let code = u32::from(character);
    // Writing to a string cannot fail.
    let _ = match code {
        0..0x80 => write!(to, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(to, "\\u{code:04x}"),
        _ => write!(to, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_go() {
        assert_eq!(float_shortest(0.1), "0.1");
        assert_eq!(float_shortest(1e-7), "1e-07");
        assert_eq!(float_shortest(9.223372036854776e18), "9.223372036854776e+18");
        assert_eq!(float_shortest(3.1428571428571427e6), "3.1428571428571427e+06");
        assert_eq!(float(1e21, 'g', None), "1e+21");
        assert_eq!(float(2.5, 'f', Some(0)), "2");
    }
}
