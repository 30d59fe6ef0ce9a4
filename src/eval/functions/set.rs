//! Sets and products.

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::{convert, unify};
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic(
        "setintersection",
        "What all the sets have in common.",
        &[Param::new("first_set", Want::Set)],
        Param::new("other_sets", Want::Set),
        |call| combine(call, |sets, item| sets.iter().all(|set| set.has(item))),
    ),
    Function::variadic(
        "setproduct",
        "All combinations of one item of each list or set.",
        &[],
        Param::any("sets"),
        setproduct,
    ),
    Function::variadic(
        "setunion",
        "What is in any of the sets.",
        &[Param::new("first_set", Want::Set)],
        Param::new("other_sets", Want::Set),
        |call| combine(call, |_, _| true),
    ),
];

/// The items of all sets, brought to one type, that `keep` wants.
fn combine(call: &Call<'_>, keep: fn(&[Value], &Value) -> bool) -> Outcome {
    let types: Vec<Type> =
        call.args.iter().filter(|set| set.children().next().is_some()).map(Value::ty).collect();
    let item = match unify(&types) {
        Some(Type::Set(item)) => (*item).clone(),
        Some(_) => Type::Any,
        None => return Err(CallError::failed("given sets must all have compatible element types")),
    };
    let mut sets = Vec::new();
    for set in &call.args {
        let items: Result<Vec<Value>, _> =
            set.children().map(|value| convert(value, &item)).collect();
        sets.push(Value::set(item.clone(), items.map_err(CallError::failed)?));
    }
    let all: Vec<Value> =
        sets.iter().flat_map(Value::children).filter(|value| keep(&sets, value)).cloned().collect();
    Ok(Value::set(item, all))
}

/// All combinations of one item of each, as tuples: a set of them if only sets were given.
fn setproduct(call: &Call<'_>) -> Outcome {
    if call.args.len() < 2 {
        return Err(CallError::failed("at least two arguments are required"));
    }
    let mut pools = Vec::new();
    let mut types = Vec::new();
    for (at, set) in call.args.iter().enumerate() {
        let (item, items) = pool(set).map_err(|cause| CallError::argument(at, cause))?;
        types.push(item);
        pools.push(items);
    }
    let size = pools.iter().fold(1usize, |size, pool| size.saturating_mul(pool.len()));
    call.pay(size.saturating_mul(pools.len()))?;
    let combinations = pools.iter().fold(vec![Vec::new()], |heads: Vec<Vec<Value>>, pool| {
        heads
            .iter()
            .flat_map(|head| pool.iter().map(|item| head.iter().chain([item]).cloned().collect()))
            .collect()
    });
    let item = Type::Tuple(types.into());
    let tuples = combinations.into_iter().map(Value::tuple);
    let only_sets = call.args.iter().all(|set| matches!(set.data, Data::Set(..)));
    Ok(if only_sets { Value::set(item, tuples) } else { Value::list(item, tuples) })
}

/// The items of `set`, of one type.
fn pool(set: &Value) -> Result<(Type, Vec<Value>), String> {
    match &set.data {
        Data::List(item, items) | Data::Set(item, items) => Ok((item.clone(), items.to_vec())),
        Data::Tuple(items) => {
            let types: Vec<Type> = items.iter().map(Value::ty).collect();
            let item = unify(&types).ok_or("all elements must be of the same type")?;
            let items: Result<Vec<Value>, _> =
                items.iter().map(|value| convert(value, &item)).collect();
            Ok((item, items.map_err(|error| error.to_string())?))
        }
        _ => Err("a set or a list is required".to_owned()),
    }
}
