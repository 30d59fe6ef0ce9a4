//! HCL2 input variables: which value wins, and whether it may.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Frontend, code, did_you_mean};
use crate::secret::Weakness;
use crate::source::{Span, Spanned};
use crate::template::ast::{Expr, Template, Validation, Variable};
use crate::template::hcl::{self, Origin};

use super::Inputs;
use super::convert::{convert, with_defaults};
use super::expr::{Evaluator, Roots, constant, discreet};
use super::functions::{Available, Host};
use super::references;
use super::types::{self, Optionals, Type};
use super::value::{Data, Value};

/// Variables by name.
pub type Variables = BTreeMap<Arc<str>, Value>;

/// Where a variable's value comes from, in rising order of precedence.
#[derive(Clone, Copy)]
enum ValueSource<'a> {
    Default,
    Environment(&'a str),
    File(&'a Expr),
    CommandLine(&'a str),
}

impl ValueSource<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment(_) => "env",
            Self::File(_) => "varfile",
            Self::CommandLine(_) => "cmd",
        }
    }
}

/// The values of all variables of `template`.
pub fn evaluate(template: &Template, inputs: &Inputs, host: &Host) -> (Variables, Diagnostics) {
    let mut found = undeclared(template, inputs);
    let mut values = Variables::new();
    let sources = ValueSources::of(inputs);
    for variable in &template.variables {
        let given = sources.winner(&variable.name.value);
        match evaluate_one(variable, given, host, &mut found) {
            Ok(value) => {
                values.insert(variable.name.value.as_str().into(), value);
            }
            Err(errors) => {
                values.insert(variable.name.value.as_str().into(), Value::UNKNOWN);
                found.extend(errors);
            }
        }
    }
    (values, found)
}

/// What is given for each variable, by its name.
struct ValueSources<'a> {
    environment: HashMap<&'a str, &'a str>,
    files: HashMap<&'a str, &'a Expr>,
    command_line: HashMap<&'a str, &'a str>,
}

impl<'a> ValueSources<'a> {
    /// Of several of one kind the last one counts.
    fn of(inputs: &'a Inputs) -> Self {
        let set = |(name, text): (&'a str, &'a str)| Some((name.strip_prefix("PKR_VAR_")?, text));
        let assigned = inputs.var_files.iter().flatten();
        let given = inputs.vars.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Self {
            environment: inputs.environment.vars().filter_map(set).collect(),
            files: assigned.map(|given| (given.name.value.as_str(), &given.value)).collect(),
            command_line: given.collect(),
        }
    }

    fn winner(&self, name: &str) -> ValueSource<'a> {
        if let Some(text) = self.command_line.get(name) {
            return ValueSource::CommandLine(text);
        }
        if let Some(value) = self.files.get(name) {
            return ValueSource::File(value);
        }
        self.environment
            .get(name)
            .map_or(ValueSource::Default, |text| ValueSource::Environment(text))
    }
}

fn evaluate_one(
    variable: &Variable,
    given: ValueSource<'_>,
    host: &Host,
    found: &mut Diagnostics,
) -> Result<Value, Diagnostics> {
    let declared = match &variable.type_expr {
        Some(expr) => Some(types::parse(expr, Optionals::WithDefaults, &host.budget)?),
        None => None,
    };
    let default = default_value(variable, declared.as_ref(), host)?;
    let ty = declared.unwrap_or_else(|| implied_type(default.as_ref()));
    let value = match (given, default) {
        (ValueSource::Default, Some(default)) => default,
        (ValueSource::Default, None) => {
            return Err(unset(variable, host.environment.asker).into());
        }
        (given, _) => given_value(variable, given, &ty, host)?,
    };
    let value = value.marked(variable.sensitive);
    if let Some(weakness) = host.hide(&value).filter(|_| variable.sensitive) {
        found.push(not_masked("variable", &variable.name, weakness));
    }
    for rule in &variable.validations {
        if let Err(errors) = validate(variable, rule, given, &value, host) {
            found.extend(errors);
        }
    }
    Ok(value)
}

/// Says that `name` is sensitive in vain.
pub(super) fn not_masked(kind: &str, name: &Spanned<String>, weakness: Weakness) -> Diagnostic {
    let summary = format!("the value of the sensitive {kind} `{}` is not masked", name.value);
    Diagnostic::warning(code::NOT_MASKED, summary).at(name.span).because(weakness.to_string())
}

