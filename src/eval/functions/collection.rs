//! What lists, maps and objects have in common: their length, what they contain, the first that
//! counts.

use unicode_segmentation::UnicodeSegmentation;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::convert::convert;
use crate::eval::types::Type;
use crate::eval::unify::unify;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "alltrue",
        "Whether all of the list is true; an empty list is.",
        &[Param::new("list", Want::ListOfBool)],
        |call| Ok(call.items(0).iter().all(is_true).into()),
    )
    .result(Want::Bool),
    Function::new(
        "anytrue",
        "Whether one of the list is true; an empty list is not.",
        &[Param::new("list", Want::ListOfBool)],
        |call| Ok(call.items(0).iter().any(is_true).into()),
    )
    .result(Want::Bool),
    Function::variadic(
        "coalesce",
        "The first value that is neither null nor an empty text.",
        &[],
        Param::any("vals").or_null().or_unknown().or_untyped(),
        coalesce,
    )
    .gives_by(coalesce_type)
    .partial(),
    Function::variadic(
        "coalescelist",
        "The first list that is not empty.",
        &[],
        Param::any("vals").or_null().or_unknown().or_untyped(),
        coalescelist,
    )
    .gives_by(coalescelist_type)
    .partial(),
    Function::new(
        "contains",
        "Whether a list, tuple or set has a value.",
        &[Param::any("list"), Param::any("value")],
        contains,
    )
    .result(Want::Bool)
    .partial(),
    Function::new(
        "length",
        "How many items a collection has, or characters a text.",
        &[Param::any("value").or_unknown().or_untyped()],
        length,
    )
    .result(Want::Number)
    .partial()
    .public()
    .constant(),
];

fn is_true(value: &Value) -> bool {
    value.data == Data::Bool(true)
}

fn coalesce_type(args: &[Value]) -> Result<Type, CallError> {
    let types: Vec<Type> = args.iter().map(Value::ty).collect();
    let cause = "all arguments must have the same type";
    unify(&types).ok_or_else(|| CallError::failed(cause))
}

fn coalesce(call: &Call<'_>) -> Outcome {
    let common = coalesce_type(&call.args)?;
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

/// All are looked at, up to the first that is not known.
fn coalescelist_type(args: &[Value]) -> Result<Type, CallError> {
    let Some(first) = args.first() else {
        return Err(CallError::failed("at least one argument is required"));
    };
    let mut common = first.ty();
    for value in args {
        match value.ty() {
            _ if value.is_unknown() => return Ok(Type::Any),
            Type::List(_) | Type::Tuple(_) if value.ty() == common => {}
            Type::List(_) | Type::Tuple(_) => common = Type::Any,
            _ => return Err(CallError::failed("coalescelist arguments must be lists or tuples")),
        }
    }
    Ok(common)
}

fn coalescelist(call: &Call<'_>) -> Outcome {
    for value in &call.args {
        match value.items() {
            _ if value.is_unknown() => {
                return Ok(Data::Unknown(coalescelist_type(&call.args)?).public());
            }
            Some(items) if !items.is_empty() => return Ok(value.clone()),
            _ => {}
        }
    }
    Err(CallError::failed("no non-null arguments"))
}

fn contains(call: &Call<'_>) -> Outcome {
    let Some(items) = call.args[0].items() else {
        return Err(CallError::failed("argument must be list, tuple, or set"));
    };
    let equal = items.iter().map(|item| item.equals(&call.args[1]));
    Ok(match equal.fold(Some(false), either) {
        Some(found) => found.into(),
        None => Data::Unknown(Type::Bool).public(),
    })
}

/// Whether one of two is true; `None` while that is not known.
fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
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
