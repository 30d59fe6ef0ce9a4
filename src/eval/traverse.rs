//! Attributes, indexes and splats.

use crate::diagnostic::{Diagnostic, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Expr, ExprKind};

use super::convert::convert;
use super::expr::{Eval, Evaluator, Frame, SPLAT_ITEM, error};
use super::types::Type;
use super::value::{Data, Value};

impl Evaluator<'_> {
    pub(super) fn eval_attribute(&self, of: &Expr, name: &Spanned<String>) -> Eval {
        let value = self.eval(of)?;
        let sensitive = value.sensitive;
        match attribute(&value, &name.value) {
            Ok(found) => Ok(found.marked(sensitive)),
            Err((summary, cause)) => {
                let mut found = error(code::UNKNOWN_NAME, summary, name.span).because(cause);
                if let Data::Object(entries) = &value.data
                    && !sensitive
                    && let Some(near) = crate::diagnostic::did_you_mean(
                        &name.value,
                        entries.keys().map(AsRef::as_ref),
                    )
                    && !self.host.is_confidential(&Value::string(near))
                {
                    found = found.help(format!("did you mean `{near}`?"));
                } else if let ExprKind::Variable(root) = &of.kind {
                    found.help = declare(root, &name.value);
                }
                Err(found.into())
            }
        }
    }

    pub(super) fn eval_index(&self, of: &Expr, key: &Expr) -> Eval {
        let (value, key_value) = (self.eval(of)?, self.eval(key)?);
        let sensitive = value.sensitive || key_value.sensitive;
        let found = index(&value, &key_value)
            .map_err(|(summary, cause)| error(code::OPERATION, summary, key.span).because(cause))?;
        Ok(found.marked(sensitive))
    }

    pub(super) fn eval_splat(&self, of: &Expr, each: &Expr) -> Eval {
        let value = self.eval(of)?;
        let items = match &value.data {
            Data::Null(Type::Any) => return Ok(Value::tuple([]).marked(value.sensitive)),
            Data::Null(ty) if !is_sequence(ty) => {
                return Ok(Value::tuple([]).marked(value.sensitive));
            }
            Data::Null(_) => return Err(null_splat(of.span).into()),
            Data::Unknown(ty) => return self.splat_of_unknown(&value, ty, each),
            _ => match value.items() {
                Some(items) => items.to_vec(),
                None => vec![value.clone()],
            },
        };
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            let item = item.marked(value.sensitive);
            let frame = Frame { name: SPLAT_ITEM, value: &item, outer: self.frame() };
            results.push(self.within(&frame).eval(each)?);
        }
        let result = match &value.data {
            Data::List(item, items) | Data::Set(item, items) if items.is_empty() => {
                Value::list(self.splat_item(item, each)?, [])
            }
            _ => Value::tuple(results),
        };
        self.pay_for(&result, of.span)?;
        let result = match (&value.data, result.items()) {
            (Data::List(..) | Data::Set(..), Some(items)) => sequence(items.to_vec()),
            _ => result,
        };
        Ok(result.marked(value.sensitive))
    }
}

impl Evaluator<'_> {
    /// What is known before the value is: the type, and what is wrong with `each`.
    fn splat_of_unknown(&self, value: &Value, ty: &Type, each: &Expr) -> Eval {
        let result = match ty {
            Type::Any | Type::Tuple(_) => Value::UNKNOWN,
            Type::List(item) | Type::Set(item) => {
                Data::Unknown(Type::List(self.splat_item(item, each)?.into())).public()
            }
            // It may still be null, and then it counts as no item.
            one => {
                self.splat_item(one, each)?;
                Value::UNKNOWN
            }
        };
        Ok(result.marked(value.sensitive))
    }

    /// The type of what `each` makes of an item that is not there yet.
    fn splat_item(&self, item: &Type, each: &Expr) -> Eval<Type> {
        let item = Data::Unknown(item.clone()).public();
        let frame = Frame { name: SPLAT_ITEM, value: &item, outer: self.frame() };
        Ok(self.within(&frame).eval(each)?.ty())
    }
}

/// How a name that `var` or `local` lacks comes to be there.
fn declare(root: &str, name: &str) -> Option<String> {
    match root {
        "var" => Some(format!("declare it: `variable \"{name}\" {{ … }}`")),
        "local" => Some(format!("define it: `locals {{ {name} = … }}`")),
        _ => None,
    }
}

fn is_sequence(ty: &Type) -> bool {
    matches!(ty, Type::List(_) | Type::Set(_) | Type::Tuple(_))
}

fn null_splat(span: Span) -> Diagnostic {
    error(code::WRONG_TYPE, "Splat of null value", span)
        .because("Splat expressions (with the * symbol) cannot be applied to null sequences.")
}

/// A list where all items are of one type, else a tuple.
fn sequence(items: Vec<Value>) -> Value {
    let mut types = items.iter().map(Value::ty);
    match types.next() {
        Some(item) if types.all(|ty| ty == item) => Value::list(item, items),
        _ => Value::tuple(items),
    }
}

