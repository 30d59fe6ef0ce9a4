//! Values: what expressions are evaluated to.
//!
//! A value is known, unknown or null, always of a [`Type`], and may be sensitive; whatever is made
//! of a sensitive value is sensitive too. The insides are shared: a clone costs a counter. What
//! would need a walk through all of a value is known beforehand: see [`Traits`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::go_format;
use super::number::Number;
use super::types::{Field, Type};
use crate::budget::Budget;

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
    List(Type, Items),
    /// A set, in order and without duplicates, and the type of its items.
    Set(Type, Items),
    /// A map and the type of its values.
    Map(Type, Entries),
    /// A tuple.
    Tuple(Items),
    /// An object.
    Object(Entries),
}

/// What is known of a value without looking through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// What it costs to go through all of it, in units of a [`Budget`]; what several parts share
    /// counts for each of them.
    pub weight: usize,
    /// How many values are inside of one another.
    pub depth: usize,
    /// Whether anything in it is unknown.
    unknown: bool,
    /// Whether anything in it is sensitive.
    secret: bool,
}

impl Traits {
    /// Takes in those of a part.
    fn add(self, part: Self) -> Self {
        Self {
            weight: self.weight.saturating_add(part.weight),
            depth: self.depth.max(part.depth + 1),
            unknown: self.unknown || part.unknown,
            secret: self.secret || part.secret,
        }
    }

    /// Of a key and a value.
    fn of_entry(key: &str, value: &Value) -> Self {
        let own = value.traits();
        Self { weight: own.weight.saturating_add(Budget::of_text(key.len())), ..own }
    }

    fn of_entries<'a>(entries: impl IntoIterator<Item = (&'a Arc<str>, &'a Value)>) -> Self {
        let parts = entries.into_iter().map(|(key, value)| Self::of_entry(key, value));
        parts.fold(Self::default(), Self::add)
    }
}

/// What lists, sets and tuples hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Items {
    all: Arc<[Value]>,
    traits: Traits,
}

impl FromIterator<Value> for Items {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        let all: Arc<[Value]> = items.into_iter().collect();
        let traits = all.iter().map(Value::traits).fold(Traits::default(), Traits::add);
        Self { all, traits }
    }
}

impl Deref for Items {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.all
    }
}

/// What maps and objects hold, sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    all: Arc<BTreeMap<Arc<str>, Value>>,
    traits: Traits,
}

impl Entries {
    /// Changes the value of `key`, which is null if there was none. If nobody else has these
    /// entries, it costs no more where there are many.
    pub fn update(&mut self, key: &str, change: impl FnOnce(&mut Value)) {
        let all = Arc::make_mut(&mut self.all);
        match all.get_mut(key) {
            Some(value) => {
                change(value);
                self.traits = Traits::of_entries(all.iter());
            }
            None => {
                let mut value = Value::NULL;
                change(&mut value);
                self.traits = self.traits.add(Traits::of_entry(key, &value));
                all.insert(key.into(), value);
            }
        }
    }
}

impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Entries {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
        entries.collect::<BTreeMap<Arc<str>, Value>>().into()
    }
}

impl From<BTreeMap<Arc<str>, Value>> for Entries {
    fn from(all: BTreeMap<Arc<str>, Value>) -> Self {
        let traits = Traits::of_entries(&all);
        Self { all: Arc::new(all), traits }
    }
}

impl Deref for Entries {
    type Target = BTreeMap<Arc<str>, Value>;

