//! The inputs `variables` and `secrets`: `name: value`, an entry a line, as YAML has it, but that a value
//! on its line is the text that stands there. YAML would make a number of `1.10`, cut `x #y` at the blank
//! and refuse `p@ss: word`; and whoever writes `${{ secrets.NAME }}` cannot know what will stand there.
//!
//! Quoted texts, texts of several lines (`|`, `>`), lists and maps are YAML's own.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value as Json};

use crate::budget::Limit;

/// What to do where a value cannot stand as it is.
const AS_JSON: &str = "give what YAML would change as JSON: `name: ${{ toJSON(secrets.NAME) }}`";

/// One variable.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Given {
    pub name: String,
    /// The value as `-var` takes it: a text as it is, a list or map as HCL2.
    pub text: String,
    /// The texts that the value consists of.
    pub parts: Vec<String>,
}

/// What an input says.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    pub given: Vec<Given>,
    /// A sentence for each entry that cannot be read. No value is shown.
    pub wrong: Vec<String>,
    /// A sentence for each value that somebody may have meant otherwise.
    pub remarks: Vec<String>,
    /// The values in which YAML would have seen a comment.
    pub with_hash: Vec<String>,
}

impl Mapping {
    pub fn read(text: &str) -> Self {
        let mut mapping = Self::default();
        // All of it may be JSON.
        if text.trim_start().starts_with('{') {
            mapping.read_whole(text);
            return mapping;
        }
        let mut entries = Entries::default();
        for (number, line) in (1..).zip(text.lines()) {
            if !entries.take(number, line) {
                let what = format!("line {number} is not `name: value`");
                mapping.wrong.push(format!("{what}; {AS_JSON}"));
            }
        }
        entries.all.iter().for_each(|entry| mapping.read_entry(entry));
        mapping
    }

    fn read_whole(&mut self, text: &str) {
        match document(text) {
            Some(Node::Map(pairs)) => {
                for (name, node) in pairs {
                    self.add(name, &node);
                }
            }
            _ => self
                .wrong
                .push(format!("it begins with `{{`, but is not valid YAML or JSON; {AS_JSON}")),
        }
    }

    fn read_entry(&mut self, entry: &Entry<'_>) {
        let name = entry.name;
        match entry.node() {
            Some(node) => self.add(name.to_owned(), &node),
            None => {
                let first = entry.value.chars().next().unwrap_or_default();
                self.wrong.push(format!(
                    "the value of `{name}` (line {}) begins with `{first}`, but is not what YAML \
                     understands by that; {AS_JSON}",
                    entry.line
                ));
            }
        }
        if entry.is_plain() && entry.value.contains(" #") {
            self.with_hash.push(name.to_owned());
        }
        if entry.ends_in_blanks {
            self.remarks.push(format!("blanks at the end of `{name}` are dropped; {AS_JSON}"));
        }
    }

    fn add(&mut self, name: String, node: &Node) {
        if self.given.iter().any(|given| given.name == name) {
            return self.wrong.push(format!("`{name}` is given twice"));
        }
        let mut parts = Vec::new();
        node.texts(&mut parts);
        match node.as_variable() {
            Some(text) => self.given.push(Given { name, text, parts }),
            None => self.wrong.push(format!("the value of `{name}` cannot be written as HCL2")),
        }
    }
}

/// The entries of a text, found line by line.
#[derive(Default)]
struct Entries<'a> {
    /// How far the names are indented.
    indent: Option<usize>,
    all: Vec<Entry<'a>>,
}

/// A name and all that stands there for it.
struct Entry<'a> {
    line: usize,
    name: &'a str,
    /// What follows the name on its line.
    value: &'a str,
    /// The lines below it that belong to it.
    rest: Vec<&'a str>,
    ends_in_blanks: bool,
}

impl<'a> Entries<'a> {
    /// Takes one more line; `false` if it cannot be part of an entry.
    fn take(&mut self, number: usize, line: &'a str) -> bool {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let last = self.all.last_mut();
        if content.is_empty() {
            last.into_iter().for_each(|entry| entry.rest.push(""));
            return true;
        }
        if last.is_none() && (content == "---" || content.starts_with('#')) {
            return true;
        }
        let names_at = *self.indent.get_or_insert(indent);
        match last {
            Some(entry) if indent > names_at || entry.goes_on_with(content) => {
                entry.rest.push(line.get(names_at..).unwrap_or(content));
            }
            _ if content.starts_with('#') => {}
            _ => match Entry::new(number, content) {
                Some(entry) => self.all.push(entry),
                None => return false,
            },
        }
        true
    }
}

