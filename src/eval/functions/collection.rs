//! Lists, maps and objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::{convert, unify};
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "alltrue",
        "Whether all of the list is true; an empty list is.",
        &[Param::new("list", Want::ListOfBool)],
        |call| Ok(call.items(0).iter().all(is_true).into()),
    ),
    Function::new(
        "anytrue",
        "Whether one of the list is true; an empty list is not.",
        &[Param::new("list", Want::ListOfBool)],
        |call| Ok(call.items(0).iter().any(is_true).into()),
    ),
    Function::new(
        "chunklist",
        "The list cut into lists of a size; 0 cuts nothing.",
        &[Param::new("list", Want::List), Param::number("size")],
        chunklist,
    )
    .partial(),
    Function::variadic(
        "coalesce",
        "The first value that is neither null nor an empty text.",
        &[],
        Param::any("vals").or_null().or_unknown().or_untyped(),
        coalesce,
    )
    .partial(),
    Function::variadic(
        "coalescelist",
        "The first list that is not empty.",
        &[],
        Param::any("vals").or_null().or_unknown().or_untyped(),
        coalescelist,
    )
    .partial(),
    Function::new(
        "compact",
        "The list without empty texts and nulls.",
        &[Param::new("list", Want::ListOfString)],
        |call| {
            let kept =
                call.items(0).iter().filter(|item| item.as_str().is_some_and(|t| !t.is_empty()));
            Ok(Value::list(Type::String, kept.cloned()))
        },
    ),
    Function::variadic("concat", "The lists one after the other.", &[], Param::any("seqs"), concat)
        .partial(),
    Function::new(
        "contains",
        "Whether a list, tuple or set has a value.",
        &[Param::any("list"), Param::any("value")],
        contains,
    ),
    Function::new(
        "distinct",
        "The list with every value once.",
        &[Param::new("list", Want::List)],
        distinct,
    ),
    Function::new(
        "element",
        "The item at an index, which goes around at the end of the list.",
        &[Param::any("list"), Param::number("index")],
        element,
    )
    .partial()
    .constant(),
    Function::new(
        "flatten",
        "The items of all lists inside of a list, however deep.",
        &[Param::any("list")],
        flatten,
    ),
    Function::new(
        "index",
        "Where a value stands first in a list.",
        &[Param::any("list"), Param::any("value")],
        index,
    ),
    Function::new("keys", "The keys of a map or object, sorted.", &[Param::any("inputMap")], keys)
        .partial(),
    Function::new(
        "length",
        "How many items a collection has, or characters a text.",
        &[Param::any("value").or_unknown().or_untyped()],
        length,
    )
    .partial()
    .public()
    .constant(),
    Function::new(
        "lookup",
        "The value of a key, or the default if the map has no such key.",
        &[
            Param::any("inputMap"),
            Param::string("key"),
            Param::any("default").or_null().or_untyped(),
        ],
        lookup,
    )
    .partial()
    .constant(),
    Function::variadic(
        "merge",
        "The entries of all maps and objects; of one key the last counts.",
        &[],
        Param::any("maps").or_null().or_untyped(),
        merge,
    )
    .partial(),
    Function::variadic(
        "range",
        "The numbers from a start (0) up to before a limit, in steps of 1 or as given; 1024 at most.",
        &[],
        Param::number("params"),
        range,
    ),
    Function::new("reverse", "The list from its end to its start.", &[Param::any("list")], reverse)
        .partial(),
    Function::new(
        "slice",
        "The items from one index up to before another.",
        &[Param::any("list"), Param::number("start_index"), Param::number("end_index")],
        slice,
    )
    .partial(),
    Function::new(
        "sort",
        "The texts in the order of their code points.",
        &[Param::new("list", Want::ListOfString)],
        sort,
    ),
    Function::new(
        "values",
        "The values of a map or object, sorted by key.",
        &[Param::any("mapping")],
        values,
    )
    .partial(),
    Function::new(
        "zipmap",
        "A map of keys to the values at the same places.",
        &[Param::new("keys", Want::ListOfString), Param::any("values")],
        zipmap,
    )
    .partial(),
];

fn is_true(value: &Value) -> bool {
    value.data == Data::Bool(true)
}

/// The type of the elements of a list, set or map.
fn element_type(value: &Value) -> Type {
    match &value.data {
        Data::List(item, _) | Data::Set(item, _) | Data::Map(item, _) => item.clone(),
        _ => Type::Any,
    }
}