/// The default, converted.
fn default_value(
    variable: &Variable,
    declared: Option<&Type>,
    host: &Host,
) -> Result<Option<Value>, Diagnostics> {
    let Some(default) = &variable.default else { return Ok(None) };
    let host = host.with(Available::Env);
    let value = Evaluator::new(&Roots::default(), &host).eval(default)?;
    let Some(ty) = declared else { return Ok(Some(value)) };
    let value = convert(&with_defaults(&value, ty), ty).map_err(|cause| {
        Diagnostic::error(code::WRONG_TYPE, "Invalid default value for variable")
            .at(default.span)
            .because(format!(
                "This default value is not compatible with the variable's type constraint: \
                 {cause}."
            ))
            .label(variable.name.span, "declared here")
    })?;
    Ok(Some(value))
}

/// The type of a variable that declares none: that of its default, if that says anything.
fn implied_type(default: Option<&Value>) -> Type {
    match default {
        Some(value) if value.is_null() || value.children().next().is_none() => match &value.data {
            Data::Bool(_) | Data::Number(_) | Data::String(_) => value.ty(),
            _ => Type::Any,
        },
        Some(value) => value.ty(),
        None => Type::Any,
    }
}

fn given_value(
    variable: &Variable,
    given: ValueSource<'_>,
    ty: &Type,
    host: &Host,
) -> Result<Value, Diagnostics> {
    let asker = host.environment.asker;
    let (value, span) = match given {
        ValueSource::Default => (Value::NULL, variable.name.span),
        ValueSource::File(expr) => (constant(expr, &host.budget)?, expr.span),
        ValueSource::Environment(text) | ValueSource::CommandLine(text) => {
            (text_value(variable, given, text, ty, host)?, variable.name.span)
        }
    };
    Ok(convert(&with_defaults(&value, ty), ty).map_err(|cause| {
        let name = &variable.name.value;
        let found = Diagnostic::error(code::WRONG_TYPE, "Invalid value for variable")
            .at(span)
            .because(format!(
                "The value for {name} is not compatible with the variable's type constraint: \
                 {cause}."
            ));
        let found = discreet(found, variable.sensitive && cause.has_path());
        match given {
            ValueSource::Environment(_) => {
                found.note(format!("the value comes from PKR_VAR_{name}"))
            }
            ValueSource::CommandLine(_) => {
                found.note(format!("the value comes from {}", asker.value(name)))
            }
            _ => found.label(variable.name.span, "declared here"),
        }
    })?)
}

/// A text as it is where a text or number is wanted; else what it says as an expression.
fn text_value(
    variable: &Variable,
    given: ValueSource<'_>,
    text: &str,
    ty: &Type,
    host: &Host,
) -> Result<Value, Diagnostics> {
    if matches!(ty, Type::String | Type::Number | Type::Any) {
        return Ok(Value::string(text));
    }
    let origin = Origin::Span(variable.name.span);
    let budget = &host.budget;
    let value =
        hcl::parse_expression(text, origin, budget).and_then(|expr| constant(&expr, budget));
    value.map_err(|errors| {
        let (name, kind) = (&variable.name.value, ty.kind_name());
        let source = match given {
            ValueSource::Environment(_) => format!("the environment variable PKR_VAR_{name}"),
            _ => host.environment.asker.value(name),
        };
        let why: Vec<String> = match variable.sensitive {
            true => vec!["the value is sensitive, so it is not shown what is wrong".to_owned()],
            false => errors.0.into_iter().map(|error| error.summary).collect(),
        };
        Diagnostic::error(
            code::WRONG_TYPE,
            format!("the value of variable `{name}` cannot be read"),
        )
        .at(variable.name.span)
        .because(format!("{source} must hold a {kind} in HCL syntax: {}", why.join("; ")))
        .help(match ty {
            Type::List(_) | Type::Set(_) | Type::Tuple(_) => "for example '[\"a\", \"b\"]'",
            Type::Map(_) | Type::Object(_) => "for example '{ name = \"value\" }'",
            _ => "write true or false",
        })
        .into()
    })
}