    fn deref(&self) -> &BTreeMap<Arc<str>, Value> {
        &self.all
    }
}

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
        match item {
            Type::Bool | Type::Number | Type::String => items.sort_by(compare),
            _ => items.sort_by_cached_key(set_key),
        }
        items.dedup();
        Data::Set(item, items.into_iter().collect()).public()
    }

    /// An object.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Data::Object(entries.into_iter().collect()).public()
    }

    /// A map of `item`s.
    pub fn map(item: Type, entries: BTreeMap<Arc<str>, Self>) -> Self {
        Data::Map(item, entries.into()).public()
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

    /// What messages call its type: as [`ty`](Self::ty) is written, but without looking through it.
    pub fn type_name(&self) -> String {
        match &self.data {
            Data::Tuple(_) => "tuple".to_owned(),
            Data::Object(_) => "object".to_owned(),
            _ => self.ty().to_string(),
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
    pub fn items(&self) -> Option<&Items> {
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

    /// What is known of it without looking through it.
    pub fn traits(&self) -> Traits {
        let inside = match &self.data {
            Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items) => items.traits,
            Data::Map(_, entries) | Data::Object(entries) => entries.traits,
            Data::String(text) => {
                Traits { weight: Budget::of_text(text.len()) - 1, ..Traits::default() }
            }
            Data::Unknown(_) => Traits { unknown: true, ..Traits::default() },
            _ => Traits::default(),
        };
        let secret = inside.secret || self.sensitive;
        Traits { weight: inside.weight.saturating_add(1), secret, ..inside }
    }

    /// Whether nothing in it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        !self.traits().unknown
    }

    /// Whether anything in it is sensitive.
    pub fn has_secrets(&self) -> bool {
        self.traits().secret
    }

    /// Calls `found` with each text and number in it that is sensitive, keys of maps left out.
    pub fn each_secret(&self, found: &mut dyn FnMut(&str)) {
        match &self.data {
            _ if !self.has_secrets() => {}
            Data::String(text) => found(text),
            Data::Number(number) => found(&number.to_string()),
            _ if self.sensitive => {
                self.children().for_each(|part| part.clone().marked(true).each_secret(found));
            }
            _ => self.children().for_each(|part| part.each_secret(found)),
        }
    }

    /// Calls `found` with each text in it, keys of maps left out.
    pub fn each_text(&self, found: &mut dyn FnMut(&str)) {
        match &self.data {
            Data::String(text) => found(text),
            _ => self.children().for_each(|part| part.each_text(found)),
        }
    }

    /// Adds what may be shown of it to `public`: texts and numbers that are not sensitive, and the
    /// keys of maps.
    pub fn add_public(&self, public: &mut HashSet<Arc<str>>) {
        public.extend(self.entries().into_iter().flat_map(|entries| entries.keys().cloned()));
        match &self.data {
            _ if self.sensitive => {}
            Data::String(text) => _ = public.insert(text.clone()),
            Data::Number(number) => _ = public.insert(number.to_string().into()),
            _ => self.children().for_each(|part| part.add_public(public)),
        }
    }

    /// The same with each part sensitive that is not `public`.
    pub fn marked_but(self, public: &HashSet<Arc<str>>) -> Self {
        let part = |value: &Self| value.clone().marked_but(public);
        let parts = |items: &Items| items.iter().map(part).collect::<Items>();
        let sensitive = self.sensitive;
        let data = match self.data {
            Data::List(ty, items) if !items.is_empty() => Data::List(ty, parts(&items)),
            Data::Set(ty, items) if !items.is_empty() => Data::Set(ty, parts(&items)),
            Data::Tuple(items) if !items.is_empty() => Data::Tuple(parts(&items)),
            Data::Map(..) | Data::Object(_) => return self.entries_marked_but(public),
            data => {
                let may_be_shown = match &data {
                    Data::String(text) => public.contains(text),
                    Data::Number(number) => public.contains(number.to_string().as_str()),
                    Data::Bool(_) => true,
                    _ => false,
                };
                return Self { data, sensitive: sensitive || !may_be_shown };
            }
        };
        Self { data, sensitive }
    }

    /// Of a map or an object. A key can be marked only with all of it.
    fn entries_marked_but(self, public: &HashSet<Arc<str>>) -> Self {
        let Some(entries) = self.entries().filter(|entries| !entries.is_empty()) else {
            return self.marked(true);
        };
        let mark = entries.keys().any(|key| !public.contains(key));
        let parts =
            entries.iter().map(|(key, part)| (key.clone(), part.clone().marked_but(public)));
        let parts: Entries = parts.collect();
        let data = match self.data {
            Data::Map(ty, _) => Data::Map(ty, parts),
            _ => Data::Object(parts),
        };
        Self { data, sensitive: self.sensitive || mark }
    }

    /// `==`: no conversion; `None` while something is unknown.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (&self.data, &other.data) {
            (Data::Unknown(_), Data::Unknown(_) | Data::Null(_)) => None,
            (Data::Null(_), Data::Unknown(_)) => None,
            (Data::Unknown(ty), _) if !other.may_be(ty) => Some(false),
            (_, Data::Unknown(ty)) if !self.may_be(ty) => Some(false),
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

    /// Whether it could be equal to a value of the type `ty`, as far as the types say.
    fn may_be(&self, ty: &Type) -> bool {
        *ty == Type::Any || self.ty().may_be(ty)
    }

    /// Of two values of one type.
    fn inside_equals(&self, other: &Self) -> Option<bool> {
        match (self.items(), other.items(), self.entries(), other.entries()) {
            (Some(a), Some(b), ..) if a.len() != b.len() => return Some(false),
            (.., Some(a), Some(b)) if !a.keys().eq(b.keys()) => return Some(false),
            (Some(_), Some(_), ..) | (.., Some(_), Some(_)) => {}
            _ => return self.equals(other),
        }
        let mut certain = true;
        for (a, b) in self.children().zip(other.children()) {
            match a.inside_equals(b) {
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

impl Value {
    /// Whether the set `self` has `item`, which must be of the type of its items.
    pub fn has(&self, item: &Self) -> bool {
        let items = self.items().map_or(&[] as &[Self], |items| items);
        items.binary_search_by(|own| compare(own, item)).is_ok()
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
        Data::Number(number) => go_format::float(number.to_f64(), 'g', Some(10)),
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
