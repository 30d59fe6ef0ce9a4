//! Lists, tuples and sets: their items, cut, joined and put in order.

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::convert;
use crate::eval::number::{Number, NumberError};
use crate::eval::types::Type;
use crate::eval::unify::unify;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "chunklist",
        "The list cut into lists of a size; 0 cuts nothing.",
        &[Param::new("list", Want::List), Param::number("size")],
        chunklist,
    )
    .gives_by(chunklist_type)
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
    )
    .result(Want::ListOfString),
    Function::variadic("concat", "The lists one after the other.", &[], Param::any("seqs"), concat)
    .gives_by(concat_type)
    .parts()
        .partial(),
    Function::new(
        "distinct",
        "The list with every value once.",
        &[Param::new("list", Want::List)],
        distinct,
    )
    .gives_by(distinct_type),
    Function::new(
        "element",
        "The item at an index, which goes around at the end of the list.",
        &[Param::any("list"), Param::number("index")],
        element,
    )
    .gives_by(element_of_type)
    .parts()
    .partial()
    .constant(),
    Function::new(
        "flatten",
        "The items of all lists inside of a list, however deep.",
        &[Param::any("list")],
        flatten,
    )
    .parts()
    .partial(),
    Function::new(
        "index",
        "Where a value stands first in a list.",
        &[Param::any("list"), Param::any("value")],
        index,
    )
    .result(Want::Number)
    .partial(),
    Function::variadic(
        "range",
        "The numbers from a start (0) up to before a limit, in steps of 1 or as given; 1024 at most.",
        &[],
        Param::number("params"),
        range,
    )
    .result(Want::ListOfNumber),
    Function::new("reverse", "The list from its end to its start.", &[Param::any("list")], reverse)
    .gives_by(reverse_type)
    .parts()
        .partial(),
    Function::new(
        "slice",
        "The items from one index up to before another.",
        &[Param::any("list"), Param::number("start_index"), Param::number("end_index")],
        slice,
    )
    .gives_by(slice_type)
    .parts()
    .partial(),
    Function::new(
        "sort",
        "The texts in the order of their code points.",
        &[Param::new("list", Want::ListOfString)],
        sort,
    )
    .result(Want::ListOfString),
];

/// The type of the elements of a list, set or map.
fn element_type(value: &Value) -> Type {
    match &value.data {
        Data::List(item, _) | Data::Set(item, _) | Data::Map(item, _) => item.clone(),
        _ => Type::Any,
    }
}

fn chunklist_type(args: &[Value]) -> Result<Type, CallError> {
    Ok(Type::List(args[0].ty().into()))
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
    NumberError::NotWhole.to_string()
}

/// Lists of a common type stay a list; with a tuple among them, the result is a tuple.
fn concat_type(args: &[Value]) -> Result<Type, CallError> {
    if args.is_empty() {
        return Err(CallError::failed("at least one argument is required"));
    }
    let types: Vec<Type> = args.iter().map(Value::ty).collect();
    if types.iter().all(|ty| matches!(ty, Type::List(_)))
        && let Some(list) = unify(&types)
    {
        return Ok(list);
    }
    let mut items = Vec::new();
    for (at, (value, ty)) in args.iter().zip(types).enumerate() {
        match (ty, value.items()) {
            (Type::Tuple(types), _) => items.extend(types.iter().cloned()),
            (Type::List(_), None) => return Ok(Type::Any),
            (Type::List(item), Some(own)) => items.extend(own.iter().map(|_| (*item).clone())),
            (other, _) => {
                let cause = format!("all arguments must be lists or tuples; got {other}");
                return Err(CallError::argument(at, cause));
            }
        }
    }
    Ok(Type::Tuple(items.into()))
}

fn concat(call: &Call<'_>) -> Outcome {
    let items = call.args.iter().filter_map(Value::items).flat_map(|items| items.iter().cloned());
    let tuple = Value::tuple(items);
    match concat_type(&call.args)? {
        list @ Type::List(_) => convert(&tuple, &list).map_err(CallError::failed),
        _ => Ok(tuple),
    }
}

