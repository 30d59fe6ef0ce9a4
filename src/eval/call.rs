//! Function calls: counting, converting and checking arguments.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::secret::Taint;
use crate::source::{Span, Spanned};
use crate::template::ast::Expr;

use super::convert::convert;
use super::expr::{Eval, Evaluator, discreet, error, suggest, too_much};
use super::functions::{Available, Call, CallError, Function, Param, ResultType, Run, find, names};
use super::signature::Signature;
use super::types::Type;
use super::value::{Data, Value};

const INVALID_ARGUMENT: &str = "Invalid function argument";

/// What HCL2 writes for a function of the JSON language.
fn hcl_form(name: &str) -> Option<&'static str> {
    Some(match name {
        "user" => "var.NAME",
        "build" => "build.ID",
        "build_name" => "source.name",
        "build_type" => "source.type",
        "packer_version" => "packer.version",
        "pwd" => "path.cwd",
        "template_dir" => "path.root",
        "isotime" => "legacy_isotime(…)",
        "strftime" => "legacy_strftime(…)",
        "uuid" => "uuidv4()",
        "replace_all" => "replace(…)",
        "clean_resource_name" => "regex_replace(…)",
        _ => return None,
    })
}

impl Evaluator<'_> {
    pub(super) fn eval_call(
        &self,
        span: Span,
        name: &Spanned<String>,
        args: &[Expr],
        expand: bool,
    ) -> Eval {
        let Some(function) = find(&name.value, self.host.available) else {
            return Err(self.unknown_function(name).into());
        };
        if let Run::Expressions(run) = function.run
            && !expand
        {
            check_count(function, args.len(), span)?;
            return run(self, span, args);
        }
        let given = match self.arguments(function, span, args, expand)? {
            Some(given) => given,
            None => return Ok(Value::UNKNOWN),
        };
        self.apply(function, span, &given).map_err(|found| {
            let is_secret = given.iter().any(|(value, _)| self.host.is_confidential(value))
                || args.iter().any(|arg| self.refers_to_secrets(arg));
            let told = |one: Diagnostic| {
                // The others are about the function, and not about what it is given.
                let is_about_values = one.code == code::FUNCTION_CALL;
                discreet(one, is_secret && is_about_values)
            };
            Diagnostics(found.0.into_iter().map(told).collect())
        })
    }

    fn unknown_function(&self, name: &Spanned<String>) -> Diagnostic {
        let summary = "Call to unknown function";
        let found = error(code::UNKNOWN_NAME, summary, name.span);
        if let Some((namespace, _)) = name.value.rsplit_once("::") {
            let cause = format!("There are no functions in namespace \"{namespace}::\".");
            return found.because(cause);
        }
        let available = self.host.available;
        if names(available).next().is_none() {
            let found = error(code::UNKNOWN_NAME, "Function calls not allowed", name.span);
            return found.because("Functions may not be called here.");
        }
        let suggestion = suggest(&name.value, names(available));
        let cause = format!("There is no function named \"{}\".{suggestion}", name.value);
        let is_function = find(&name.value, Available::All).is_some();
        let help = match (name.value.as_str(), hcl_form(&name.value)) {
            ("env", _) => "`env` can be called in the default of a variable".to_owned(),
            (_, Some(form)) if available == Available::Env => {
                format!("in a local, or where the value is used, write `{form}`")
            }
            (_, Some(form)) => format!("write `{form}`"),
            _ if is_function && available == Available::Env => {
                let cause = "The default of a variable can call only \"env\".";
                let help =
                    format!("give the value to a local: `locals {{ … = {}(…) }}`", name.value);
                return found.because(cause).help(help);
            }
            _ => return found.because(cause),
        };
        found.because(cause).help(help)
    }

    /// The values of the arguments with their places, the last one expanded; `None` if that is not
    /// known.
    fn arguments(
        &self,
        function: &Function,
        span: Span,
        args: &[Expr],
        expand: bool,
    ) -> Eval<Option<Vec<(Value, Span)>>> {
        let (plain, last) = match args.split_last() {
            Some((last, plain)) if expand => (plain, Some(last)),
            _ => (args, None),
        };
        let mut tail = Vec::new();
        let mut mark = false;
        if let Some(last) = last {
            let value = self.eval(last)?;
            mark = value.sensitive;
            match (&value.data, value.items()) {
                (Data::Unknown(_), _) => return Ok(None),
                (_, Some(items)) => {
                    self.pay(items.len(), last.span)?;
                    tail.extend(items.iter().map(|item| (item.clone().marked(mark), last.span)));
                }
                _ => return Err(bad_expansion(value.is_null(), last.span).into()),
            }
        }
        check_count(function, plain.len() + tail.len(), span)?;
        let values = self.eval_all(plain)?;
        let spans = plain.iter().map(|arg| arg.span);
        let all = values.into_iter().zip(spans).chain(tail);
        Ok(Some(all.map(|(value, span)| (value.marked(mark), span)).collect()))
    }

    /// Converts and checks the arguments, and calls.
    fn apply(&self, function: &Function, span: Span, args: &[(Value, Span)]) -> Eval {
        let Run::Values(run) = function.run else {
            return Err(error(code::FUNCTION_CALL, "Invalid expanding argument value", span)
                .because(format!(
                    "The arguments of \"{}\" must be written one by one.",
                    function.name
                ))
                .into());
        };
        let mut values = Vec::with_capacity(args.len());
        let mut places = Vec::with_capacity(args.len());
        let mut found = Diagnostics::default();
        let mut sensitive = false;
        for (at, (value, place)) in args.iter().enumerate() {
            let place = *place;
            let Some(param) = function.param(at) else { continue };
            sensitive |= match function.parts {
                true => value.sensitive,
                false => value.has_secrets(),
            };
            if !function.constant {
                self.pay_for(value, place)?;
            }
            self.host.protect(value).map_err(|exceeded| too_much(exceeded, place))?;
            match convert(value, &param.want.ty()) {
                Ok(value) => values.push(value),
                Err(cause) => found.push(invalid_argument(param, &cause.to_string(), place)),
            }
            places.push(place);
        }
        if found.has_errors() {
            return Err(found);
        }
        let report = |refused| report(function, refused, span, &places);
        if let Some(ty) = unknown_result(function, &values).map_err(report)? {
            return Ok(Data::Unknown(ty).public().marked(sensitive));
        }
        let call = Call { args: values, host: self.host };
        let result = run(&call).map_err(report)?;
        if !function.constant {
            self.pay_for(&result, span)?;
        }
        let mut taint = Taint::default();
        call.args.iter().for_each(|arg| taint |= self.host.taint(arg));
        self.host.pass(taint, &result);
        let is_public = function.public || matches!(result.data, Data::Bool(_));
        if !sensitive || is_public {
            return Ok(result);
        }
        // What was no secret before the call is none after it.
        let mut public = HashSet::new();
        call.args.iter().for_each(|arg| arg.add_public(&mut public));
        Ok(result.marked_but(&public))
    }
}

