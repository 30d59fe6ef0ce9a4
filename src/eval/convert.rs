//! Conversion of values between types, and the one type that several values can share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::number::Number;
use super::types::{Field, Type};
use super::value::{Data, Value};

/// Why a value cannot be converted: where inside of it, and what was wanted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// E.g. `element 0` or `attribute "size"`; empty for the value as a whole.
    path: Vec<String>,
    message: String,
}

impl ConvertError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    fn inside(mut self, step: String) -> Self {
        self.path.insert(0, step);
        self
    }

    /// What was wanted, without the way to it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.path {
            write!(f, "{step}: ")?;
        }
        f.write_str(&self.message)
    }
}

type Converted = Result<Value, ConvertError>;

/// `value` as a `target`. Sensitive stays sensitive.
pub fn convert(value: &Value, target: &Type) -> Converted {
    convert_data(value, target).map(|converted| converted.marked(value.sensitive))
}

fn convert_data(value: &Value, target: &Type) -> Converted {
    let mismatch = || ConvertError::new(format!("{} required", target.requirement()));
    match (&value.data, target) {
        (_, Type::Any) => Ok(value.clone()),
        (Data::Null(ty), _) if is_convertible(ty, target) || is_of_like_kind(ty, target) => {
            Ok(Data::Null(target.clone()).public())
        }
        (Data::Unknown(ty), _) if is_convertible(ty, target) => {
            Ok(Data::Unknown(target.clone()).public())
        }
        (Data::Bool(_), Type::Bool)
        | (Data::Number(_), Type::Number)
        | (Data::String(_), Type::String) => Ok(value.clone()),
        (Data::Bool(known), Type::String) => Ok(Value::string(known.to_string())),
        (Data::Number(number), Type::String) => Ok(Value::string(number.to_string())),
        (Data::String(text), Type::Number) => text_to_number(text),
        (Data::String(text), Type::Bool) => text_to_bool(text),
        (Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items), Type::List(item)) => {
            let (item, items) = convert_items(value, items, item, "list")?;
            Ok(Value::list(item, items))
        }
        (Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items), Type::Set(item)) => {
            let (item, items) = convert_items(value, items, item, "set")?;
            Ok(Value::set(item, items))
        }
        (Data::Tuple(items), Type::Tuple(types)) => convert_tuple(items, types),
        (Data::List(_, items) | Data::Set(_, items), Type::Tuple(types))
            if items.len() == types.len() =>
        {
            convert_tuple(items, types)
        }
        (Data::Map(_, entries) | Data::Object(entries), Type::Map(item)) => {
            convert_entries(value, entries, item)
        }
        (Data::Map(_, entries) | Data::Object(entries), Type::Object(fields)) => {
            convert_object(entries, fields)
        }
        _ => Err(mismatch()),
    }
}

fn text_to_number(text: &str) -> Converted {
    match Number::parse(text) {
        Some(number) if !number.is_infinite() => Ok(number.into()),
        _ => Err(ConvertError::new("a number is required")),
    }
}

fn text_to_bool(text: &str) -> Converted {
    match text {
        "true" | "1" => Ok(true.into()),
        "false" | "0" => Ok(false.into()),
        "True" | "TRUE" => Err(ConvertError::new(
            "a bool is required; to convert from string, use lowercase \"true\"",
        )),
        "False" | "FALSE" => Err(ConvertError::new(
            "a bool is required; to convert from string, use lowercase \"false\"",
        )),
        _ => Err(ConvertError::new("a bool is required")),
    }
}

/// The items as `item`s; an `Any` in it becomes what the items have in common.
fn convert_items(
    value: &Value,
    items: &[Value],
    item: &Type,
    kind: &str,
) -> Result<(Type, Vec<Value>), ConvertError> {
    let item = match element_type(value) {
        Some(own) if *item == Type::Any => own,
        _ => resolve(item, items.iter().map(Value::ty)).ok_or_else(|| {
            ConvertError::new(format!("all {kind} elements must have the same type"))
        })?,
    };
    let convert_one = |(index, value): (usize, &Value)| {
        convert(value, &item).map_err(|error| error.inside(format!("element {index}")))
    };
    let converted = items.iter().enumerate().map(convert_one).collect::<Result<_, _>>()?;
    Ok((item, converted))
}