fn chunklist(call: &Call<'_>) -> Outcome {
    let size =
        call.whole(1).map_err(|_| CallError::failed(format!("invalid size: {}", not_whole())))?;
    let size = usize::try_from(size)
        .map_err(|_| CallError::failed("the size argument must be positive"))?;
    let items = call.items(0);
    let item = element_type(&call.args[0]);
    let chunk = |items: &[Value]| Value::list(item.clone(), items.iter().cloned());
    let chunks: Vec<Value> = match size {
        _ if items.is_empty() => Vec::new(),
        0 => vec![chunk(items)],
        _ => items.chunks(size).map(chunk).collect(),
    };
    Ok(Value::list(Type::List(item.into()), chunks))
}

fn not_whole() -> String {
    crate::eval::number::NumberError::NotWhole.to_string()
}

fn coalesce(call: &Call<'_>) -> Outcome {
    let types: Vec<Type> = call.args.iter().map(Value::ty).collect();
    let common =
        unify(&types).ok_or_else(|| CallError::failed("all arguments must have the same type"))?;
    for value in &call.args {
        if value.is_unknown() {
            return Ok(Data::Unknown(common).public());
        }
        let is_empty_text = common == Type::String && value.as_str() == Some("");
        if !value.is_null() && !is_empty_text {
            return convert(value, &common).map_err(CallError::failed);
        }
    }
    Err(CallError::failed("no non-null, non-empty-string arguments"))
}

fn coalescelist(call: &Call<'_>) -> Outcome {
    if call.args.is_empty() {
        return Err(CallError::failed("at least one argument is required"));
    }
    for value in &call.args {
        match &value.data {
            Data::Unknown(_) => return Ok(Value::UNKNOWN),
            Data::Null(_) => {}
            Data::List(_, items) | Data::Tuple(items) if items.is_empty() => {}
            Data::List(..) | Data::Tuple(_) => return Ok(value.clone()),
            _ => return Err(CallError::failed("coalescelist arguments must be lists or tuples")),
        }
    }
    Err(CallError::failed("no non-null arguments"))
}

/// Lists of a common type stay a list; with a tuple among them, the result is a tuple.
fn concat(call: &Call<'_>) -> Outcome {
    if call.args.is_empty() {
        return Err(CallError::failed("at least one argument is required"));
    }
    let mut all_lists = true;
    for (at, value) in call.args.iter().enumerate() {
        match value.data {
            Data::List(..) => {}
            Data::Tuple(_) => all_lists = false,
            _ => {
                let cause =
                    "all arguments must be lists or tuples; got ".to_owned() + &value.type_name();
                return Err(CallError::argument(at, cause));
            }
        }
    }
    let items = call.args.iter().filter_map(Value::items).flat_map(|items| items.iter().cloned());
    let items: Vec<Value> = items.collect();
    let common = unify(&call.args.iter().map(Value::ty).collect::<Vec<_>>());
    match common {
        Some(Type::List(item)) if all_lists => {
            let items =
                items.iter().map(|value| convert(value, &item)).collect::<Result<Vec<_>, _>>();
            Ok(Value::list((*item).clone(), items.map_err(CallError::failed)?))
        }
        _ => Ok(Value::tuple(items)),
    }
}

fn contains(call: &Call<'_>) -> Outcome {
    let Some(items) = call.args[0].items() else {
        return Err(CallError::failed("argument must be list, tuple, or set"));
    };
    Ok(items.iter().any(|item| item.equals(&call.args[1]) == Some(true)).into())
}