impl<'a> Entry<'a> {
    fn new(line: usize, content: &'a str) -> Option<Self> {
        let (name, value) = match content.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split_once(['"', '\''])?,
            None => {
                let ends =
                    |at: &usize| content[at + 1..].chars().next().is_none_or(char::is_whitespace);
                content.split_at(content.match_indices(':').map(|(at, _)| at).find(ends)?)
            }
        };
        let (name, value) = (name.trim_end(), value.trim_start().strip_prefix(':')?.trim_start());
        let ends_in_blanks = value != value.trim_end();
        let entry = Self { line, name, value: value.trim_end(), rest: Vec::new(), ends_in_blanks };
        (!name.is_empty()).then_some(entry)
    }

    /// Whether a line that is indented no further belongs to it: the end of a list or map as JSON has
    /// it, or an item of a list.
    fn goes_on_with(&self, content: &str) -> bool {
        match self.value.chars().next() {
            Some('[' | '{') => content.starts_with([']', '}']),
            None => content == "-" || content.starts_with("- "),
            Some(_) => false,
        }
    }

    /// Whether it is a text that stands there as it is.
    fn is_plain(&self) -> bool {
        match self.value.chars().next() {
            Some('"' | '\'' | '[' | '{') => false,
            Some('|' | '>') => !is_block(self.value),
            _ => true,
        }
    }

    /// The value; `None` if it is not what it begins as.
    fn node(&self) -> Option<Node> {
        let is_alone = self.rest.iter().all(|line| line.is_empty());
        match self.value.chars().next() {
            None if !is_alone => document(&self.rest.join("\n")),
            Some('#') if !is_alone => document(&self.rest.join("\n")),
            // JSON has escapes that YAML does not.
            Some('"') if let Ok(text) = serde_json::from_str(self.value) => Some(Node::text(text)),
            Some(_) if !self.is_plain() => document(&self.whole()),
            _ => Some(Node::text(self.folded())),
        }
    }

    fn whole(&self) -> String {
        let lines = std::iter::once(self.value).chain(self.rest.iter().copied());
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// A text over several lines: a line end is a blank, an empty line is a line end.
    fn folded(&self) -> String {
        let mut text = self.value.to_owned();
        let mut empty = 0;
        for line in self.rest.iter().map(|line| line.trim()) {
            match line {
                "" => empty += 1,
                line => {
                    let gap = if empty > 0 { "\n".repeat(empty) } else { " ".to_owned() };
                    text.extend([gap.as_str(), line]);
                    empty = 0;
                }
            }
        }
        text
    }
}

/// Whether a value is only the head of a text of several lines: `|`, `>-`, `|2`.
fn is_block(value: &str) -> bool {
    let head = value.split(" #").next().unwrap_or_default().trim_end();
    head[1..].chars().all(|next| next.is_ascii_digit() || matches!(next, '+' | '-'))
}

/// A value in YAML.
#[derive(Debug)]
enum Node {
    Scalar { text: String, is_plain: bool },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn text(text: String) -> Self {
        Self::Scalar { text, is_plain: false }
    }

    /// As `-var` takes it: texts as they are, lists and maps as HCL2.
    fn as_variable(&self) -> Option<String> {
        use hcl::format::{Format as _, Formatter};
        if let Self::Scalar { text, .. } = self {
            return Some(text.clone());
        }
        // What would be a template in HCL2 is text here: it is escaped.
        let value = hcl::to_expression(self.as_json()).ok()?;
        let mut formatter = Formatter::builder().compact(true).build_vec();
        value.format_string(&mut formatter).ok()
    }

