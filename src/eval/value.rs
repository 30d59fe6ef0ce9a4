//! Values: what expressions are evaluated to.
//!
//! A value is known, unknown or null, always of a [`Type`], and may be sensitive; whatever is made
//! of a sensitive value is sensitive too. The insides are shared: a clone costs a counter.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::number::Number;
use super::types::{Field, Type};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Whether it must not be shown.
    pub sensitive: bool,
}

/// The forms of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null` of a type.
    Null(Type),
    /// Not known before the machine runs.
    Unknown(Type),
    /// A bool.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text in normal form C.
    String(Arc<str>),
    /// A list and the type of its items.
    List(Type, Arc<[Value]>),
    /// A set, in order and without duplicates, and the type of its items.
    Set(Type, Arc<[Value]>),
    /// A map and the type of its values.
    Map(Type, Entries),
    /// A tuple.
    Tuple(Arc<[Value]>),
    /// An object.
    Object(Entries),
}

/// What maps and objects hold, sorted by key.
pub type Entries = Arc<BTreeMap<Arc<str>, Value>>;

impl Data {
    /// Shown to everyone.
    pub fn public(self) -> Value {
        Value { data: self, sensitive: false }
    }
}

impl Value {
    /// `null` of any type.
    pub const NULL: Self = Self { data: Data::Null(Type::Any), sensitive: false };
    /// A value of which nothing is known.
    pub const UNKNOWN: Self = Self { data: Data::Unknown(Type::Any), sensitive: false };

    /// A text, brought into normal form C.
    pub fn string(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let text =
            if is_nfc(text) { Arc::from(text) } else { text.nfc().collect::<String>().into() };
        Data::String(text).public()
    }

    /// A tuple.
    pub fn tuple(items: impl IntoIterator<Item = Self>) -> Self {
        Data::Tuple(items.into_iter().collect()).public()
    }

    /// A list of `item`s; all items must be of that type.
    pub fn list(item: Type, items: impl IntoIterator<Item = Self>) -> Self {
        Data::List(item, items.into_iter().collect()).public()
    }

    /// A set of `item`s, sorted and freed from duplicates.
    pub fn set(item: Type, items: impl IntoIterator<Item = Self>) -> Self {
        let mut items: Vec<Self> = items.into_iter().collect();
        items.sort_by(compare);
        items.dedup();
        Data::Set(item, items.into()).public()
    }

    /// An object.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Data::Object(Arc::new(entries)).public()
    }

    /// A map of `item`s.
    pub fn map(item: Type, entries: BTreeMap<Arc<str>, Self>) -> Self {
        Data::Map(item, Arc::new(entries)).public()
    }

    /// Sensitive if `mark` is or it already was.
    pub fn marked(mut self, mark: bool) -> Self {
        self.sensitive |= mark;
        self
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        match &self.data {
            Data::Null(ty) | Data::Unknown(ty) => ty.clone(),
            Data::Bool(_) => Type::Bool,
            Data::Number(_) => Type::Number,
            Data::String(_) => Type::String,
            Data::List(item, _) => Type::List(Arc::new(item.clone())),
            Data::Set(item, _) => Type::Set(Arc::new(item.clone())),
            Data::Map(item, _) => Type::Map(Arc::new(item.clone())),
            Data::Tuple(items) => Type::Tuple(items.iter().map(Self::ty).collect()),
            Data::Object(entries) => Type::Object(Arc::new(
                entries.iter().map(|(key, v)| (key.clone(), Field::required(v.ty()))).collect(),
            )),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null(_))
    }

    /// Whether it is itself unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self.data, Data::Unknown(_))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list, set or tuple.
    pub fn items(&self) -> Option<&Arc<[Self]>> {
        match &self.data {
            Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map or object.
    pub fn entries(&self) -> Option<&Entries> {
        match &self.data {
            Data::Map(_, entries) | Data::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The values directly inside.
    pub fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match (self.items(), self.entries()) {
            (Some(items), _) => Box::new(items.iter()),
            (_, Some(entries)) => Box::new(entries.values()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Whether `is` holds for it or anything inside.
    fn any(&self, is: fn(&Self) -> bool) -> bool {
        is(self) || self.children().any(|child| child.any(is))
    }

    /// Whether nothing in it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        !self.any(Self::is_unknown)
    }

    /// Whether anything in it is sensitive.
    pub fn has_secrets(&self) -> bool {
        self.any(|value| value.sensitive)
    }

    /// Every text in it, keys of maps left out.
    pub fn texts(&self) -> Vec<&str> {
        match &self.data {
            Data::String(text) => vec![text],
            _ => self.children().flat_map(Self::texts).collect(),
        }
    }

    /// `==`: no conversion; `None` while something is unknown.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (&self.data, &other.data) {
            (Data::Unknown(_), _) | (_, Data::Unknown(_)) => None,
            (Data::Null(_), Data::Null(_)) => Some(true),
            (Data::Null(_), _) | (_, Data::Null(_)) => Some(false),
            (Data::Bool(a), Data::Bool(b)) => Some(a == b),
            (Data::Number(a), Data::Number(b)) => Some(a == b),
            (Data::String(a), Data::String(b)) => Some(a == b),
            _ if self.ty() != other.ty() => Some(false),
            _ => self.inside_equals(other),
        }
    }

    fn inside_equals(&self, other: &Self) -> Option<bool> {
        if self.children().count() != other.children().count() {
            return Some(false);
        }
        if let (Some(a), Some(b)) = (self.entries(), other.entries())
            && !a.keys().eq(b.keys())
        {
            return Some(false);
        }
        let mut certain = true;
        for (a, b) in self.children().zip(other.children()) {
            match a.equals(b) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => certain = false,
            }
        }
        certain.then_some(true)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Data::Bool(value).public()
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Data::Number(value).public()
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Number::from(value).into()
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Number::from(value).into()
    }
}

/// The order of the items of a set: texts by code point, numbers by size, `false` before `true`,
/// anything else by its serialised form.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (&a.data, &b.data) {
        (Data::String(a), Data::String(b)) => a.cmp(b),
        (Data::Number(a), Data::Number(b)) => a.cmp(b),
        (Data::Bool(a), Data::Bool(b)) => a.cmp(b),
        _ => set_key(a).cmp(&set_key(b)),
    }
}

/// The bytes that compound items of a set are ordered by. Null comes after everything.
fn set_key(value: &Value) -> String {
    match &value.data {
        Data::Null(_) => "~".into(),
        Data::Unknown(_) => "?".into(),
        Data::Bool(true) => "T".into(),
        Data::Bool(false) => "F".into(),
        Data::Number(number) => number.to_string(),
        Data::String(text) => format!("{text:?}"),
        Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => {
            let inside: String = items.iter().map(|item| set_key(item) + ";").collect();
            let (open, close) = match value.data {
                Data::List(..) => ("[", "]"),
                Data::Set(..) => ("{", "}"),
                _ => ("<", ">"),
            };
            format!("{open}{inside}{close}")
        }
        Data::Map(_, entries) => {
            let inside: String =
                entries.iter().map(|(key, v)| format!("{key:?}:{};", set_key(v))).collect();
            format!("{{{inside}}}")
        }
        Data::Object(entries) => {
            let inside: String = entries.values().map(|v| set_key(v) + ";").collect();
            format!("<{inside}>")
        }
    }
}