fn distinct(call: &Call<'_>) -> Outcome {
    let mut kept: Vec<Value> = Vec::new();
    for item in call.items(0) {
        // Each is held against those before it.
        call.pay(kept.len().saturating_mul(item.traits().weight) / 16)?;
        if !kept.iter().any(|seen| seen.equals(item) == Some(true)) {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(element_type(&call.args[0]), kept))
}

fn element(call: &Call<'_>) -> Outcome {
    let (Data::List(_, items) | Data::Tuple(items)) = &call.args[0].data else {
        let cause = format!("cannot read elements from {}", call.args[0].type_name());
        return Err(CallError::failed(cause));
    };
    let at =
        call.whole(1).map_err(|_| CallError::failed(format!("invalid index: {}", not_whole())))?;
    if at < 0 {
        return Err(CallError::failed("cannot use element function with a negative index"));
    }
    if items.is_empty() {
        return Err(CallError::failed("cannot use element function with an empty list"));
    }
    let at = usize::try_from(at).unwrap_or(0) % items.len();
    Ok(items[at].clone())
}

fn flatten(call: &Call<'_>) -> Outcome {
    if call.args[0].items().is_none() {
        return Err(CallError::failed("can only flatten lists, sets and tuples"));
    }
    let mut flat = Vec::new();
    append_flat(&call.args[0], &mut flat);
    Ok(Value::tuple(flat))
}

fn append_flat(value: &Value, flat: &mut Vec<Value>) {
    match value.items() {
        Some(items) => items.iter().for_each(|item| append_flat(item, flat)),
        None => flat.push(value.clone()),
    }
}

fn index(call: &Call<'_>) -> Outcome {
    let (Data::List(_, items) | Data::Tuple(items)) = &call.args[0].data else {
        return Err(CallError::failed("argument must be a list or tuple"));
    };
    if items.is_empty() {
        return Err(CallError::failed("cannot search an empty list"));
    }
    items
        .iter()
        .position(|item| item.equals(&call.args[1]) == Some(true))
        .map(Value::from)
        .ok_or_else(|| CallError::failed("item not found"))
}

fn keys(call: &Call<'_>) -> Outcome {
    let entries = call.args[0]
        .entries()
        .ok_or_else(|| CallError::argument(0, "must have map or object type"))?;
    let keys = entries.keys().map(Value::string);
    Ok(match call.args[0].data {
        Data::Map(..) => Value::list(Type::String, keys),
        _ => Value::tuple(keys),
    })
}

fn length(call: &Call<'_>) -> Outcome {
    let value = &call.args[0];
    match &value.data {
        Data::String(text) => {
            call.pay_text(text.len())?;
            Ok(text.graphemes(true).count().into())
        }
        Data::Bool(_) | Data::Number(_) => Err(CallError::failed(
            "argument must be a string, a collection type, or a structural type",
        )),
        Data::Unknown(Type::Tuple(items)) => Ok(items.len().into()),
        Data::Unknown(Type::Object(fields)) => Ok(fields.len().into()),
        Data::Unknown(_) => Ok(Data::Unknown(Type::Number).public()),
        Data::Map(_, entries) | Data::Object(entries) => Ok(entries.len().into()),
        _ => Ok(value.items().map_or(0, |items| items.len()).into()),
    }
}

fn lookup(call: &Call<'_>) -> Outcome {
    let (map, key, default) = (&call.args[0], call.text(1), &call.args[2]);
    call.pay(default.traits().weight)?;
    match &map.data {
        Data::Object(entries) => Ok(entries.get(key).cloned().unwrap_or_else(|| default.clone())),
        Data::Map(item, entries) => {
            let default = convert(default, item).map_err(|_| {
                let cause = "the default value must have the same type as the map elements";
                CallError::argument(2, cause)
            })?;
            Ok(entries.get(key).cloned().unwrap_or(default))
        }
        _ => Err(CallError::argument(0, "lookup() requires a map as the first argument")),
    }
}

/// Later entries win; maps of one type stay a map, anything else becomes an object.
fn merge(call: &Call<'_>) -> Outcome {
    let mut merged: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let mut map_types = Vec::new();
    let mut all_maps = !call.args.is_empty();
    for value in &call.args {
        match &value.data {
            Data::Null(Type::Map(item)) => map_types.push((**item).clone()),
            Data::Null(_) => {}
            Data::Map(item, entries) => {
                map_types.push(item.clone());
                merged.extend(entries.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            Data::Object(entries) => {
                all_maps = false;
                merged.extend(entries.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            _ => {
                let cause =
                    format!("arguments must be maps or objects, got {:?}", value.type_name());
                return Err(CallError::failed(cause));
            }
        }
    }
    match map_types.split_first() {
        Some((first, rest)) if all_maps && rest.iter().all(|ty| ty == first) => {
            Ok(Value::map(first.clone(), merged))
        }
        _ => Ok(Value::object(merged)),
    }
}

fn range(call: &Call<'_>) -> Outcome {
    const MOST: usize = 1024;
    let (zero, one) = (Number::from(0), Number::from(1));
    let arg = |at| call.number(at);
    let direction = |start: &Number, end: &Number| {
        if end < start { one.negate() } else { one.clone() }
    };
    let (start, end, step) = match call.args.len() {
        1 => (zero.clone(), arg(0), direction(&zero, &arg(0))),
        2 => (arg(0), arg(1), direction(&arg(0), &arg(1))),
        3 => (arg(0), arg(1), arg(2)),
        _ => return Err(CallError::failed("must have one, two, or three arguments")),
    };
    let down = step.is_negative();
    if down && end > start {
        let cause = "end must be less than start when step is negative";
        return Err(CallError::argument(1, cause));
    }
    if !down && !step.is_zero() && end < start {
        let cause = "end must be greater than start when step is positive";
        return Err(CallError::argument(1, cause));
    }
    let mut items = Vec::new();
    let mut next = start;
    while if down { next > end } else { next < end } {
        if items.len() >= MOST {
            return Err(CallError::failed(format!(
                "more than {MOST} values were generated; either decrease the difference between \
                 start and end or use a smaller step"
            )));
        }
        items.push(Value::from(next.clone()));
        next = next.add(&step)?;
    }
    Ok(Value::list(Type::Number, items))
}

fn reverse(call: &Call<'_>) -> Outcome {
    let value = &call.args[0];
    let reversed = |items: &[Value]| items.iter().rev().cloned().collect::<Vec<_>>();
    match &value.data {
        Data::List(item, items) | Data::Set(item, items) => {
            Ok(Value::list(item.clone(), reversed(items)))
        }
        Data::Tuple(items) => Ok(Value::tuple(reversed(items))),
        _ => {
            let cause = format!("can only reverse list or tuple values, not {}", value.type_name());
            Err(CallError::argument(0, cause))
        }
    }
}

fn slice(call: &Call<'_>) -> Outcome {
    let (Data::List(_, items) | Data::Tuple(items)) = &call.args[0].data else {
        return Err(CallError::argument(0, "must be a list or tuple value"));
    };
    let bound = |at: usize, name: &str| {
        let whole = call
            .number(at)
            .to_i64()
            .map_err(|error| CallError::argument(at, format!("invalid {name} index: {error}")))?;
        let cause = format!("{name} index must not be less than zero");
        let bound = usize::try_from(whole).map_err(|_| CallError::argument(at, cause))?;
        let cause = format!("{name} index must not be greater than the length of the list");
        if bound > items.len() { Err(CallError::argument(at, cause)) } else { Ok(bound) }
    };
    let (start, end) = (bound(1, "start")?, bound(2, "end")?);
    if start > end {
        return Err(CallError::argument(1, "start index must not be greater than end index"));
    }
    let kept = items[start..end].iter().cloned();
    Ok(match &call.args[0].data {
        Data::List(item, _) => Value::list(item.clone(), kept),
        _ => Value::tuple(kept),
    })
}

fn sort(call: &Call<'_>) -> Outcome {
    let items = call.items(0);
    if items.iter().any(Value::is_null) {
        return Err(CallError::argument(
            0,
            "given list element is null; a null string cannot be sorted",
        ));
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Ok(Value::list(Type::String, sorted))
}

fn values(call: &Call<'_>) -> Outcome {
    let entries = call.args[0]
        .entries()
        .ok_or_else(|| CallError::argument(0, "values() requires a map as the first argument"))?;
    let values = entries.values().cloned();
    Ok(match &call.args[0].data {
        Data::Map(item, _) => Value::list(item.clone(), values),
        _ => Value::tuple(values),
    })
}

fn zipmap(call: &Call<'_>) -> Outcome {
    let keys = call.items(0);
    let (Data::List(_, values) | Data::Tuple(values)) = &call.args[1].data else {
        return Err(CallError::failed("values argument must be a list or tuple value"));
    };
    if keys.len() != values.len() {
        let cause = format!(
            "number of keys ({}) does not match number of values ({})",
            keys.len(),
            values.len()
        );
        return Err(CallError::failed(cause));
    }
    let mut entries = BTreeMap::new();
    for (key, value) in keys.iter().zip(values.iter()) {
        let key = key.as_str().ok_or_else(|| CallError::argument(0, "a key must not be null"))?;
        entries.insert(Arc::from(key), value.clone());
    }
    Ok(match &call.args[1].data {
        Data::List(item, _) => Value::map(item.clone(), entries),
        _ => Value::object(entries),
    })
}