/// Summary and cause of a failed lookup.
type Missing = (&'static str, String);

/// `value.name`.
fn attribute(value: &Value, name: &str) -> Result<Value, Missing> {
    const UNSUPPORTED: &str = "Unsupported attribute";
    match &value.data {
        Data::Null(_) => Err((
            "Attempt to get attribute from null value",
            "This value is null, so it does not have any attributes.".to_owned(),
        )),
        Data::Unknown(Type::Object(fields)) => match fields.get(name) {
            Some(field) => Ok(Data::Unknown(field.ty.clone()).public()),
            None => Err((UNSUPPORTED, no_attribute(name))),
        },
        Data::Unknown(Type::Map(item)) => Ok(Data::Unknown((**item).clone()).public()),
        Data::Unknown(Type::Any) => Ok(Value::UNKNOWN),
        Data::Object(entries) => {
            entries.get(name).cloned().ok_or_else(|| (UNSUPPORTED, no_attribute(name)))
        }
        Data::Map(_, entries) => entries.get(name).cloned().ok_or_else(|| {
            let cause = format!("This map does not have an element with the key \"{name}\".");
            ("Missing map element", cause)
        }),
        Data::Bool(_)
        | Data::Number(_)
        | Data::String(_)
        | Data::Unknown(Type::Bool | Type::Number | Type::String) => Err((
            UNSUPPORTED,
            format!("Can't access attributes on a primitive-typed value ({}).", value.type_name()),
        )),
        Data::List(Type::Object(_), _) => Err((UNSUPPORTED, attribute_of_each("list", name))),
        Data::Set(Type::Object(_), _) => Err((UNSUPPORTED, attribute_of_each("set", name))),
        Data::Unknown(Type::List(item)) if matches!(**item, Type::Object(_)) => {
            Err((UNSUPPORTED, attribute_of_each("list", name)))
        }
        _ => Err((UNSUPPORTED, "This value does not have any attributes.".to_owned())),
    }
}

fn no_attribute(name: &str) -> String {
    format!("This object does not have an attribute named \"{name}\".")
}

fn attribute_of_each(kind: &str, name: &str) -> String {
    format!(
        "Can't access attributes on a {kind} of objects. Did you mean to access attribute \
         \"{name}\" for a specific element of the {kind}, or across all elements of the {kind}?"
    )
}

const INVALID_INDEX: &str = "Invalid index";
const NO_ELEMENT: &str = "The given key does not identify an element in this collection value";

fn no_element(why: impl std::fmt::Display) -> Missing {
    (INVALID_INDEX, format!("{NO_ELEMENT}: {why}."))
}

/// `value[key]`.
pub(super) fn index(value: &Value, key: &Value) -> Result<Value, Missing> {
    if value.is_null() {
        let cause = "This value is null, so it does not have any indices.".to_owned();
        return Err(("Attempt to index null value", cause));
    }
    if key.is_null() {
        return Err((INVALID_INDEX, "Can't use a null value as an indexing key.".to_owned()));
    }
    match &value.data {
        Data::List(item, items) => element(items, key, item),
        Data::Tuple(items) => element(items, key, &Type::Any),
        Data::Map(item, entries) => {
            let key = convert(key, &Type::String).map_err(no_element)?;
            let Some(name) = key.as_str() else { return Ok(Data::Unknown(item.clone()).public()) };
            entries.get(name).cloned().ok_or_else(|| (INVALID_INDEX, format!("{NO_ELEMENT}.")))
        }
        Data::Object(entries) => {
            let numeric = matches!(key.data, Data::Number(_));
            let key = convert(key, &Type::String).map_err(no_element)?;
            let Some(name) = key.as_str() else { return Ok(Value::UNKNOWN) };
            entries.get(name).cloned().ok_or_else(|| {
                let more = match numeric {
                    true => " An object only supports looking up attributes by name, not by numeric index.",
                    false => "",
                };
                (INVALID_INDEX, format!("{NO_ELEMENT}.{more}"))
            })
        }
        Data::Set(..) => Err((
            INVALID_INDEX,
            "Elements of a set are identified only by their value and don't have any separate \
             index or key to select with, so it's only possible to perform operations across all \
             elements of the set."
                .to_owned(),
        )),
        Data::Unknown(Type::Any) => Ok(Value::UNKNOWN),
        Data::Unknown(Type::List(item) | Type::Map(item)) => {
            Ok(Data::Unknown((**item).clone()).public())
        }
        Data::Unknown(Type::Object(fields)) => {
            let key = convert(key, &Type::String).map_err(no_element)?;
            let Some(name) = key.as_str() else { return Ok(Value::UNKNOWN) };
            match fields.get(name) {
                Some(field) => Ok(Data::Unknown(field.ty.clone()).public()),
                None => Err((INVALID_INDEX, format!("{NO_ELEMENT}."))),
            }
        }
        Data::Unknown(Type::Tuple(_)) => Ok(Value::UNKNOWN),
        _ => Err((INVALID_INDEX, "This value does not have any indices.".to_owned())),
    }
}

/// The item at `key`; one of type `ty`, where that is not known.
fn element(items: &[Value], key: &Value, ty: &Type) -> Result<Value, Missing> {
    let key = convert(key, &Type::Number).map_err(|error| no_element(error.message()))?;
    let Data::Number(number) = &key.data else { return Ok(Data::Unknown(ty.clone()).public()) };
    if number.is_negative() && !number.is_zero() {
        let why = "a negative number is not a valid index for a sequence";
        return Err(no_element(why));
    }
    if number.to_integer().is_none() {
        return Err(no_element(
            "indexing a sequence requires a whole number, but the given index has a fractional part",
        ));
    }
    if items.is_empty() {
        return Err(no_element("the collection has no elements"));
    }
    let at = number.to_i64().ok().and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| items.get(at)).cloned().ok_or_else(|| {
        no_element("the given index is greater than or equal to the length of the collection")
    })
}
