//! Texts with `${ … }` and `%{ … }`.

use crate::budget::{Budget, Exceeded, Limit};
use crate::diagnostic::code;
use crate::secret::{Taint, Weakness};
use crate::template::ast::{Expr, TemplatePart};

use super::expr::{Eval, Evaluator, Frame, error, too_much};
use super::types::Type;
use super::value::{Data, Value};

/// A text while it is put together.
#[derive(Default)]
struct Text {
    text: String,
    unknown: bool,
    sensitive: bool,
    /// What of it no message may repeat.
    taint: Taint,
}

impl Text {
    fn push(&mut self, part: &str, budget: &Budget) -> Result<(), Exceeded> {
        budget.pay(Budget::of_text(part.len()))?;
        Limit::TEXT.check(self.text.len() + part.len())?;
        self.text.push_str(part);
        Ok(())
    }
}

impl Evaluator<'_> {
    /// A template; `${x}` alone is `x`, whatever its type.
    pub fn eval_template(&self, parts: &[TemplatePart]) -> Eval {
        if let [TemplatePart::Interpolation(only)] = parts {
            return self.eval(only);
        }
        let mut text = Text::default();
        self.append_parts(&mut text, parts)?;
        let value = match text.unknown {
            true => Data::Unknown(Type::String).public(),
            false => Value::string(text.text),
        };
        self.host.pass(text.taint, &value);
        Ok(value.marked(text.sensitive))
    }

    fn append_parts(&self, text: &mut Text, parts: &[TemplatePart]) -> Eval<()> {
        parts.iter().try_for_each(|part| self.append_part(text, part))
    }

    fn append_part(&self, text: &mut Text, part: &TemplatePart) -> Eval<()> {
        match part {
            TemplatePart::Text(literal) => {
                text.push(literal, &self.host.budget)?;
                Ok(())
            }
            TemplatePart::Interpolation(expr) => self.append_value(text, expr),
            TemplatePart::If { condition, yes, no, .. } => {
                let held = self.eval_condition(condition)?;
                text.sensitive |= held.sensitive;
                match held.data {
                    Data::Bool(true) => self.append_parts(text, yes),
                    Data::Bool(false) => self.append_parts(text, no),
                    _ => {
                        text.unknown = true;
                        Ok(())
                    }
                }
            }
            TemplatePart::For { key, value, collection, body, .. } => {
                self.append_loop(text, (key.as_deref(), value), collection, body)
            }
        }
    }

    fn append_loop(
        &self,
        text: &mut Text,
        (key_name, value_name): (Option<&str>, &str),
        collection: &Expr,
        body: &[TemplatePart],
    ) -> Eval<()> {
        let given = self.eval(collection)?;
        text.sensitive |= given.sensitive;
        let Some(turns) = self.turns(collection, &given)? else {
            text.unknown = true;
            return Ok(());
        };
        for (key, value) in &turns {
            let outer =
                Frame { name: key_name.unwrap_or_default(), value: key, outer: self.frame() };
            let frame = Frame { name: value_name, value, outer: Some(&outer) };
            self.within(&frame).append_parts(text, body)?;
        }
        Ok(())
    }

    fn append_value(&self, text: &mut Text, expr: &Expr) -> Eval<()> {
        const SUMMARY: &str = "Invalid template interpolation value";
        let value = self.eval(expr)?;
        if value.is_null() {
            let cause = "The expression result is null. Cannot include a null value in a string \
                         template.";
            return Err(error(code::WRONG_TYPE, SUMMARY, expr.span).because(cause).into());
        }
        if value.is_unknown() {
            text.unknown = true;
            text.sensitive |= value.sensitive;
            return Ok(());
        }
        let part = self.as_string(&value).map_err(|cause| {
            let cause = format!("Cannot include the given value in a string template: {cause}.");
            error(code::WRONG_TYPE, SUMMARY, expr.span)
                .because(cause)
                .help("make a text of it: `join(\", \", …)`, `jsonencode(…)`")
        })?;
        let pushed = match part.as_str() {
            Some(part_text) => text.push(part_text, &self.host.budget),
            None => {
                text.unknown = true;
                Ok(())
            }
        };
        let protected = pushed.and_then(|()| self.host.protect(&part));
        protected.map_err(|exceeded| too_much(exceeded, expr.span))?;
        // What is too weak to be masked by itself makes no secret of the text around it.
        let is_weak = part.as_str().is_some_and(|text| Weakness::of(text).is_some());
        text.sensitive |= part.sensitive && !is_weak;
        text.taint |= self.host.taint(&part);
        text.taint.part |= part.sensitive && is_weak;
        Ok(())
    }
}