fn element_type(value: &Value) -> Option<Type> {
    match &value.data {
        Data::List(item, _) | Data::Set(item, _) | Data::Map(item, _) => Some(item.clone()),
        _ => None,
    }
}

/// `target` with its `Any` replaced by what `types` have in common.
fn resolve(target: &Type, types: impl Iterator<Item = Type>) -> Option<Type> {
    if target.is_concrete() {
        return Some(target.clone());
    }
    let common = unify(&types.collect::<Vec<_>>())?;
    Some(fill(target, &common))
}

/// `target` with each `Any` replaced by the part of `known` at the same place.
fn fill(target: &Type, known: &Type) -> Type {
    match (target, known) {
        (Type::Any, _) => known.clone(),
        (Type::List(target), Type::List(known) | Type::Set(known)) => {
            Type::List(Arc::new(fill(target, known)))
        }
        (Type::Set(target), Type::List(known) | Type::Set(known)) => {
            Type::Set(Arc::new(fill(target, known)))
        }
        (Type::List(target), Type::Tuple(items)) => {
            Type::List(Arc::new(fill(target, &unify(items).unwrap_or(Type::Any))))
        }
        (Type::Map(target), Type::Map(known)) => Type::Map(Arc::new(fill(target, known))),
        (Type::Map(target), Type::Object(fields)) => {
            let types: Vec<Type> = fields.values().map(|field| field.ty.clone()).collect();
            Type::Map(Arc::new(fill(target, &unify(&types).unwrap_or(Type::Any))))
        }
        _ => target.clone(),
    }
}

fn convert_tuple(items: &[Value], types: &[Type]) -> Converted {
    if items.len() != types.len() {
        return Err(ConvertError::new(format!("tuple with {} elements required", types.len())));
    }
    let convert_one = |(index, (value, ty)): (usize, (&Value, &Type))| {
        convert(value, ty).map_err(|error| error.inside(format!("element {index}")))
    };
    let items: Vec<Value> =
        items.iter().zip(types).enumerate().map(convert_one).collect::<Result<_, _>>()?;
    Ok(Value::tuple(items))
}

fn convert_entries(value: &Value, entries: &BTreeMap<Arc<str>, Value>, item: &Type) -> Converted {
    let item = match element_type(value) {
        Some(own) if *item == Type::Any => own,
        _ => resolve(item, entries.values().map(Value::ty)).ok_or_else(|| {
            ConvertError::new("all map elements must have the same type".to_owned())
        })?,
    };
    let convert_one = |(key, value): (&Arc<str>, &Value)| {
        let converted =
            convert(value, &item).map_err(|error| error.inside(format!("element {key:?}")))?;
        Ok((key.clone(), converted))
    };
    Ok(Value::map(item.clone(), entries.iter().map(convert_one).collect::<Result<_, _>>()?))
}

fn convert_object(
    entries: &BTreeMap<Arc<str>, Value>,
    fields: &BTreeMap<Arc<str>, Field>,
) -> Converted {
    let missing: Vec<String> = fields
        .iter()
        .filter(|(name, field)| !field.optional && !entries.contains_key(*name))
        .map(|(name, _)| format!("{name:?}"))
        .collect();
    match missing.as_slice() {
        [] => {}
        [one] => return Err(ConvertError::new(format!("attribute {one} is required"))),
        [first, last] => {
            return Err(ConvertError::new(format!("attributes {first} and {last} are required")));
        }
        [first @ .., last] => {
            let first = first.join(", ");
            return Err(ConvertError::new(format!("attributes {first}, and {last} are required")));
        }
    }
    let convert_one = |(name, field): (&Arc<str>, &Field)| {
        let converted = match entries.get(name) {
            Some(value) => convert(value, &field.ty)
                .map_err(|error| error.inside(format!("attribute {name:?}")))?,
            None => Data::Null(field.ty.clone()).public(),
        };
        Ok((name.clone(), converted))
    };
    let entries: BTreeMap<_, _> = fields.iter().map(convert_one).collect::<Result<_, _>>()?;
    Ok(Value::object(entries))
}

