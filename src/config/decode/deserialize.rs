//! A `serde` deserializer over [`Node`], weakly typed: `"22"` is a number where one is wanted, a
//! single value is a list of one, `"a,b"` is a list of two. HCL2 converts less: a number is no bool
//! there, and `true` as a text is `true`, not `1`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::node::{Entry, Form, Node, NodeKind, UNKNOWN};
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::source::Span;

/// Why a value could not be read.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    /// What to do.
    help: Option<String>,
    span: Option<Span>,
    /// The options and keys that lead to the value, outermost first.
    pub(super) path: Vec<String>,
}

impl Error {
    pub(super) fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    pub(super) fn under(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }

    pub(super) fn into_diagnostic(self, component: &str, body: Span) -> Diagnostic {
        let (code, summary) = match self.path.join(".") {
            path if path.is_empty() => {
                (code::MISSING_OPTION, format!("`{component}`: {}", self.message))
            }
            path => (code::OPTION_TYPE, format!("the value of `{path}` cannot be used")),
        };
        let found = Diagnostic::error(code, summary).at(self.span.unwrap_or(body));
        Diagnostic { help: self.help, ..found.because(self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    /// A second line of the message is what to do.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let (message, help) = match message.split_once('\n') {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        Self { message, help, span: None, path: Vec::new() }
    }
}

/// Reads one node. Keys of nested structs that nothing reads go to `unknown`.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    pub(super) node: &'a Node,
    /// How the option that this is or belongs to was written; `None` for the body itself.
    form: Option<Form>,
    unknown: &'a RefCell<Diagnostics>,
}

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(node: &'a Node, unknown: &'a RefCell<Diagnostics>) -> Self {
        Self { node, form: None, unknown }
    }

    /// The deserializer of one option.
    pub(super) fn of_option(entry: &'a Entry, unknown: &'a RefCell<Diagnostics>) -> Self {
        Self { node: &entry.value, form: Some(entry.form), unknown }
    }

