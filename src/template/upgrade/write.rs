//! HCL as its formatter lays it out: two blanks per level, and the `=` of neighbouring lines in
//! one column.

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

impl Value {
    /// Whether it takes more than one line.
    fn is_long(&self) -> bool {
        matches!(self, Self::Object(members) if !members.is_empty())
    }

    /// The value in one line.
    fn short(&self) -> String {
        match self {
            Self::Expression(text) => text.clone(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::short).collect::<Vec<_>>().join(", "))
            }
            Self::Object(members) if members.is_empty() => "{}".to_owned(),
            Self::Object(members) => {
                let member = |(key, value): &(String, Self)| format!("{key} = {}", value.short());
                format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The lines of `items`, each with its line's end.
pub(super) fn write(items: &[Item]) -> String {
    let mut out = String::new();
    write_body(&mut out, items, 0);
    out
}

fn write_body(out: &mut String, items: &[Item], level: usize) {
    let assigned = |item: &Item| match item {
        Item::Attribute(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    };
    let mut rest = items;
    while let Some((item, after)) = rest.split_first() {
        let attributes: Vec<(String, Value)> = rest.iter().map_while(assigned).collect();
        if !attributes.is_empty() {
            rest = &rest[attributes.len()..];
            write_attributes(out, &attributes, level);
            continue;
        }
        rest = after;
        match item {
            Item::Block(block) => write_block(out, block, level),
            Item::Comment(text) => write_comment(out, text, level),
            Item::Line(text) => line(out, level, text),
            Item::Blank | Item::Attribute(..) => out.push('\n'),
        }
    }
}

/// A value of several lines parts those around it into columns of their own.
fn write_attributes(out: &mut String, attributes: &[(String, Value)], level: usize) {
    let mut rest = attributes;
    while let Some(((name, value), after)) = rest.split_first() {
        let run = rest.iter().take_while(|(_, value)| !value.is_long()).count();
        let (column, after_run) = rest.split_at(run);
        let width = column.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in column {
            line(out, level, &format!("{name:width$} = {}", value.short()));
        }
        rest = after_run;
        if let (0, Value::Object(members)) = (run, value) {
            line(out, level, &format!("{name} = {{"));
            write_attributes(out, members, level + 1);
            line(out, level, "}");
            rest = after;
        }
    }
}

fn write_block(out: &mut String, block: &Block, level: usize) {
    let labels: String = block.labels.iter().map(|label| format!(" \"{label}\"")).collect();
    line(out, level, &format!("{}{labels} {{", block.kind));
    write_body(out, &block.body, level + 1);
    line(out, level, "}");
}

fn write_comment(out: &mut String, text: &str, level: usize) {
    for text in text.lines() {
        match text {
            "" => out.push('\n'),
            text => line(out, level, &format!("# {text}")),
        }
    }
}

fn line(out: &mut String, level: usize, text: &str) {
    out.extend(std::iter::repeat_n("  ", level));
    out.push_str(text);
    out.push('\n');
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
            c if c.is_control() => result.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => result.push(c),
        }
    }
    result
}

/// Whether HCL reads `name` as one name.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| unicode_ident::is_xid_start(c) || c == '_');
    starts && chars.all(|c| unicode_ident::is_xid_continue(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Expression(quoted(text))
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
