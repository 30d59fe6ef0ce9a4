//! HCL text from its parts; the formatter lays it out.
//!
//! `hcl-rs`, which writes values elsewhere, writes neither comments nor empty lines, and its expressions are
//! trees. Here most of them are texts of the template that nobody has parsed: `{{ … }}` that has become
//! `${ … }`, and is written as it is.

use crate::source::is_print;
use crate::template::format;

/// Whether HCL reads it as one name.
pub(super) use crate::template::hcl::is_identifier as is_name;

/// What stands in a body, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Attribute(String, Value),
    Block(Block),
    /// Lines of a comment; an empty one ends it and begins the next.
    Comment(String),
    /// A line as it is.
    Line(String),
    /// An empty line.
    Blank,
}

/// `kind "label" { … }`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub kind: String,
    pub labels: Vec<String>,
    pub body: Vec<Item>,
}

impl Block {
    pub fn new(kind: &str, labels: &[&str], body: Vec<Item>) -> Self {
        Self {
            kind: kind.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            body,
        }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// An expression of one line.
    Expression(String),
    List(Vec<Value>),
    /// Keys as they are written.
    Object(Vec<(String, Value)>),
}

/// The text of `items`, in canonical style.
pub(super) fn write(items: &[Item]) -> String {
    let mut text = String::new();
    write_body(&mut text, items);
    format::format(&text)
}

fn write_body(out: &mut String, items: &[Item]) {
    for item in items {
        match item {
            Item::Attribute(name, value) => {
                out.extend([name, " = "]);
                write_value(out, value, LONG);
                out.push('\n');
            }
            Item::Block(block) => write_block(out, block),
            Item::Comment(text) => write_comment(out, text),
            Item::Line(text) => out.extend([text, "\n"]),
            Item::Blank => out.push('\n'),
        }
    }
}

fn write_block(out: &mut String, block: &Block) {
    out.push_str(&block.kind);
    for label in &block.labels {
        out.extend([" ", &quoted(label)]);
    }
    out.push_str(" {\n");
    write_body(out, &block.body);
    out.push_str("}\n");
}

fn write_comment(out: &mut String, text: &str) {
    for line in text.lines() {
        out.extend([if line.is_empty() { "" } else { "# " }, line, "\n"]);
    }
}

/// What stands before, between and behind the members of an object.
type Layout = [&'static str; 3];
const LONG: Layout = ["{\n", "\n", "\n}"];
const SHORT: Layout = ["{ ", ", ", " }"];

fn write_value(out: &mut String, value: &Value, layout: Layout) {
    match value {
        Value::Expression(text) => out.push_str(text),
        Value::List(items) => write_elements(out, ["[", ", ", "]"], items, |out, item| {
            write_value(out, item, SHORT);
        }),
        Value::Object(members) if members.is_empty() => out.push_str("{}"),
        Value::Object(members) => write_elements(out, layout, members, |out, (key, value)| {
            out.extend([key, " = "]);
            write_value(out, value, layout);
        }),
    }
}

fn write_elements<T>(
    out: &mut String,
    [open, between, close]: Layout,
    elements: &[T],
    write: impl Fn(&mut String, &T),
) {
    out.push_str(open);
    for (at, element) in elements.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { between });
        write(out, element);
    }
    out.push_str(close);
}

/// `text` as a quoted string without interpolations.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// `text` between quotes: nothing in it means anything to HCL.
pub(super) fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            '$' | '%' if chars.peek() == Some(&'{') => result.extend([c, c]),
            c if is_print(c) => result.push(c),
            '\0'..='\u{ffff}' => result.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => result.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    result
}

/// Whether `name` can be the key of an object without quotes: `{ for …` is something else.
pub(super) fn is_key(name: &str) -> bool {
    is_name(name) && name != "for"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Expression(quoted(text))
    }

    #[test]
    fn what_does_not_print_is_escaped() {
        assert_eq!(
            escaped("a\u{2028}\u{a0}\u{feff}\u{e000}\0ü😀"),
            r"a\u2028\u00a0\ufeff\ue000\u0000ü😀"
        );
    }

    #[test]
    fn neighbouring_lines_share_a_column() {
        let long = Value::Object(vec![("k".into(), text("v")), ("\"a b\"".into(), text("w"))]);
        let items = [
            Item::Attribute("a".into(), text("1")),
            Item::Attribute("long_name".into(), Value::List(vec![text("2"), text("3")])),
            Item::Attribute("map".into(), long),
            Item::Attribute("b".into(), Value::Object(Vec::new())),
            Item::Block(Block::new("c", &["d"], vec![Item::Attribute("e".into(), text("f"))])),
            Item::Attribute("longest_name".into(), text("g")),
        ];
        let expected = "a         = \"1\"\nlong_name = [\"2\", \"3\"]\nmap = {\n  k     = \"v\"\n  \
                        \"a b\" = \"w\"\n}\nb = {}\nc \"d\" {\n  e = \"f\"\n}\nlongest_name = \"g\"\n";
        assert_eq!(write(&items), expected);
    }

    #[test]
    fn nothing_in_a_quoted_text_means_anything() {
        assert_eq!(quoted("\"\\\n${a}%{b}$$c\u{1b}é"), r#""\"\\\n$${a}%%{b}$$c\u001bé""#);
    }
}
