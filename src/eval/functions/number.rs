//! Numbers.

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::budget::Limit;
use crate::eval::convert::convert;
use crate::eval::go_math;
use crate::eval::number::Number;
use crate::eval::types::Type;
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("abs", "The number without its sign.", &[Param::number("num")], |call| {
        Ok(call.number(0).abs().into())
    })
    .result(Want::Number),
    Function::new(
        "ceil",
        "The next whole number that is not smaller.",
        &[Param::number("num")],
        |call| {
            // Zero has no sign here.
            Ok(call.number(0).ceil().add(&0.into())?.into())
        },
    )
    .result(Want::Number),
    Function::new(
        "floor",
        "The next whole number that is not larger.",
        &[Param::number("num")],
        |call| Ok(call.number(0).floor().add(&0.into())?.into()),
    )
    .result(Want::Number),
    Function::new(
        "log",
        "The logarithm of a number to a base.",
        &[Param::number("num"), Param::number("base")],
        |call| from_float(go_math::ln(float(call, 0)?) / go_math::ln(float(call, 1)?)),
    )
    .result(Want::Number),
    Function::variadic(
        "max",
        "The largest of the numbers.",
        &[],
        Param::number("numbers"),
        |call| pick(call, Number::gt),
    )
    .result(Want::Number),
    Function::variadic(
        "min",
        "The smallest of the numbers.",
        &[],
        Param::number("numbers"),
        |call| pick(call, Number::lt),
    )
    .result(Want::Number),
    Function::new(
        "parseint",
        "The whole number that a text writes in a base from 2 to 62.",
        &[Param::any("number"), Param::number("base")],
        parseint,
    )
    .gives_by(parseint_type),
    Function::new(
        "pow",
        "A number raised to a power.",
        &[Param::number("num"), Param::number("power")],
        |call| from_float(go_math::pow(float(call, 0)?, float(call, 1)?)),
    )
    .result(Want::Number),
    Function::new(
        "signum",
        "-1, 0 or 1: the sign of a whole number.",
        &[Param::number("num")],
        |call| Ok(call.whole(0)?.signum().into()),
    )
    .result(Want::Number),
    Function::new(
        "sum",
        "The sum of a list's numbers, of which there must be one.",
        &[Param::any("list")],
        sum,
    )
    .result(Want::Number),
];

/// Argument `at`, which must not be too large for a float.
fn float(call: &Call<'_>, at: usize) -> Result<f64, CallError> {
    let number = call.number(at);
    match number.to_f64() {
        float if float.is_infinite() && !number.is_infinite() => {
            let most = f64::MAX;
            Err(CallError::failed(format!("value must be between -{most} and {most} inclusive")))
        }
        float => Ok(float),
    }
}

fn from_float(value: f64) -> Outcome {
    let number = Number::from_f64(value)
        .ok_or_else(|| CallError::failed("the result is not a real number"))?;
    Ok(number.into())
}

fn pick(call: &Call<'_>, better: fn(&Number, &Number) -> bool) -> Outcome {
    let mut numbers = (0..call.args.len()).map(|at| call.number(at));
    let first = numbers.next().ok_or_else(|| CallError::failed("must pass at least one number"))?;
    Ok(numbers.fold(first, |best, next| if better(&next, &best) { next } else { best }).into())
}

fn parseint_type(args: &[Value]) -> Result<Type, CallError> {
    match args[0].ty() {
        Type::String => Ok(Type::Number),
        other => {
            let cause = format!("first argument must be a string, not {other}");
            Err(CallError::argument(0, cause))
        }
    }
}

fn parseint(call: &Call<'_>) -> Outcome {
    let text = call.text(0);
    Limit::DIGITS.check(text.len())?;
    let base = call.number(1).to_i64().map_err(|error| CallError::argument(1, error))?;
    let base =
        u32::try_from(base).ok().filter(|base| (2..=62).contains(base)).ok_or_else(|| {
            CallError::argument(1, "base must be a whole number between 2 and 62 inclusive")
        })?;
    let number = Number::parse_integer(text, base).ok_or_else(|| {
        let cause = format!("cannot parse {text:?} as a base {base} integer");
        CallError::argument(0, cause)
    })?;
    Ok(number.into())
}

fn sum(call: &Call<'_>) -> Outcome {
    let list = &call.args[0];
    let Some(items) = list.items() else {
        let cause =
            format!("argument must be list, set, or tuple. Received {}", list.ty().kind_name());
        return Err(CallError::argument(0, cause));
    };
    if items.is_empty() {
        return Err(CallError::argument(0, "cannot sum an empty list"));
    }
    let wrong = || CallError::argument(0, "argument must be list, set, or tuple of number values");
    let mut total = Number::from(0);
    for item in items.iter() {
        match convert(item, &Type::Number).map(|value| value.data) {
            Ok(Data::Number(number)) => total = total.add(&number)?,
            _ => return Err(wrong()),
        }
    }
    Ok(Value::from(total))
}
