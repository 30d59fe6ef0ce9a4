//! Evaluated configuration with places.

use indexmap::IndexMap;

use crate::source::Span;

/// A text that is not known before a machine runs or a data source was asked.
pub const UNKNOWN: &str = "<unknown>";

/// One value of a component's body and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: NodeKind,
}

/// The values that a body can hold.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `null`: as if the key were not there.
    Null,
    /// What a data source will answer, while nobody has asked it: fits wherever a single value does.
    Unknown,
    /// `true` or `false`.
    Bool(bool),
    /// A number as the text that prints it exactly.
    Number(String),
    /// A string. Not yet rendered: it may hold `{{ … }}`.
    String(String),
    /// A list, tuple or set, or repeated blocks.
    List(Vec<Node>),
    /// A map, an object or a block.
    Map(IndexMap<String, Entry>),
}

/// A key of a map, with the place of the key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key was written.
    pub key: Span,
    /// The value.
    pub value: Node,
    /// How it was written.
    pub form: Form,
}

/// How an option was written, as far as it matters for what it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Legacy JSON: anything goes; a single value is a list of one.
    #[default]
    Weak,
    /// HCL2's JSON syntax: types are as in HCL2, but arguments and blocks look the same.
    Typed,
    /// `name = value`
    Argument,
    /// `name { … }`
    Block,
}

impl Node {
    /// `kind`, written at `span`.
    pub fn new(span: Span, kind: NodeKind) -> Self {
        Self { span, kind }
    }

    /// An empty body.
    pub fn empty(span: Span) -> Self {
        Self::new(span, NodeKind::Map(IndexMap::new()))
    }

    /// The body with those of its entries whose keys `keep` wants.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries().into_iter().flatten().filter(|(key, _)| keep(key));
        let entries = entries.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Self::new(self.span, NodeKind::Map(entries))
    }

    /// The entry of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.get(key)
    }

    /// Where `option` (`ami_name`, `source_ami_filter.owners.0`) stands; else its nearest written
    /// parent, and that it is not itself.
    pub fn place(&self, option: &str) -> (&Self, bool) {
        let mut place = self;
        for key in option.split('.') {
            // Blocks are a list, also where there is only one.
            let in_block = || place.items().iter().find_map(|block| block.get(key));
            place = match (place.get(key).or_else(in_block), key.parse::<usize>()) {
                (Some(entry), _) => &entry.value,
                // A single value stands for a list of one.
                (None, Ok(index)) => place.items().get(index).unwrap_or(place),
                (None, Err(_)) => return (place, false),
            };
        }
        (place, true)
    }

    /// The entries, if this is a map.
    pub fn entries(&self) -> Option<&IndexMap<String, Entry>> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            NodeKind::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it says nothing: as templates are used to, an empty text and an empty list are an
    /// option that is not given.
    pub fn is_not_given(&self) -> bool {
        match &self.kind {
            NodeKind::Null => true,
            NodeKind::String(text) => text.is_empty(),
            NodeKind::List(items) => items.is_empty(),
            _ => false,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            NodeKind::Unknown => Some(UNKNOWN),
            _ => None,
        }
    }

    /// What an error calls this kind of value.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "null",
            NodeKind::Unknown => "a value that is not known yet",
            NodeKind::Bool(_) => "a bool",
            NodeKind::Number(_) => "a number",
            NodeKind::String(_) => "a string",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
        }
    }
}

/// The bool that `text` means.
pub fn bool_of_text(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
impl Node {
    /// A body written as JSON, nowhere in particular.
    pub(crate) fn for_tests(json: &serde_json::Value) -> Self {
        use serde_json::Value;
        let span = Span::new(crate::source::SourceMap::default().add("t.json", ""), 0, 0);
        let entry = |(key, value): (&String, &Value)| {
            (key.clone(), Entry { key: span, value: Self::for_tests(value), form: Form::Weak })
        };
        let kind = match json {
            Value::Null => NodeKind::Null,
            Value::Bool(value) => NodeKind::Bool(*value),
            Value::Number(value) => NodeKind::Number(value.to_string()),
            Value::String(text) => NodeKind::String(text.clone()),
            Value::Array(items) => NodeKind::List(items.iter().map(Self::for_tests).collect()),
            Value::Object(map) => NodeKind::Map(map.iter().map(entry).collect()),
        };
        Self::new(span, kind)
    }
}
