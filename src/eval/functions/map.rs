//! Maps and objects: their keys and values, merged, looked up and put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::convert;
use crate::eval::types::{Field, Type};
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "keys",
        "The keys of a map or object, sorted.",
        &[Param::any("inputMap").or_unknown()],
        keys,
    )
    .gives_by(keys_type)
    .parts()
    .partial(),
    Function::new(
        "lookup",
        "The value of a key, or the default if the map has no such key.",
        &[Param::any("inputMap"), Param::string("key"), Param::any("default")],
        lookup,
    )
    .gives_by(lookup_type)
    .parts()
    .partial()
    .constant(),
    Function::variadic(
        "merge",
        "The entries of all maps and objects; of one key the last counts.",
        &[],
        Param::any("maps").or_null().or_untyped(),
        merge,
    )
    .gives_by(merge_type)
    .parts()
    .partial(),
    Function::new(
        "values",
        "The values of a map or object, sorted by key.",
        &[Param::any("mapping")],
        values,
    )
    .gives_by(values_type)
    .parts()
    .partial(),
    Function::new(
        "zipmap",
        "A map of keys to the values at the same places.",
        &[Param::new("keys", Want::ListOfString), Param::any("values")],
        zipmap,
    )
    .gives_by(zipmap_type)
    .partial(),
];

fn keys_type(args: &[Value]) -> Result<Type, CallError> {
    match args[0].ty() {
        Type::Map(_) => Ok(Type::List(Type::String.into())),
        Type::Object(fields) => Ok(Type::Tuple(vec![Type::String; fields.len()].into())),
        _ => Err(CallError::argument(0, "must have map or object type")),
    }
}

/// Those of an object are known before its values are.
fn keys(call: &Call<'_>) -> Outcome {
    Ok(match &call.args[0].data {
        Data::Map(_, entries) => Value::list(Type::String, entries.keys().map(Value::string)),
        Data::Object(entries) => Value::tuple(entries.keys().map(Value::string)),
        Data::Unknown(Type::Object(fields)) => Value::tuple(fields.keys().map(Value::string)),
        _ => Data::Unknown(keys_type(&call.args)?).public(),
    })
}

fn lookup_type(args: &[Value]) -> Result<Type, CallError> {
    let (map, key, default) = (&args[0], &args[1], &args[2]);
    match map.ty() {
        Type::Object(_) if key.is_unknown() => Ok(Type::Any),
        Type::Object(fields) => {
            let own = key.as_str().and_then(|key| fields.get(key));
            Ok(own.map_or_else(|| default.ty(), |field| field.ty.clone()))
        }
        Type::Map(item) => {
            let cause = "the default value must have the same type as the map elements";
            convert(default, &item).map_err(|_| CallError::argument(2, cause))?;
            Ok((*item).clone())
        }
        _ => Err(CallError::argument(0, "lookup() requires a map as the first argument")),
    }
}

fn lookup(call: &Call<'_>) -> Outcome {
    let (map, key, default) = (&call.args[0], call.text(1), &call.args[2]);
    call.pay(default.traits().weight)?;
    let ty = lookup_type(&call.args)?;
    if !map.is_wholly_known() {
        return Ok(Data::Unknown(ty).public());
    }
    match map.entries().and_then(|entries| entries.get(key)) {
        Some(value) => Ok(value.clone()),
        None => convert(default, &ty).map_err(CallError::failed),
    }
}