fn distinct_type(args: &[Value]) -> Result<Type, CallError> {
    Ok(args[0].ty())
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

fn element_of_type(args: &[Value]) -> Result<Type, CallError> {
    if let Data::Number(number) = &args[1].data
        && *number < Number::from(0)
    {
        return Err(CallError::failed("cannot use element function with a negative index"));
    }
    match args[0].ty() {
        Type::List(item) => Ok((*item).clone()),
        Type::Tuple(_) if args[1].is_unknown() => Ok(Type::Any),
        Type::Tuple(types) => Ok(types[turned(&args[1], types.len())?].clone()),
        other => Err(CallError::failed(format!("cannot read elements from {other}"))),
    }
}

/// An index, which goes around at the end of `length` items.
fn turned(index: &Value, length: usize) -> Result<usize, CallError> {
    let Data::Number(number) = &index.data else { return Ok(0) };
    let index = number.to_i64().map_err(|error| format!("invalid index: {error}"))?;
    let index = usize::try_from(index).unwrap_or(0);
    let empty = "cannot use element function with an empty list";
    index.checked_rem(length).ok_or_else(|| CallError::failed(empty))
}

fn element(call: &Call<'_>) -> Outcome {
    let items = call.items(0);
    Ok(items[turned(&call.args[1], items.len())?].clone())
}

fn flatten(call: &Call<'_>) -> Outcome {
    if call.args[0].items().is_none() {
        return Err(CallError::failed("can only flatten lists, sets and tuples"));
    }
    let mut flat = Vec::new();
    append_flat(&call.args[0], &mut flat);
    // What is not known yet may turn out to be several items.
    let is_open = |value: &Value| match &value.data {
        Data::Unknown(ty) => {
            matches!(ty, Type::Any | Type::List(_) | Type::Set(_) | Type::Tuple(_))
        }
        _ => false,
    };
    Ok(if flat.iter().any(is_open) { Value::UNKNOWN } else { Value::tuple(flat) })
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
    for (at, item) in items.iter().enumerate() {
        match item.equals(&call.args[1]) {
            Some(true) => return Ok(at.into()),
            Some(false) => {}
            None => return Ok(Data::Unknown(Type::Number).public()),
        }
    }
    Err(CallError::failed("item not found"))
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

fn reverse_type(args: &[Value]) -> Result<Type, CallError> {
    match args[0].ty() {
        Type::List(item) | Type::Set(item) => Ok(Type::List(item)),
        Type::Tuple(types) => Ok(Type::Tuple(types.iter().rev().cloned().collect())),
        other => {
            let cause = format!("can only reverse list or tuple values, not {other}");
            Err(CallError::argument(0, cause))
        }
    }
}

fn reverse(call: &Call<'_>) -> Outcome {
    let reversed = call.items(0).iter().rev().cloned();
    Ok(match &call.args[0].data {
        Data::List(item, _) | Data::Set(item, _) => Value::list(item.clone(), reversed),
        _ => Value::tuple(reversed),
    })
}

fn slice_type(args: &[Value]) -> Result<Type, CallError> {
    let ty = args[0].ty();
    let length = match &ty {
        Type::Tuple(types) => Some(types.len()),
        Type::List(_) => args[0].items().map(|items| items.len()),
        Type::Set(_) => {
            let cause = "cannot slice a set, because its elements do not have indices; explicitly \
                         convert to a list if the ordering of the result is not important";
            return Err(CallError::argument(0, cause));
        }
        _ => return Err(CallError::argument(0, "must be a list or tuple value")),
    };
    let (start, end) = bounds(args, length)?;
    match (&ty, start, end) {
        (Type::Tuple(types), Some(start), Some(end)) => Ok(Type::Tuple(types[start..end].into())),
        (Type::Tuple(_), ..) => Ok(Type::Any),
        _ => Ok(ty),
    }
}

/// The first index and the one after the last, as far as they are known.
fn bounds(
    args: &[Value],
    length: Option<usize>,
) -> Result<(Option<usize>, Option<usize>), CallError> {
    let bound = |at: usize, name: &str| {
        let Data::Number(number) = &args[at].data else { return Ok(None) };
        let whole = number
            .to_i64()
            .map_err(|error| CallError::argument(at, format!("invalid {name} index: {error}")))?;
        let cause = format!("{name} index must not be less than zero");
        let bound = usize::try_from(whole).map_err(|_| CallError::argument(at, cause))?;
        if length.is_some_and(|length| bound > length) {
            let cause = format!("{name} index must not be greater than the length of the list");
            return Err(CallError::argument(at, cause));
        }
        Ok(Some(bound))
    };
    match (bound(1, "start")?, bound(2, "end")?) {
        (Some(start), Some(end)) if start > end => {
            Err(CallError::argument(1, "start index must not be greater than end index"))
        }
        both => Ok(both),
    }
}

fn slice(call: &Call<'_>) -> Outcome {
    let items = call.items(0);
    let (start, end) = bounds(&call.args, Some(items.len()))?;
    let kept = items[start.unwrap_or(0)..end.unwrap_or(0)].iter().cloned();
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
