//! `for` expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::code;
use crate::template::ast::{Expr, ForExpr};

use super::convert::convert;
use super::expr::{Eval, Evaluator, Frame, discreet, error};
use super::types::Type;
use super::value::{Data, Value};

/// What one turn of a loop adds to the result.
enum Turn {
    /// Nothing: the condition does not hold.
    Skip,
    /// The condition or the key is not known, so the result is not either.
    Unknown,
    /// A value, and its key for an object.
    Item(Option<Arc<str>>, Value),
}

impl Evaluator<'_> {
    pub(super) fn eval_for(&self, each: &ForExpr) -> Eval {
        let collection = self.eval(&each.collection)?;
        let mut sensitive = collection.sensitive;
        let Some(turns) = self.turns(&each.collection, &collection)? else {
            return Ok(Value::UNKNOWN.marked(sensitive));
        };
        let mut items = Vec::new();
        let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for (key, value) in turns {
            match self.eval_turn(each, &key, &value, &mut sensitive)? {
                Turn::Skip => {}
                Turn::Unknown => return Ok(Value::UNKNOWN.marked(sensitive)),
                Turn::Item(None, item) => items.push(item),
                Turn::Item(Some(key), item) => {
                    let group = groups.entry(key.clone()).or_default();
                    if !group.is_empty() && !each.grouped {
                        let is_secret = sensitive || self.has_secret_key(each, &collection, &key);
                        return Err(discreet(duplicate(each, &key), is_secret).into());
                    }
                    group.push(item);
                }
            }
        }
        let result = match (&each.result_key, each.grouped) {
            (None, _) => Value::tuple(items),
            (Some(_), true) => {
                Value::object(groups.into_iter().map(|(key, group)| (key, Value::tuple(group))))
            }
            (Some(_), false) => Value::object(
                groups.into_iter().filter_map(|(key, mut group)| Some((key, group.pop()?))),
            ),
        };
        Ok(result.marked(sensitive))
    }

    /// The keys and values that `collection` is gone through with; `None` if they are not known.
    pub(super) fn turns(
        &self,
        expr: &Expr,
        collection: &Value,
    ) -> Eval<Option<Vec<(Value, Value)>>> {
        let mark = collection.sensitive;
        let count = collection.items().map(|items| items.len());
        let count = count.or(collection.entries().map(|entries| entries.len()));
        self.pay(count.unwrap_or(0).saturating_mul(2), expr.span)?;
        let turns = match &collection.data {
            Data::Unknown(_) => return Ok(None),
            Data::List(_, items) | Data::Tuple(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (index.into(), value.clone().marked(mark)))
                .collect(),
            Data::Set(_, items) => {
                items.iter().map(|v| v.clone().marked(mark)).map(|v| (v.clone(), v)).collect()
            }
            Data::Map(_, entries) | Data::Object(entries) => entries
                .iter()
                .map(|(key, value)| (Value::string(key), value.clone().marked(mark)))
                .collect(),
            Data::Null(_) => {
                return Err(error(code::WRONG_TYPE, "Iteration over null value", expr.span)
                    .because("A null value cannot be used as the collection in a 'for' expression.")
                    .into());
            }
            _ => {
                let cause = format!(
                    "A value of type {} cannot be used as the collection in a 'for' expression.",
                    collection.type_name()
                );
                return Err(error(
                    code::WRONG_TYPE,
                    "Iteration over non-iterable value",
                    expr.span,
                )
                .because(cause)
                .into());
            }
        };
        Ok(Some(turns))
    }

    fn eval_turn(
        &self,
        each: &ForExpr,
        key: &Value,
        value: &Value,
        sensitive: &mut bool,
    ) -> Eval<Turn> {
        let key_name = each.key.as_deref().unwrap_or_default();
        let outer = Frame { name: key_name, value: key, outer: self.frame() };
        let frame = Frame { name: &each.value, value, outer: Some(&outer) };
        let scope = self.within(&frame);
        if let Some(condition) = &each.condition {
            let held = scope.eval_if_clause(condition)?;
            *sensitive |= held.sensitive;
            match held.data {
                Data::Bool(true) => {}
                Data::Bool(false) => return Ok(Turn::Skip),
                _ => return Ok(Turn::Unknown),
            }
        }
        let Some(key) = &each.result_key else {
            return Ok(Turn::Item(None, scope.eval(&each.result)?));
        };
        let key = scope.eval_result_key(key)?;
        *sensitive |= key.sensitive;
        let item = scope.eval(&each.result)?;
        Ok(match key.as_str() {
            Some(key) => Turn::Item(Some(key.into()), item),
            None => Turn::Unknown,
        })
    }

    /// Whether `key`, which `each` has made, must not be shown.
    fn has_secret_key(&self, each: &ForExpr, collection: &Value, key: &str) -> bool {
        let refers = |expr: &Expr| self.refers_to_secrets(expr);
        self.host.is_confidential(&Value::string(key))
            || self.host.is_confidential(collection)
            || each.result_key.as_ref().is_some_and(refers)
    }

    fn eval_if_clause(&self, condition: &Expr) -> Eval {
        let value = self.eval(condition)?;
        if value.is_null() {
            return Err(error(code::WRONG_TYPE, "Condition is null", condition.span)
                .because("The value of the 'if' clause must not be null.")
                .into());
        }
        Ok(convert(&value, &Type::Bool).map_err(|cause| {
            error(code::WRONG_TYPE, "Invalid 'for' condition", condition.span)
                .because(format!("The 'if' clause value is invalid: {cause}."))
        })?)
    }

    fn eval_result_key(&self, key: &Expr) -> Eval {
        let value = self.eval(key)?;
        let invalid = error(code::WRONG_TYPE, "Invalid object key", key.span);
        if value.is_null() {
            let cause = "Key expression in 'for' expression must not produce a null value.";
            return Err(invalid.because(cause).into());
        }
        Ok(self.as_string(&value).map_err(|cause| {
            invalid.because(format!("The key expression produced an invalid result: {cause}."))
        })?)
    }
}

fn duplicate(each: &ForExpr, key: &str) -> crate::diagnostic::Diagnostic {
    let span = each.result_key.as_ref().map_or(each.collection.span, |key| key.span);
    error(code::OPERATION, "Duplicate object key", span).because(format!(
        "Two different items produced the key \"{key}\" in this 'for' expression. If duplicates \
         are expected, use the ellipsis (...) after the value expression to enable grouping by key."
    ))
}
