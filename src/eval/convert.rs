//! Conversion of values between types: first whether the types allow it, then whether each value
//! does. What is empty, null or not known has a type, too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::number::Number;
use super::types::{Field, Type};
use super::unify::unify;
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

    /// Whether it names a part of the value.
    pub fn has_path(&self) -> bool {
        !self.path.is_empty()
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
    if !has_conversion(value, target) {
        return Err(ConvertError::new(mismatch(&value.ty(), target)));
    }
    convert_inside(value, target)
}

/// Whether the types allow it. Those of a value's parts are only looked at where they matter.
fn has_conversion(value: &Value, target: &Type) -> bool {
    match target {
        Type::Any => true,
        Type::Bool | Type::Number | Type::String => match &value.data {
            Data::Null(ty) | Data::Unknown(ty) => is_convertible(ty, target),
            Data::Bool(_) => *target != Type::Number,
            Data::Number(_) => *target != Type::Bool,
            Data::String(_) => true,
            _ => false,
        },
        _ => is_convertible(&value.ty(), target),
    }
}

fn convert_inside(value: &Value, target: &Type) -> Converted {
    convert_data(value, target).map(|converted| converted.marked(value.sensitive))
}

/// As the types allow; whether a text is a number is still to be seen.
fn convert_data(value: &Value, target: &Type) -> Converted {
    match (&value.data, target) {
        (_, Type::Any) => Ok(value.clone()),
        (Data::Null(ty), _) => Ok(Data::Null(fill(target, ty)).public()),
        (Data::Unknown(ty), _) => Ok(Data::Unknown(fill(target, ty)).public()),
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
        (Data::Map(_, entries) | Data::Object(entries), Type::Map(item)) => {
            convert_entries(value, entries, item)
        }
        (Data::Map(_, entries) | Data::Object(entries), Type::Object(fields)) => {
            convert_object(entries, fields)
        }
        _ => Err(ConvertError::new(format!("{} required", target.requirement()))),
    }
}

fn text_to_number(text: &str) -> Converted {
    match Number::parse(text) {
        Some(number) if !number.is_infinite() || text.ends_with("nf") => Ok(number.into()),
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
    let item = common_type(value, item, items.iter(), kind)?;
    let convert_one = |(index, value): (usize, &Value)| {
        convert(value, &item).map_err(|error| error.inside(format!("element {index}")))
    };
    let converted = items.iter().enumerate().map(convert_one).collect::<Result<_, _>>()?;
    Ok((item, converted))
}

/// `item` with its `Any` replaced by what the parts of `value` have in common.
fn common_type<'v>(
    value: &Value,
    item: &Type,
    parts: impl Iterator<Item = &'v Value>,
    kind: &str,
) -> Result<Type, ConvertError> {
    if item.is_concrete() {
        return Ok(item.clone());
    }
    let types = match element_type(value) {
        Some(own) => return Ok(fill(item, &own)),
        None => parts.map(Value::ty).collect::<Vec<_>>(),
    };
    if types.is_empty() {
        return Ok(item.clone());
    }
    let cause = || ConvertError::new(format!("all {kind} elements must have the same type"));
    Ok(fill(item, &unify(&types).ok_or_else(cause)?))
}

fn element_type(value: &Value) -> Option<Type> {
    match &value.data {
        Data::List(item, _) | Data::Set(item, _) | Data::Map(item, _) => Some(item.clone()),
        _ => None,
    }
}

/// `target` with each `Any` replaced by the part of `known` at the same place.
fn fill(target: &Type, known: &Type) -> Type {
    match (target, known) {
        (_, Type::Any) => target.clone(),
        (Type::Any, _) => known.clone(),
        (Type::List(target), _) => Type::List(Arc::new(fill(target, &inside(known)))),
        (Type::Set(target), _) => Type::Set(Arc::new(fill(target, &inside(known)))),
        (Type::Map(target), _) => Type::Map(Arc::new(fill(target, &inside(known)))),
        (Type::Tuple(targets), Type::Tuple(known)) => {
            Type::Tuple(targets.iter().zip(known.iter()).map(|(t, k)| fill(t, k)).collect())
        }
        (Type::Object(fields), _) => {
            let fields = fields.iter().map(|(name, field)| {
                let known = field_type(known, name).unwrap_or(Type::Any);
                (name.clone(), Field::required(fill(&field.ty, &known)))
            });
            Type::Object(Arc::new(fields.collect()))
        }
        _ => target.clone(),
    }
}

/// The common type of what is in a value of type `ty`.
fn inside(ty: &Type) -> Type {
    match ty {
        Type::List(item) | Type::Set(item) | Type::Map(item) => (**item).clone(),
        Type::Tuple(items) => unify(items).unwrap_or(Type::Any),
        Type::Object(fields) => {
            let types: Vec<Type> = fields.values().map(|field| field.ty.clone()).collect();
            unify(&types).unwrap_or(Type::Any)
        }
        _ => Type::Any,
    }
}