/// Fills the optional attributes that `value` leaves out, wherever `ty` has defaults for them.
pub fn with_defaults(value: &Value, ty: &Type) -> Value {
    let filled = match (&value.data, ty) {
        (Data::Map(_, entries) | Data::Object(entries), Type::Object(fields)) => {
            let mut filled = (**entries).clone();
            for (name, field) in fields.iter() {
                match (filled.get(name), &field.default) {
                    (None, Some(default)) => filled.insert(name.clone(), default.clone()),
                    (Some(given), Some(default)) if given.is_null() => {
                        filled.insert(name.clone(), default.clone())
                    }
                    (Some(given), _) => {
                        filled.insert(name.clone(), with_defaults(given, &field.ty))
                    }
                    (None, None) => None,
                };
            }
            Value::object(filled)
        }
        (Data::Map(_, entries) | Data::Object(entries), Type::Map(item)) => Value::object(
            entries.iter().map(|(key, value)| (key.clone(), with_defaults(value, item))),
        ),
        (Data::List(_, items) | Data::Set(_, items) | Data::Tuple(items), ty) => match ty {
            Type::List(item) | Type::Set(item) => {
                Value::tuple(items.iter().map(|value| with_defaults(value, item)))
            }
            Type::Tuple(types) => {
                Value::tuple(items.iter().enumerate().map(
                    |(index, value)| match types.get(index) {
                        Some(ty) => with_defaults(value, ty),
                        None => value.clone(),
                    },
                ))
            }
            _ => return value.clone(),
        },
        _ => return value.clone(),
    };
    filled.marked(value.sensitive)
}

/// Whether values of type `from` can be values of type `to`, some or all of them.
fn is_convertible(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::String, Type::Number | Type::Bool) => true,
        _ => is_safely_convertible(from, to),
    }
}

/// Whether both hold items, or both hold entries.
fn is_of_like_kind(from: &Type, to: &Type) -> bool {
    let holds_items = |ty: &Type| matches!(ty, Type::List(_) | Type::Set(_) | Type::Tuple(_));
    let holds_entries = |ty: &Type| matches!(ty, Type::Map(_) | Type::Object(_));
    holds_items(from) && holds_items(to) || holds_entries(from) && holds_entries(to)
}

/// Whether every value of type `from` can be a value of type `to`.
fn is_safely_convertible(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Any, _) | (_, Type::Any) => true,
        (a, b) if a == b => true,
        (Type::Bool | Type::Number, Type::String) => true,
        (Type::List(from) | Type::Set(from), Type::List(to) | Type::Set(to))
        | (Type::Map(from), Type::Map(to)) => is_safely_convertible(from, to),
        (Type::Tuple(items), Type::List(to) | Type::Set(to)) => {
            items.iter().all(|item| is_safely_convertible(item, to))
        }
        (Type::Tuple(from), Type::Tuple(to)) => {
            from.len() == to.len()
                && from.iter().zip(to.iter()).all(|(a, b)| is_safely_convertible(a, b))
        }
        (Type::Object(fields), Type::Map(to)) => {
            fields.values().all(|field| is_safely_convertible(&field.ty, to))
        }
        (Type::Object(from), Type::Object(to)) => to.iter().all(|(name, field)| {
            from.get(name).map_or(field.optional, |own| is_safely_convertible(&own.ty, &field.ty))
        }),
        _ => false,
    }
}