    /// The deserializer of a part, which may be shorter-lived than the whole.
    pub(super) fn on<'b>(self, node: &'b Node) -> NodeDeserializer<'b>
    where
        'a: 'b,
    {
        NodeDeserializer { node, ..self }
    }

    /// The deserializer of an entry's value.
    pub(super) fn on_entry<'b>(self, entry: &'b Entry) -> NodeDeserializer<'b>
    where
        'a: 'b,
    {
        let form = self.form.or(Some(entry.form));
        NodeDeserializer { node: &entry.value, form, unknown: self.unknown }
    }

    /// Whether HCL2 has typed the value.
    fn is_typed(self) -> bool {
        self.form.is_some_and(|form| form != Form::Weak)
    }

    fn wanted(self, what: &str) -> Error {
        let kind = self.node.kind_name();
        <Error as de::Error>::custom(format!("expected {what}, found {kind}")).at(self.node.span)
    }

    /// The number written here, or in the string here.
    pub(super) fn number<T: std::str::FromStr>(self, what: &str) -> Result<T, Error> {
        let text = match &self.node.kind {
            NodeKind::Number(text) => text.as_str(),
            NodeKind::String(text) if text.is_empty() => "0",
            NodeKind::String(text) => text.trim(),
            NodeKind::Unknown => "0",
            NodeKind::Bool(value) if !self.is_typed() => ["0", "1"][usize::from(*value)],
            _ => return Err(self.wanted(what)),
        };
        text.parse().map_err(|_| {
            let message = format!("expected {what}, found `{text}`");
            <Error as de::Error>::custom(message).at(self.node.span)
        })
    }

    pub(super) fn bool(self) -> Result<bool, Error> {
        match &self.node.kind {
            NodeKind::Bool(value) => Ok(*value),
            NodeKind::Unknown => Ok(false),
            NodeKind::Number(text) if !self.is_typed() => Ok(text != "0"),
            NodeKind::String(text) => match text.as_str() {
                "1" | "true" => Ok(true),
                "" | "0" | "false" => Ok(false),
                "t" | "T" | "TRUE" | "True" if !self.is_typed() => Ok(true),
                "f" | "F" | "FALSE" | "False" if !self.is_typed() => Ok(false),
                _ => Err(self.wanted("true or false")),
            },
            _ => Err(self.wanted("true or false")),
        }
    }

    pub(super) fn text(self) -> Result<String, Error> {
        match &self.node.kind {
            NodeKind::String(text) | NodeKind::Number(text) => Ok(text.clone()),
            NodeKind::Unknown => Ok(UNKNOWN.to_owned()),
            NodeKind::Bool(value) if self.is_typed() => Ok(value.to_string()),
            NodeKind::Bool(value) => Ok(u8::from(*value).to_string()),
            _ => Err(self.wanted("a string")),
        }
    }

    /// The entries of a map; a list of maps counts as all of them together.
    pub(super) fn entries(self) -> Result<Vec<(&'a str, &'a Entry)>, Error> {
        match &self.node.kind {
            NodeKind::Map(entries) => {
                Ok(entries.iter().map(|(key, e)| (key.as_str(), e)).collect())
            }
            NodeKind::List(items) => {
                let maps = items.iter().map(|item| self.on(item).entries());
                Ok(maps.collect::<Result<Vec<_>, _>>()?.concat())
            }
            NodeKind::Unknown => Ok(Vec::new()),
            _ => Err(self.wanted("a map")),
        }
    }

    /// The items of a list; a single value counts as a list of one, and a text as what is between its
    /// commas.
    pub(super) fn items(self) -> Cow<'a, [Node]> {
        match &self.node.kind {
            NodeKind::List(items) => Cow::Borrowed(items),
            NodeKind::String(text) if text.is_empty() => Cow::default(),
            NodeKind::String(text) => {
                let part = |part: &str| Node::new(self.node.span, NodeKind::String(part.into()));
                text.split(',').map(part).collect()
            }
            NodeKind::Map(entries) if entries.is_empty() => Cow::default(),
            _ => Cow::Borrowed(std::slice::from_ref(self.node)),
        }
    }

    /// Says that `name` is none of the options `known` here.
    pub(super) fn report_unknown<'b>(
        self,
        name: &str,
        entry: &Entry,
        known: impl Iterator<Item = &'b str>,
    ) {
        let mut diagnostic =
            Diagnostic::error(code::UNKNOWN_OPTION, format!("there is no option `{name}` here"))
                .at(entry.key)
                .because("unknown option");
        if let Some(meant) = did_you_mean(name, known) {
            diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
        }
        self.unknown.borrow_mut().push(diagnostic);
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.number::<$type>("a whole number")?)
                .map_err(|error: Error| error.at(self.node.span))
        }
    )+};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::Unknown => visitor.visit_str(UNKNOWN),
            NodeKind::Bool(value) => visitor.visit_bool(*value),
            NodeKind::Number(text) => match text.parse::<i64>() {
                Ok(whole) => visitor.visit_i64(whole),
                Err(_) => visitor.visit_f64(self.number("a number")?),
            },
            NodeKind::String(text) => visitor.visit_str(text),
            NodeKind::List(_) => return self.deserialize_seq(visitor),
            NodeKind::Map(_) => return self.deserialize_map(visitor),
        };
        result.map_err(|error: Error| error.at(self.node.span))
    }

    numbers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64; deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32; deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.number("a number")?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f32(self.number("a number")?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.bool()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text()?).map_err(|error: Error| error.at(self.node.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            NodeKind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = self.items();
        visitor.visit_seq(SeqDeserializer::new(items.iter().map(|item| self.on(item))))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.entries()?.into_iter();
        visitor.visit_map(Entries { entries, value: None, deserializer: self })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut known = Vec::new();
        for (key, entry) in self.entries()? {
            if !fields.contains(&key) {
                self.report_unknown(key, entry, fields.iter().copied());
            } else if !entry.value.is_not_given() {
                known.push((key, entry));
            }
        }
        let entries = known.into_iter();
        visitor
            .visit_map(Entries { entries, value: None, deserializer: self })
            .map_err(|error: Error| error.at(self.node.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let name = match (&self.node.kind, variants) {
            (NodeKind::Unknown, [any, ..]) => (*any).to_owned(),
            _ => self.text()?,
        };
        let name: StringDeserializer<Error> = name.into_deserializer();
        visitor.visit_enum(name).map_err(|error: Error| error.at(self.node.span))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for NodeDeserializer<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

struct Entries<'a, I> {
    entries: I,
    value: Option<(&'a str, &'a Entry)>,
    deserializer: NodeDeserializer<'a>,
}

impl<'a, 'de, I: Iterator<Item = (&'a str, &'a Entry)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(StrDeserializer::<Error>::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, entry) = self
            .value
            .take()
            .ok_or_else(|| <Error as de::Error>::custom("a value was asked for before its key"))?;
        seed.deserialize(self.deserializer.on_entry(entry))
            .map_err(|error| error.at(entry.value.span).under(key))
    }
}
