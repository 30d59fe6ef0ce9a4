//! Sets and products.

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::convert;
use crate::eval::types::Type;
use crate::eval::unify::unify;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic(
        "setintersection",
        "What all the sets have in common.",
        &[Param::new("first_set", Want::Set)],
        Param::new("other_sets", Want::Set),
        |call| combine(call, |sets, item| sets.iter().all(|set| set.has(item))),
    )
    .gives_by(common_set),
    Function::variadic(
        "setproduct",
        "All combinations of one item of each list or set.",
        &[],
        Param::any("sets").or_unknown(),
        setproduct,
    )
    .gives_by(setproduct_type)
    .partial(),
    Function::variadic(
        "setunion",
        "What is in any of the sets.",
        &[Param::new("first_set", Want::Set)],
        Param::new("other_sets", Want::Set),
        |call| combine(call, |_, _| true),
    )
    .gives_by(common_set),
];

/// The type that all sets are brought to. One that is empty and of no type has no say in it.
fn common_set(args: &[Value]) -> Result<Type, CallError> {
    let mut items = Vec::new();
    for set in args {
        match (set.ty(), set.items()) {
            (Type::Set(item), Some(own)) if *item == Type::Any && own.is_empty() => {}
            (Type::Set(item), _) => items.push((*item).clone()),
            _ => {}
        }
    }
    if items.is_empty() {
        return Ok(Type::Set(Type::Any.into()));
    }
    let cause = "given sets must all have compatible element types";
    let item = unify(&items).ok_or_else(|| CallError::failed(cause))?;
    Ok(Type::Set(item.into()))
}

/// The items of all sets, brought to one type, that `keep` wants.
fn combine(call: &Call<'_>, keep: fn(&[Value], &Value) -> bool) -> Outcome {
    let ty = common_set(&call.args)?;
    let sets = call
        .args
        .iter()
        .enumerate()
        .map(|(at, set)| convert(set, &ty).map_err(|cause| CallError::argument(at, cause)));
    let sets: Vec<Value> = sets.collect::<Result<_, _>>()?;
    let all = sets.iter().flat_map(Value::children).filter(|value| keep(&sets, value)).cloned();
    let item = match ty {
        Type::Set(item) => (*item).clone(),
        other => other,
    };
    Ok(Value::set(item, all))
}

/// What [`setproduct`] gives: a list of tuples if only lists were given, else a set of them.
fn setproduct_type(args: &[Value]) -> Result<Type, CallError> {
    if args.len() < 2 {
        return Err(CallError::failed("at least two arguments are required"));
    }
    let items = args
        .iter()
        .enumerate()
        .map(|(at, set)| item_type(&set.ty()).map_err(|cause| CallError::argument(at, cause)));
    let tuple = Type::Tuple(items.collect::<Result<_, _>>()?);
    let has_set = args.iter().any(|set| matches!(set.ty(), Type::Set(_)));
    Ok(if has_set { Type::Set(tuple.into()) } else { Type::List(tuple.into()) })
}

/// The type that the items of a list, set or tuple are brought to.
fn item_type(ty: &Type) -> Result<Type, &'static str> {
    match ty {
        Type::List(item) | Type::Set(item) => Ok((**item).clone()),
        Type::Tuple(types) if types.is_empty() => Ok(Type::Any),
        Type::Tuple(types) => unify(types).ok_or("all elements must be of the same type"),
        _ => Err("a set or a list is required"),
    }
}

/// All combinations of one item of each.
fn setproduct(call: &Call<'_>) -> Outcome {
    let ty = setproduct_type(&call.args)?;
    if call.args.iter().any(|set| set.items().is_none()) {
        return Ok(Data::Unknown(ty).public());
    }
    let mut pools = Vec::new();
    for (at, set) in call.args.iter().enumerate() {
        let item = item_type(&set.ty()).map_err(|cause| CallError::argument(at, cause))?;
        let items = set.children().map(|value| convert(value, &item));
        pools.push(items.collect::<Result<Vec<_>, _>>().map_err(CallError::failed)?);
    }
    let size = pools.iter().fold(1usize, |size, pool| size.saturating_mul(pool.len()));
    call.pay(size.saturating_mul(pools.len()))?;
    let combinations = pools.iter().fold(vec![Vec::new()], |heads: Vec<Vec<Value>>, pool| {
        heads
            .iter()
            .flat_map(|head| pool.iter().map(|item| head.iter().chain([item]).cloned().collect()))
            .collect()
    });
    let tuples = combinations.into_iter().map(Value::tuple);
    Ok(match ty {
        Type::Set(item) => Value::set((*item).clone(), tuples),
        Type::List(item) => Value::list((*item).clone(), tuples),
        _ => Value::tuple(tuples),
    })
}
