//! What a text means as the value of a flag.

use crate::config::bool_of_text;

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    let known = bool_of_text(text).filter(|_| !text.is_empty());
    known.ok_or_else(|| format!("`{text}` is neither true nor false"))
}

pub(super) fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number"))
}

/// A number of bytes: `512m`.
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, factor) = match lower.chars().next_back() {
        Some('k') => (&lower[..lower.len() - 1], 1 << 10),
        Some('m') => (&lower[..lower.len() - 1], 1 << 20),
        Some('g') => (&lower[..lower.len() - 1], 1 << 30),
        Some('t') => (&lower[..lower.len() - 1], 1_i64 << 40),
        _ => (lower, 1),
    };
    let number = digits.trim().parse::<i64>().ok().and_then(|number| number.checked_mul(factor));
    number.filter(|n| *n >= 0).ok_or_else(|| format!("`{text}` is no size such as `512m`"))
}

/// `name=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("this is no `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}