/// Maps of one type stay a map, anything else becomes an object.
fn merge_type(args: &[Value]) -> Result<Type, CallError> {
    let mut fields: BTreeMap<Arc<str>, Field> = BTreeMap::new();
    let mut types = Vec::with_capacity(args.len());
    for value in args {
        let ty = value.ty();
        match (&ty, value.entries()) {
            (Type::Any, _) => return Ok(Type::Any),
            (Type::Object(own), _) if !value.is_null() => {
                fields.extend(own.iter().map(|(name, field)| (name.clone(), field.clone())));
            }
            (Type::Map(item), Some(entries)) => {
                let of_item = |name: &Arc<str>| (name.clone(), Field::required((**item).clone()));
                fields.extend(entries.keys().map(of_item));
            }
            (Type::Object(_) | Type::Map(_), _) => {}
            _ => {
                let cause = format!("arguments must be maps or objects, got {:?}", ty.to_string());
                return Err(CallError::failed(cause));
            }
        }
        types.push(ty);
    }
    let is_unknown_map = |value: &Value| matches!(value.data, Data::Unknown(Type::Map(_)));
    match types.split_first() {
        Some((first, rest)) if rest.iter().all(|ty| ty == first) => Ok(first.clone()),
        _ if args.iter().any(is_unknown_map) => Ok(Type::Any),
        _ => Ok(Type::Object(fields.into())),
    }
}

/// Later entries win.
fn merge(call: &Call<'_>) -> Outcome {
    let entries = call.args.iter().filter_map(Value::entries).flat_map(|entries| entries.iter());
    let merged: BTreeMap<Arc<str>, Value> = entries.map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(match merge_type(&call.args)? {
        Type::Map(item) => Value::map((*item).clone(), merged),
        // With a plain null among them, nobody has looked at the types of the others.
        Type::Any if call.args.iter().any(is_no_map) => {
            return Err(CallError::failed("arguments must be maps or objects"));
        }
        _ => Value::object(merged),
    })
}

fn is_no_map(value: &Value) -> bool {
    !matches!(value.ty(), Type::Any | Type::Map(_) | Type::Object(_))
}

fn values_type(args: &[Value]) -> Result<Type, CallError> {
    match args[0].ty() {
        Type::Map(item) => Ok(Type::List(item)),
        Type::Object(fields) => {
            Ok(Type::Tuple(fields.values().map(|field| field.ty.clone()).collect()))
        }
        _ => Err(CallError::failed("values() requires a map as the first argument")),
    }
}

fn values(call: &Call<'_>) -> Outcome {
    let values = call.args[0].children().cloned();
    Ok(match &call.args[0].data {
        Data::Map(item, _) => Value::list(item.clone(), values),
        _ => Value::tuple(values),
    })
}

fn zipmap_type(args: &[Value]) -> Result<Type, CallError> {
    match args[1].ty() {
        Type::List(item) => Ok(Type::Map(item)),
        Type::Tuple(_) if !args[0].is_wholly_known() => Ok(Type::Any),
        Type::Tuple(types) => {
            let keys = args[0].items().map_or(&[] as &[Value], |keys| keys);
            same_count(keys.len(), types.len())?;
            let mut fields = BTreeMap::new();
            for (at, (key, ty)) in keys.iter().zip(types.iter()).enumerate() {
                let key = key.as_str().ok_or_else(|| {
                    CallError::failed(format!("keys list has null value at index {at}"))
                })?;
                fields.insert(Arc::from(key), Field::required(ty.clone()));
            }
            Ok(Type::Object(fields.into()))
        }
        _ => Err(CallError::failed("values argument must be a list or tuple value")),
    }
}

fn same_count(keys: usize, values: usize) -> Result<(), CallError> {
    if keys == values {
        return Ok(());
    }
    let cause = format!("number of keys ({keys}) does not match number of values ({values})");
    Err(CallError::failed(cause))
}

fn zipmap(call: &Call<'_>) -> Outcome {
    if !call.args[0].is_wholly_known() {
        return Ok(Data::Unknown(zipmap_type(&call.args)?).public());
    }
    let (keys, values) = (call.items(0), call.items(1));
    same_count(keys.len(), values.len())?;
    let mut entries = BTreeMap::new();
    for (key, value) in keys.iter().zip(values) {
        let key = key.as_str().ok_or_else(|| CallError::argument(0, "a key must not be null"))?;
        entries.insert(Arc::from(key), value.clone());
    }
    Ok(match &call.args[1].data {
        Data::List(item, _) => Value::map(item.clone(), entries),
        _ => Value::object(entries),
    })
}
