//! Operators and conditionals.

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Span;
use crate::template::ast::{BinaryOperator, Expr, UnaryOperator};

use super::convert::convert;
use super::expr::{Eval, Evaluator, discreet, error};
use super::number::{Number, NumberError};
use super::types::Type;
use super::unify::unify;
use super::value::{Data, Value};

const INCONSISTENT: &str = "Inconsistent conditional result types";

impl Evaluator<'_> {
    pub(super) fn eval_unary(&self, span: Span, operator: UnaryOperator, operand: &Expr) -> Eval {
        let wanted = match operator {
            UnaryOperator::Negate => Type::Number,
            UnaryOperator::Not => Type::Bool,
        };
        let given = self.eval(operand)?;
        let value = convert(&given, &wanted).map_err(|cause| {
            error(code::OPERATION, "Invalid operand", operand.span)
                .because(format!("Unsuitable value for unary operand: {cause}."))
        })?;
        let result = match (&value.data, operator) {
            (Data::Unknown(_), _) => Data::Unknown(wanted).public(),
            (Data::Number(number), _) => number.negate().into(),
            (Data::Bool(known), _) => (!known).into(),
            _ => return Err(null_operand(span).into()),
        };
        Ok(result.marked(value.sensitive))
    }

    pub(super) fn eval_binary(
        &self,
        span: Span,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
    ) -> Eval {
        match operator {
            BinaryOperator::And => self.eval_logic(span, false, left, right),
            BinaryOperator::Or => self.eval_logic(span, true, left, right),
            BinaryOperator::Equal => self.eval_equal(left, right, true),
            BinaryOperator::NotEqual => self.eval_equal(left, right, false),
            _ => self.eval_arithmetic(span, operator, left, right),
        }
    }

    /// The values of both operands; those that have none of this type are said before those that
    /// have none at all.
    fn operands_of(&self, left: &Expr, right: &Expr, wanted: &Type) -> Operands {
        let mut unsuitable = Diagnostics::default();
        let mut operand = |expr: &Expr, side: &str| {
            let value = self.eval(expr)?;
            convert(&value, wanted).map_err(|cause| {
                let found = error(code::OPERATION, "Invalid operand", expr.span)
                    .because(format!("Unsuitable value for {side} operand: {cause}."));
                unsuitable.push(found);
                Diagnostics::default()
            })
        };
        let (left, right) = (operand(left, "left"), operand(right, "right"));
        Operands { left, right, unsuitable }
    }

    /// `&&` (decided by false) and `||` (decided by true): the side that decides makes the other
    /// one, even its errors, irrelevant. Null counts as false there.
    fn eval_logic(&self, span: Span, decisive: bool, left: &Expr, right: &Expr) -> Eval {
        let decides = |value: &Value| match value.data {
            Data::Bool(known) => known == decisive,
            Data::Null(_) => !decisive,
            _ => false,
        };
        let operands = self.operands_of(left, right, &Type::Bool);
        if operands.unsuitable.0.is_empty() {
            let known = [&operands.left, &operands.right];
            let known = known.into_iter().filter_map(|side| side.as_ref().ok());
            if known.clone().any(decides) {
                let mark = known.into_iter().any(|side| side.sensitive);
                return Ok(Value::from(decisive).marked(mark));
            }
        }
        let (left, right) = operands.both()?;
        let sensitive = left.sensitive || right.sensitive;
        let result = if left.is_null() || right.is_null() {
            return Err(null_operand(span).into());
        } else if left.is_unknown() || right.is_unknown() {
            Data::Unknown(Type::Bool).public()
        } else {
            Value::from(!decisive)
        };
        Ok(result.marked(sensitive))
    }

    fn eval_equal(&self, left: &Expr, right: &Expr, equal: bool) -> Eval {
        let spans = left.span.to(right.span);
        let (left, right) = (self.eval(left)?, self.eval(right)?);
        self.pay(left.traits().weight.min(right.traits().weight), spans)?;
        // Whether two values are equal says nothing that a person could read.
        Ok(match left.equals(&right) {
            Some(same) => (same == equal).into(),
            None => Data::Unknown(Type::Bool).public(),
        })
    }

    fn eval_arithmetic(
        &self,
        span: Span,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
    ) -> Eval {
        let (left, right) = self.operands_of(left, right, &Type::Number).both()?;
        let result = match (&left.data, &right.data) {
            (Data::Null(_), _) | (_, Data::Null(_)) => return Err(null_operand(span).into()),
            (Data::Number(left), Data::Number(right)) => {
                compute(operator, left, right).map_err(|cause| failed(span, &cause.to_string()))?
            }
            _ => Data::Unknown(result_type(operator)).public(),
        };
        Ok(result.marked(left.sensitive || right.sensitive))
    }

    pub(super) fn eval_conditional(
        &self,
        span: Span,
        condition: &Expr,
        yes: &Expr,
        no: &Expr,
    ) -> Eval {
        let (yes_span, no_span) = (yes.span, no.span);
        let (yes, no) = match (self.eval(yes), self.eval(no)) {
            (Ok(yes), Ok(no)) => (yes, no),
            (yes, no) => return self.of_failing_branch(condition, yes, no),
        };
        self.pay_for(&yes, span)?;
        self.pay_for(&no, span)?;
        let (yes_type, no_type) = (yes.ty(), no.ty());
        // Names of attributes may be made of secrets.
        let is_secret = || self.host.is_confidential(&yes) || self.host.is_confidential(&no);
        let mismatch = || {
            let cause = describe_mismatch(&yes_type, &no_type);
            let found = error(code::WRONG_TYPE, INCONSISTENT, span).because(format!(
                "The true and false result expressions must have consistent types. {cause}"
            ));
            discreet(found, is_secret())
        };
        let common = match (&yes.data, &no.data) {
            (Data::Null(Type::Any), _) => no_type.clone(),
            (_, Data::Null(Type::Any)) => yes_type.clone(),
            _ if yes_type == Type::Any || no_type == Type::Any => Type::Any,
            _ => unify(&[yes_type.clone(), no_type.clone()]).ok_or_else(mismatch)?,
        };
        let as_common = |value: &Value, side: &str, place: Span| {
            convert(value, &common).map_err(|cause| {
                let cause = format!("The {side} result value has the wrong type: {cause}.");
                discreet(error(code::WRONG_TYPE, INCONSISTENT, place).because(cause), is_secret())
            })
        };
        let chosen = self.eval_condition(condition)?;
        let result = match &chosen.data {
            Data::Bool(true) => as_common(&yes, "true", yes_span)?,
            Data::Bool(false) => as_common(&no, "false", no_span)?,
            _ if yes.is_null() && no.is_null() => Data::Null(common).public(),
            _ => Data::Unknown(common).public(),
        };
        Ok(result.marked(chosen.sensitive))
    }

    /// The branch that is not taken may fail; then only the other one has a type.
    fn of_failing_branch(&self, condition: &Expr, yes: Eval, no: Eval) -> Eval {
        let chosen = self.eval_condition(condition)?;
        let taken = match &chosen.data {
            Data::Bool(true) => yes,
            Data::Bool(false) => no,
            _ => Ok(Value::UNKNOWN),
        };
        Ok(taken?.marked(chosen.sensitive))
    }

    /// The value of a condition: a bool, or unknown.
    pub(super) fn eval_condition(&self, condition: &Expr) -> Eval {
        let value = self.eval(condition)?;
        if value.is_null() {
            return Err(error(code::WRONG_TYPE, "Null condition", condition.span)
                .because("The condition value is null. Conditions must either be true or false.")
                .into());
        }
        Ok(convert(&value, &Type::Bool).map_err(|_| {
            error(code::WRONG_TYPE, "Incorrect condition type", condition.span)
                .because("The condition expression must be of type bool.")
        })?)
    }
}

