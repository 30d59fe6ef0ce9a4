//! JSON as Go's encoder writes it, so that a fixed template is the same text as Packer's.

use std::fmt::Write as _;

use serde_json::Value;

use super::edit::Object;

/// `root` with sorted keys, two blanks per level, and a line's end.
pub(super) fn of(root: &Object) -> String {
    let mut text = String::new();
    write_object(&mut text, root, 0);
    text.push('\n');
    text
}

fn write_value(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&float(number.as_f64().unwrap_or_default())),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            write_block(out, ['[', ']'], items, level, |out, item| {
                write_value(out, item, level + 1);
            });
        }
        Value::Object(members) => write_object(out, members, level),
    }
}

fn write_object(out: &mut String, object: &Object, level: usize) {
    let mut members: Vec<(&String, &Value)> = object.iter().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    write_block(out, ['{', '}'], members, level, |out, (key, value)| {
        write_string(out, key);
        out.push_str(": ");
        write_value(out, value, level + 1);
    });
}

/// Brackets around elements that have a line each; nothing but the brackets where there are none.
fn write_block<T>(
    out: &mut String,
    [open, close]: [char; 2],
    elements: impl IntoIterator<Item = T>,
    level: usize,
    mut write: impl FnMut(&mut String, T),
) {
    let mut elements = elements.into_iter().peekable();
    out.push(open);
    while let Some(element) = elements.next() {
        new_line(out, level + 1);
        write(out, element);
        match elements.peek() {
            Some(_) => out.push(','),
            None => new_line(out, level),
        }
    }
    out.push(close);
}

fn new_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level));
}

/// Go escapes `&` and the line ends of Unicode, for the sake of scripts that JSON is put into. The
/// other control characters are escaped here, so that no text moves the cursor of a terminal.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '&' | '\u{2028}' | '\u{2029}' => write_escape(out, c),
            c if c.is_control() => write_escape(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_escape(out: &mut String, c: char) {
    // A `String` takes everything.
    let _ = write!(out, "\\u{:04x}", u32::from(c));
}

/// The shortest text that means `value`; with an exponent where it is far from one.
fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return if size < 1.0 { text } else { text.replace('e', "e+") };
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_float64() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-7"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn empty_blocks_have_one_line() {
        let object = serde_json::from_str(r#"{"b": [], "a": {"c": {}}}"#).unwrap();
        assert_eq!(of(&object), "{\n  \"a\": {\n    \"c\": {}\n  },\n  \"b\": []\n}\n");
    }

    #[test]
    fn no_text_moves_the_cursor() {
        let object = serde_json::from_str(r#"{"a": "\u001b[2J\u009b\u007f<&>\u2028é"}"#).unwrap();
        let text = "{\n  \"a\": \"\\u001b[2J\\u009b\\u007f<\\u0026>\\u2028é\"\n}\n";
        assert_eq!(of(&object), text);
    }
}