/// The type of what is called `name` in a value of type `ty`.
fn field_type(ty: &Type, name: &str) -> Option<Type> {
    match ty {
        Type::Map(item) => Some((**item).clone()),
        Type::Object(fields) => fields.get(name).map(|field| field.ty.clone()),
        _ => None,
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
    let item = common_type(value, item, entries.values(), "map")?;
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
    if let Some(missing) = missing_fields(fields, |name| entries.contains_key(name)) {
        return Err(ConvertError::new(missing));
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
pub fn is_convertible(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::String, Type::Number | Type::Bool) => true,
        (Type::Bool | Type::Number, Type::String) => true,
        (Type::List(from) | Type::Set(from), Type::List(to) | Type::Set(to))
        | (Type::Map(from), Type::Map(to)) => is_convertible(from, to),
        (Type::Tuple(items), Type::List(to) | Type::Set(to)) => are_convertible(items.iter(), to),
        (Type::Tuple(from), Type::Tuple(to)) => {
            from.len() == to.len() && from.iter().zip(to.iter()).all(|(a, b)| is_convertible(a, b))
        }
        (Type::Object(fields), Type::Map(to)) => {
            are_convertible(fields.values().map(|field| &field.ty), to)
        }
        (Type::Object(_) | Type::Map(_), Type::Object(to)) => {
            to.iter().all(|(name, field)| match field_type(from, name) {
                Some(own) => field.optional || is_convertible(&own, &field.ty),
                None => field.optional,
            })
        }
        (a, b) => a == b,
    }
}

/// Whether the parts of a tuple or an object can be the elements of a collection of `to`.
fn are_convertible<'t>(parts: impl Iterator<Item = &'t Type> + Clone, to: &Type) -> bool {
    if *to != Type::Any {
        return parts.clone().all(|part| is_convertible(part, to));
    }
    let types: Vec<Type> = parts.cloned().collect();
    match unify(&types) {
        None => types.is_empty(),
        // Some are not known yet, and nobody can tell whether they will fit.
        Some(Type::Any) => types.iter().all(|ty| *ty == Type::Any),
        Some(_) => true,
    }
}

/// Why no value of type `from` can be a value of type `to`.
fn mismatch(from: &Type, to: &Type) -> String {
    let misfit = |part: &Type, to: &Type| !is_convertible(part, to);
    let same = |kind: &str| format!("all {kind} elements must have the same type");
    match (from, to) {
        (Type::Object(own), Type::Object(fields)) => mismatch_of_objects(own, fields),
        (Type::Tuple(_), Type::List(item)) if **item == Type::Any => same("list"),
        (Type::Tuple(_), Type::Set(item)) if **item == Type::Any => same("set"),
        (Type::Object(_), Type::Map(item)) if **item == Type::Any => same("map"),
        (Type::Tuple(items), Type::List(to) | Type::Set(to)) => {
            let found = items.iter().enumerate().find(|(_, item)| misfit(item, to));
            found.map_or_else(
                || to.requirement(),
                |(index, item)| format!("element {index}: {}", mismatch(item, to)),
            )
        }
        (Type::Object(fields), Type::Map(to)) => {
            let found = fields.iter().find(|(_, field)| misfit(&field.ty, to));
            found.map_or_else(
                || to.requirement(),
                |(name, field)| format!("element {name:?}: {}", mismatch(&field.ty, to)),
            )
        }
        (Type::List(from) | Type::Set(from), Type::List(item) | Type::Set(item))
        | (Type::Map(from), Type::Map(item)) => {
            format!("incorrect {} element type: {}", to.kind_name(), mismatch(from, item))
        }
        _ => format!("{} required", to.requirement()),
    }
}

fn mismatch_of_objects(
    own: &BTreeMap<Arc<str>, Field>,
    wanted: &BTreeMap<Arc<str>, Field>,
) -> String {
    if let Some(missing) = missing_fields(wanted, |name| own.contains_key(name)) {
        return missing;
    }
    let misfits = wanted.iter().filter_map(|(name, field)| {
        let given = &own.get(name)?.ty;
        let misfits = !is_convertible(given, &field.ty);
        misfits.then(|| format!("attribute {name:?}: {}", mismatch(given, &field.ty)))
    });
    misfits.into_iter().next().unwrap_or_else(|| "incorrect object attributes".to_owned())
}

/// Which attributes that must be there are not.
fn missing_fields(
    wanted: &BTreeMap<Arc<str>, Field>,
    is_there: impl Fn(&str) -> bool,
) -> Option<String> {
    let missing = wanted.iter().filter(|(name, field)| !field.optional && !is_there(name));
    let missing: Vec<String> = missing.map(|(name, _)| format!("{name:?}")).collect();
    Some(match missing.as_slice() {
        [] => return None,
        [one] => format!("attribute {one} is required"),
        [first, last] => format!("attributes {first} and {last} are required"),
        [first @ .., last] => {
            format!("attributes {}, and {last} are required", first.join(", "))
        }
    })
}