/// Two operands, and those among them that are of the wrong type.
struct Operands {
    left: Eval,
    right: Eval,
    unsuitable: Diagnostics,
}

impl Operands {
    fn both(self) -> Eval<(Value, Value)> {
        let Self { left, right, mut unsuitable } = self;
        match (left, right) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            (left, right) => {
                [left, right]
                    .into_iter()
                    .filter_map(Result::err)
                    .for_each(|e| unsuitable.extend(e));
                Err(unsuitable)
            }
        }
    }
}

fn null_operand(span: Span) -> Diagnostic {
    failed(span, "argument must not be null")
}

fn failed(span: Span, cause: &str) -> Diagnostic {
    error(code::OPERATION, "Operation failed", span)
        .because(format!("Error during operation: {cause}."))
}

fn result_type(operator: BinaryOperator) -> Type {
    match operator {
        BinaryOperator::Less
        | BinaryOperator::LessOrEqual
        | BinaryOperator::Greater
        | BinaryOperator::GreaterOrEqual => Type::Bool,
        _ => Type::Number,
    }
}

fn compute(operator: BinaryOperator, left: &Number, right: &Number) -> Result<Value, NumberError> {
    Ok(match operator {
        BinaryOperator::Add => left.add(right)?.into(),
        BinaryOperator::Subtract => left.subtract(right)?.into(),
        BinaryOperator::Multiply => left.multiply(right)?.into(),
        BinaryOperator::Divide => left.divide(right)?.into(),
        BinaryOperator::Modulo => left.modulo(right)?.into(),
        BinaryOperator::Less => (left < right).into(),
        BinaryOperator::LessOrEqual => (left <= right).into(),
        BinaryOperator::Greater => (left > right).into(),
        BinaryOperator::GreaterOrEqual => (left >= right).into(),
        BinaryOperator::Equal => (left == right).into(),
        BinaryOperator::NotEqual => (left != right).into(),
        BinaryOperator::And | BinaryOperator::Or => Value::UNKNOWN,
    })
}