fn unset(variable: &Variable, asker: Frontend) -> Diagnostic {
    let name = &variable.name.value;
    Diagnostic::error(code::UNSET_VARIABLE, format!("Unset variable {name:?}"))
        .at(variable.name.span)
        .because("A used variable must be set or have a default value.")
        .help(format!("{}, or with PKR_VAR_{name} in the environment", asker.ways_to_set(name)))
}

/// Given on the command line or in a file, but declared nowhere.
fn undeclared(template: &Template, inputs: &Inputs) -> Diagnostics {
    let mut found = Diagnostics::default();
    let names = || template.variables.iter().map(|variable| variable.name.value.as_str());
    let declared: HashSet<&str> = names().collect();
    let hint = |name: &str| match did_you_mean(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it: variable \"{name}\" {{}}"),
    };
    for (name, _) in &inputs.vars {
        if !declared.contains(name.as_str()) {
            let cause = format!(
                "A {name:?} variable was passed in the command line but was not found in known \
                 variables."
            );
            let summary = "Undefined -var variable";
            found.push(
                Diagnostic::error(code::UNDECLARED_VARIABLE, summary)
                    .because(cause)
                    .help(hint(name)),
            );
        }
    }
    if inputs.warn_undeclared {
        for assignment in inputs.var_files.iter().flatten() {
            let name = &assignment.name.value;
            if !declared.contains(name.as_str()) && !found.is_full() {
                found.push(
                    Diagnostic::warning(code::UNDECLARED_VARIABLE, "Undefined variable")
                        .at(assignment.name.span)
                        .because(format!(
                            "The variable {name:?} was set but was not declared as an input \
                             variable."
                        ))
                        .help(hint(name)),
                );
            }
        }
    }
    found
}

/// Holds `value` against one of its variable's rules.
fn validate(
    variable: &Variable,
    rule: &Validation,
    given: ValueSource<'_>,
    value: &Value,
    host: &Host,
) -> Result<(), Diagnostics> {
    let name = &variable.name.value;
    check_references(name, rule)?;
    let mut roots = Roots::default();
    roots.set("var", Value::object([(name.as_str(), value.clone())]));
    let result = Evaluator::new(&roots, host).eval(&rule.condition)?;
    let invalid = |cause: &str| {
        Diagnostic::error(code::VALIDATION, "Invalid variable validation result")
            .at(rule.condition.span)
            .because(cause)
    };
    let result = convert(&result, &Type::Bool).map_err(|cause| {
        invalid(&format!("Invalid validation condition result value: {cause}."))
    })?;
    match result.data {
        Data::Bool(true) => Ok(()),
        Data::Bool(false) => {
            let summary = format!("Invalid value for {} variable", given.name());
            let span = match given {
                ValueSource::File(expr) => expr.span,
                _ => variable.name.span,
            };
            Err(Diagnostic::error(code::VALIDATION, summary)
                .at(span)
                .because(rule.error_message.value.clone())
                .label(rule.condition.span, "this rule refuses it")
                .into())
        }
        _ => Err(invalid(
            "Validation condition expression must return either true or false, not null.",
        )
        .into()),
    }
}

/// A rule is about its own variable, and about nothing else.
fn check_references(name: &str, rule: &Validation) -> Result<(), Diagnostics> {
    let mut is_about_itself = false;
    let mut foreign: Option<Span> = None;
    references::each(&rule.condition, &mut |reference| match reference.names.as_slice() {
        _ if reference.is_bound => {}
        ["var", own, ..] if *own == name => is_about_itself = true,
        _ => foreign = foreign.or(Some(reference.expr.span)),
    });
    let summary = "Invalid reference in variable validation";
    if let Some(span) = foreign {
        return Err(Diagnostic::error(code::VALIDATION, summary)
            .at(span)
            .because(format!(
                "The condition for variable {name:?} can only refer to the variable itself, using \
             var.{name}."
            ))
            .into());
    }
    if !is_about_itself {
        let summary = "Invalid variable validation condition";
        return Err(Diagnostic::error(code::VALIDATION, summary)
            .at(rule.condition.span)
            .because(format!(
                "The condition for variable {name:?} must refer to var.{name} in order to test \
                 incoming values."
            ))
            .into());
    }
    Ok(())
}