/// The type of a result that is not known, because arguments are not; `None` if the function can be
/// called. What is wrong with the arguments' types is said in any case.
fn unknown_result(function: &Function, args: &[Value]) -> Result<Option<Type>, CallError> {
    let params =
        || args.iter().enumerate().filter_map(|(at, arg)| Some((function.param(at)?, arg)));
    for (at, (param, arg)) in params().enumerate() {
        match arg.data {
            Data::Null(_) if !param.null => {
                return Err(CallError::argument(at, "argument must not be null"));
            }
            Data::Null(Type::Any) | Data::Unknown(Type::Any) if !param.untyped => {
                return Ok(Some(Type::Any));
            }
            _ => {}
        }
    }
    let ty = match function.result {
        ResultType::Always(want) => want.ty(),
        ResultType::By(ty) => ty(args)?,
    };
    let is_missing = |param: &Param, arg: &Value| match function.partial {
        true => arg.is_unknown() && !param.unknown,
        false => !arg.is_wholly_known(),
    };
    Ok(params().any(|(param, arg)| is_missing(param, arg)).then_some(ty))
}

fn invalid_argument(param: &Param, cause: &str, place: Span) -> Diagnostic {
    error(code::FUNCTION_CALL, INVALID_ARGUMENT, place)
        .because(format!("Invalid value for \"{}\" parameter: {cause}.", param.name))
}

fn report(function: &Function, refused: CallError, span: Span, places: &[Span]) -> Diagnostics {
    let name = function.name;
    let found = match refused {
        CallError::Argument(at, cause) => {
            let place = places.get(at).copied().unwrap_or(span);
            match function.param(at) {
                Some(param) => invalid_argument(param, &cause, place),
                None => error(code::FUNCTION_CALL, INVALID_ARGUMENT, place).because(cause),
            }
        }
        CallError::Failed(cause) => error(code::FUNCTION_CALL, "Error in function call", span)
            .because(format!("Call to function \"{name}\" failed: {cause}.")),
        CallError::Exceeded(exceeded) => return too_much(exceeded, span),
        CallError::NotBuilt(help) => {
            error(code::NOT_BUILT, &format!("The function \"{name}\" is not built yet"), span)
                .because("imgbake refuses what it would otherwise ignore")
                .help(help)
        }
    };
    found.into()
}

fn check_count(function: &Function, count: usize, span: Span) -> Result<(), Diagnostics> {
    let (name, wanted) = (function.name, function.params.len());
    if let Some(missing) = function.params.get(count) {
        let qualifier = if function.rest.is_some() { "at least " } else { "" };
        return Err(error(code::FUNCTION_CALL, "Not enough function arguments", span)
            .because(format!(
                "Function \"{name}\" expects {qualifier}{wanted} argument(s). Missing value for \
                 \"{}\".",
                missing.name
            ))
            .help(usage(function))
            .into());
    }
    if function.rest.is_none() && count > wanted {
        return Err(error(code::FUNCTION_CALL, "Too many function arguments", span)
            .because(format!("Function \"{name}\" expects only {wanted} argument(s)."))
            .help(usage(function))
            .into());
    }
    Ok(())
}

/// How it is called.
fn usage(function: &Function) -> String {
    format!("it is called as `{}`", Signature::from(function))
}

fn bad_expansion(null: bool, span: Span) -> Diagnostic {
    let cause = match null {
        true => "The expanding argument (indicated by ...) must not be null.",
        false => "The expanding argument (indicated by ...) must be of a tuple, list, or set type.",
    };
    error(code::FUNCTION_CALL, "Invalid expanding argument value", span).because(cause)
}