/// Where exactly two types have nothing in common.
fn describe_mismatch(yes: &Type, no: &Type) -> String {
    match (yes, no) {
        (Type::Object(a), Type::Object(b)) => {
            let absent = |side: &str, name: &str, other: &str| {
                format!(
                    "The '{side}' value includes object attribute {name:?}, which is absent in \
                     the '{other}' value."
                )
            };
            if let Some(name) = a.keys().find(|name| !b.contains_key(*name)) {
                return absent("true", name, "false");
            }
            if let Some(name) = b.keys().find(|name| !a.contains_key(*name)) {
                return absent("false", name, "true");
            }
            a.iter()
                .filter_map(|(name, field)| Some((name, &field.ty, &b.get(name)?.ty)))
                .find(|(_, a, b)| unify(&[(*a).clone(), (*b).clone()]).is_none())
                .map(|(name, a, b)| {
                    let inner = describe_mismatch(a, b);
                    format!("Type mismatch for object attribute {name:?}: {inner}")
                })
                .unwrap_or_default()
        }
        (Type::Tuple(a), Type::Tuple(b)) if a.len() != b.len() => format!(
            "The 'true' tuple has length {}, but the 'false' tuple has length {}.",
            a.len(),
            b.len()
        ),
        (Type::Tuple(a), Type::Tuple(b)) => a
            .iter()
            .zip(b.iter())
            .enumerate()
            .find(|(_, (a, b))| unify(&[(*a).clone(), (*b).clone()]).is_none())
            .map(|(index, (a, b))| {
                let inner = describe_mismatch(a, b);
                format!("Type mismatch for tuple element {index}: {inner}")
            })
            .unwrap_or_default(),
        _ => format!("The 'true' value is {yes}, but the 'false' value is {no}."),
    }
}
