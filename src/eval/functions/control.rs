//! `try`, `can` and `convert`: functions that see their arguments as they were written.

use super::{Function, Param, ResultType, Run, Want};
use crate::diagnostic::{Diagnostic, code};
use crate::eval::convert;
use crate::eval::expr::{Eval, Evaluator};
use crate::eval::types::{self, Optionals, Type};
use crate::eval::value::{Data, Value};
use crate::source::Span;
use crate::template::ast::Expr;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "try",
        about: "The value of the first expression that has one.",
        params: &[],
        rest: Some(Param::any("expressions")),
        result: ResultType::Always(Want::Any),
        run: Run::Expressions(try_each),
        partial: true,
        public: false,
        parts: false,
        constant: false,
    },
    Function {
        name: "can",
        about: "Whether an expression has a value.",
        params: &[Param::any("expression")],
        rest: None,
        result: ResultType::Always(Want::Any),
        run: Run::Expressions(can),
        partial: true,
        public: false,
        parts: false,
        constant: false,
    },
    Function {
        name: "convert",
        about: "A value as a type, written like the type of a variable.",
        params: &[Param::any("value"), Param::any("type")],
        rest: None,
        result: ResultType::Always(Want::Any),
        run: Run::Expressions(convert_to),
        partial: true,
        public: false,
        parts: false,
        constant: false,
    },
];

/// The first argument that has a value.
fn try_each(evaluator: &Evaluator<'_>, span: Span, args: &[Expr]) -> Eval {
    let failed = |cause: String| {
        Diagnostic::error(code::FUNCTION_CALL, "Error in function call")
            .at(span)
            .because(format!("Call to function \"try\" failed: {cause}"))
    };
    if args.is_empty() {
        return Err(failed("at least one argument is required.".to_owned()).into());
    }
    let mut why = String::new();
    for arg in args {
        match evaluator.eval(arg) {
            // What is not known yet may still fail, so nothing can be said.
            Ok(value) if !value.is_wholly_known() => return Ok(Value::UNKNOWN),
            Ok(value) => return Ok(value),
            Err(errors) if evaluator.is_hopeless(&errors) => return Err(errors),
            Err(errors) => {
                for error in errors.0 {
                    why.push_str("\n- ");
                    why.push_str(&error.summary);
                    if let Some(cause) = error.cause {
                        why.push_str(": ");
                        why.push_str(&cause);
                    }
                }
            }
        }
    }
    let cause = format!(
        "no expression succeeded:{why}\n\nAt least one expression must produce a successful result."
    );
    Err(failed(cause).into())
}

/// Whether the argument has a value.
fn can(evaluator: &Evaluator<'_>, _span: Span, args: &[Expr]) -> Eval {
    let Some(arg) = args.first() else { return Ok(false.into()) };
    Ok(match evaluator.eval(arg) {
        Ok(value) if !value.is_wholly_known() => Data::Unknown(Type::Bool).public(),
        Ok(_) => true.into(),
        Err(errors) if evaluator.is_hopeless(&errors) => return Err(errors),
        Err(_) => false.into(),
    })
}

/// The first argument as the type that the second one names.
fn convert_to(evaluator: &Evaluator<'_>, _span: Span, args: &[Expr]) -> Eval {
    let [value, ty] = args else { return Ok(Value::UNKNOWN) };
    let ty = types::parse(ty, Optionals::NoDefaults, &evaluator.host.budget)?;
    let given = evaluator.eval(value)?;
    evaluator.pay_for(&given, value.span)?;
    Ok(convert::convert(&given, &ty).map_err(|cause| {
        Diagnostic::error(code::FUNCTION_CALL, "Invalid function argument")
            .at(value.span)
            .because(format!("Invalid value for \"value\" parameter: {}.", cause.message()))
    })?)
}