/// The type that values of all of `types` can be converted to without loss.
pub fn unify(types: &[Type]) -> Option<Type> {
    let known: Vec<&Type> = types.iter().filter(|ty| **ty != Type::Any).collect();
    let Some(first) = known.first() else { return Some(Type::Any) };
    if known.iter().all(|ty| ty == first) {
        return Some((*first).clone());
    }
    let count = |is: fn(&Type) -> bool| known.iter().filter(|ty| is(ty)).count();
    let maps = count(|ty| matches!(ty, Type::Map(_)));
    let objects = count(|ty| matches!(ty, Type::Object(_)));
    let lists = count(|ty| matches!(ty, Type::List(_)));
    let sets = count(|ty| matches!(ty, Type::Set(_)));
    let tuples = count(|ty| matches!(ty, Type::Tuple(_)));
    let all = known.len();
    if maps > 0 && maps + objects == all {
        return unify_items(&known).map(|item| Type::Map(Arc::new(item)));
    }
    if sets == all {
        return unify_items(&known).map(|item| Type::Set(Arc::new(item)));
    }
    if lists > 0 && lists + tuples + sets == all {
        return unify_items(&known).map(|item| Type::List(Arc::new(item)));
    }
    if sets > 0 && sets + tuples == all {
        return unify_items(&known).map(|item| Type::Set(Arc::new(item)));
    }
    if objects == all {
        return unify_objects(&known);
    }
    if tuples == all {
        return unify_tuples(&known);
    }
    let is_common = |target: &Type| {
        known.contains(&target) && known.iter().all(|ty| is_safely_convertible(ty, target))
    };
    // Different kinds of types have only a primitive one in common.
    [Type::String, Type::Number, Type::Bool].into_iter().find(is_common)
}

/// The common type of everything inside.
fn unify_items(types: &[&Type]) -> Option<Type> {
    let mut inside = Vec::new();
    for ty in types {
        match ty {
            Type::List(item) | Type::Set(item) | Type::Map(item) => inside.push((**item).clone()),
            Type::Tuple(items) => inside.extend(items.iter().cloned()),
            Type::Object(fields) => inside.extend(fields.values().map(|field| field.ty.clone())),
            _ => return None,
        }
    }
    unify(&inside)
}

/// Objects of the same attributes stay objects, others become a map.
fn unify_objects(types: &[&Type]) -> Option<Type> {
    let fields: Vec<_> = types
        .iter()
        .filter_map(|ty| match ty {
            Type::Object(fields) => Some(fields),
            _ => None,
        })
        .collect();
    let (first, rest) = fields.split_first()?;
    if !rest.iter().all(|other| other.keys().eq(first.keys())) {
        return unify_items(types).map(|item| Type::Map(Arc::new(item)));
    }
    let unified = first.keys().map(|name| {
        let types: Vec<Type> =
            fields.iter().filter_map(|all| all.get(name)).map(|field| field.ty.clone()).collect();
        Some((name.clone(), Field::required(unify(&types)?)))
    });
    Some(Type::Object(Arc::new(unified.collect::<Option<_>>()?)))
}

/// Tuples of the same length stay tuples, others become a list.
fn unify_tuples(types: &[&Type]) -> Option<Type> {
    let tuples: Vec<_> = types
        .iter()
        .filter_map(|ty| match ty {
            Type::Tuple(items) => Some(items),
            _ => None,
        })
        .collect();
    let (first, rest) = tuples.split_first()?;
    if !rest.iter().all(|other| other.len() == first.len()) {
        return unify_items(types).map(|item| Type::List(Arc::new(item)));
    }
    let unified = (0..first.len())
        .map(|index| unify(&tuples.iter().map(|items| items[index].clone()).collect::<Vec<_>>()));
    unified.collect::<Option<Vec<_>>>().map(|items| Type::Tuple(items.into()))
}