    /// Within lists and maps a value has a type, but none that would change how it is written.
    fn as_json(&self) -> Json {
        match self {
            Self::Scalar { text, is_plain: true } => match text.as_str() {
                "" | "~" | "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                text => number(text).map_or_else(|| text.into(), Json::Number),
            },
            Self::Scalar { text, .. } => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::as_json).collect(),
            Self::Map(pairs) => {
                let pairs = pairs.iter().map(|(name, node)| (name.clone(), node.as_json()));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    fn texts(&self, found: &mut Vec<String>) {
        match self {
            Self::Scalar { text, .. } => found.push(text.clone()),
            Self::List(items) => items.iter().for_each(|item| item.texts(found)),
            Self::Map(pairs) => pairs.iter().for_each(|(_, node)| node.texts(found)),
        }
    }
}

/// A number that is written as HCL2 would write it.
fn number(text: &str) -> Option<Number> {
    let number = text.parse::<i64>().map(Number::from).ok();
    let number = number.or_else(|| text.parse().ok().and_then(Number::from_f64));
    number.filter(|number| number.to_string() == text)
}

/// The one value of a text in YAML.
fn document(text: &str) -> Option<Node> {
    let mut events = Events(Parser::new_from_str(text));
    let node = match events.next()? {
        Event::StreamEnd => return None,
        event => events.node(event, 0)?,
    };
    matches!(events.next()?, Event::StreamEnd).then_some(node)
}

struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    /// The next one that says something of values.
    fn next(&mut self) -> Option<Event<'a>> {
        loop {
            match self.0.next_event()?.ok()?.0 {
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                event => return Some(event),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Option<Node> {
        Limit::DEPTH.check(depth).ok()?;
        match event {
            Event::Scalar(text, style, ..) => {
                let is_plain = style == ScalarStyle::Plain;
                Some(Node::Scalar { text: text.into_owned(), is_plain })
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Some(Node::List(items)),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut pairs = Vec::new();
                loop {
                    match self.next()? {
                        Event::MappingEnd => return Some(Node::Map(pairs)),
                        Event::Scalar(name, ..) => {
                            let value = self.next()?;
                            pairs.push((name.into_owned(), self.node(value, depth + 1)?));
                        }
                        _ => return None,
                    }
                }
            }
            // An alias could make a small text a large value.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        let mapping = Mapping::read(&format!("name: {value}\nlast: x"));
        assert!(mapping.wrong.is_empty(), "{value}: {:?}", mapping.wrong);
        assert_eq!(mapping.given.len(), 2, "{value}");
        mapping.given[0].text.clone()
    }

    #[test]
    fn a_value_on_its_line_is_the_text_that_stands_there() {
        for value in [
            "1e5",
            "1.10",
            "0x1F",
            "0o17",
            "1_000",
            "12345678901234567890123",
            ".inf",
            "null",
            "~",
            "yes",
            "true",
            "2026-11-29",
            "Sup3rPass #9x",
            "#x",
            "!Passw0rd x",
            "p@ss: word",
            "@x",
            "%x",
            "`x",
            "&x",
            "*x",
            "- x",
            "? x",
            "|x",
            ">x",
            ": x",
            "a: b: c",
            "${x}",
            "a\\nb",
            "x'y",
            "ä",
            "",
        ] {
            assert_eq!(text(value), value);
        }
    }

    #[test]
    fn quotes_and_several_lines_are_yamls() {
        for (value, meant) in [
            (r#""a\tb #c""#, "a\tb #c"),
            (r#""\ud83d\ude00\/""#, "😀/"),
            ("'it''s'", "it's"),
            ("'two\n  lines'", "two lines"),
            ("|\n  -----BEGIN\n  a: b\n\n    #c\n", "-----BEGIN\na: b\n\n  #c\n"),
            ("|-\n  x", "x"),
            (">\n  a\n  b\n", "a b\n"),
            ("first\n  second\n\n  third", "first second\nthird"),
            ("\n  below", "below"),
        ] {
            assert_eq!(text(value), meant, "{value}");
        }
    }

    #[test]
    fn lists_and_maps_become_hcl2_and_change_no_value_either() {
        assert_eq!(
            text("{a: [1, 1.5, null, true], b c: \"\\b%{x}\\\"\", 1: {}}"),
            r#"{ "a" = [1, 1.5, null, true], "b c" = "\u0008%%{x}\"", "1" = {} }"#
        );
        assert_eq!(text("[1.10, 1e5, 0x1F, True, '1']"), r#"["1.10", "1e5", "0x1F", "True", "1"]"#);
        for list in [
            "[a, b]",
            "\n  - a\n  - b",
            "\n- a\n- b",
            "[\n  \"a\",\n  \"b\"\n]",
            "# two\n  - a\n  - b",
        ] {
            assert_eq!(text(list), r#"["a", "b"]"#, "{list}");
        }
        assert_eq!(text("\n  a: 1\n  b: x # y"), r#"{ "a" = 1, "b" = "x" }"#);
    }

    #[test]
    fn all_of_it_may_be_json() {
        let mapping = Mapping::read("{\n  \"A\": \"x #y\",\n  \"b\": [\"1.10\"], \"n\": 1e5\n}\n");
        let texts: Vec<_> = mapping.given.iter().map(|one| (&*one.name, &*one.text)).collect();
        assert_eq!(texts, [("A", "x #y"), ("b", r#"["1.10"]"#), ("n", "1e5")]);
        assert_eq!(mapping.given[1].parts, ["1.10"], "each text of a list is one to hide");
    }

    #[test]
    fn what_yaml_cannot_hold_is_refused_with_the_way_out_and_not_shown() {
        for hostile in [
            "hunter2",
            "a: x\n-----BEGIN hunter2\nhunter2=",
            "a: \"hunter2",
            "a: 'x' hunter2",
            "a: [hunter2",
            "a: {hunter2: {",
            "a: [*hunter2]",
            "{hunter2",
        ] {
            let wrong = Mapping::read(hostile).wrong.join("\n");
            assert!(wrong.contains("toJSON") && !wrong.contains("hunter2"), "{hostile}: {wrong}");
        }
        let deep = format!("a: {}", "[".repeat(100_000));
        assert_eq!(Mapping::read(&deep).wrong.len(), 1);
    }

    #[test]
    fn entries_are_found_whatever_stands_around_them() {
        let text = "---\n# a comment\n\n  a: 1\n  # another\n  'b c': 2  \n  \"d\" : 3\n";
        let mapping = Mapping::read(text);
        let texts: Vec<_> = mapping.given.iter().map(|one| (&*one.name, &*one.text)).collect();
        assert_eq!(texts, [("a", "1"), ("b c", "2"), ("d", "3")]);
        assert_eq!(mapping.remarks.len(), 1, "{:?}", mapping.remarks);
        assert_eq!(Mapping::read("a: 1\na: 2").wrong, ["`a` is given twice"]);
    }
}
