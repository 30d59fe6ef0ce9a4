//! Nodes → text.

use serde_json::Value;

use super::parse::{Command, Node, Operand, OperandKind, Pipeline};
use super::value::{is_true, print, type_name, weight};
use super::{Dot, Error, Scope, functions};
use crate::budget::{Budget, Limit};

/// Renders a parsed text.
pub(super) fn render(nodes: &[Node], scope: &Scope, dot: &Dot) -> Result<String, Error> {
    let root: Value = dot.clone().into_iter().collect::<serde_json::Map<_, _>>().into();
    let variables = vec![("$".to_owned(), root.clone())];
    let mut renderer = Renderer { scope, variables, text: String::new() };
    renderer.list(nodes, &root)?;
    Ok(renderer.text)
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Renderer<'a> {
    scope: &'a Scope,
    variables: Vec<(String, Value)>,
    text: String,
}

impl Renderer<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Error> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.push(text, 0)?,
            Node::Action(pipeline, written) if self.is_late(pipeline) => {
                self.push(written, pipeline.offset)?;
            }
            Node::Action(pipeline, written) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    if value.is_null() {
                        // Go writes `<no value>` here, into names and commands.
                        let message = format!("`{written}` has no value");
                        return Err(Error::new(pipeline.offset, message));
                    }
                    self.push(&print(&value), pipeline.offset)?;
                }
            }
            Node::If { condition, yes, no } => {
                return self.scoped(|renderer| {
                    let value = renderer.pipeline(condition, dot)?;
                    renderer.list(if is_true(&value) { yes } else { no }, dot)
                });
            }
            Node::With { value, yes, no } => {
                return self.scoped(|renderer| {
                    let value = renderer.pipeline(value, dot)?;
                    match is_true(&value) {
                        true => renderer.list(yes, &value),
                        false => renderer.list(no, dot),
                    }
                });
            }
            Node::Range { values, yes, no } => {
                return self.scoped(|renderer| renderer.range(values, yes, no, dot));
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn push(&mut self, text: &str, offset: usize) -> Result<(), Error> {
        let check = Limit::TEXT.check(self.text.len() + text.len());
        check.map_err(|exceeded| Error::too_much(offset, exceeded))?;
        self.pay(Budget::of_text(text.len()), offset)?;
        self.text += text;
        Ok(())
    }

    fn pay(&self, units: usize, offset: usize) -> Result<(), Error> {
        let paid = self.scope.budget.pay(units);
        paid.map_err(|exceeded| Error::too_much(offset, exceeded))
    }

    /// In the `variables` section, fields are for whoever uses the variable: `{{ .X }}` stays.
    fn is_late(&self, pipeline: &Pipeline) -> bool {
        let [Command { words, .. }] = pipeline.commands.as_slice() else {
            return false;
        };
        let [Operand { kind: OperandKind::Dot, fields, .. }] = words.as_slice() else {
            return false;
        };
        self.scope.in_variables && !fields.is_empty() && pipeline.variables.is_empty()
    }

    /// Variables that are declared inside end there.
    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.variables.len();
        let result = run(self);
        self.variables.truncate(outer);
        result
    }

    fn range(
        &mut self,
        values: &Pipeline,
        yes: &[Node],
        no: &[Node],
        dot: &Value,
    ) -> Result<Flow, Error> {
        let pairs: Vec<(Value, Value)> = match self.commands(values, dot)? {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect()
            }
            Value::Object(entries) => {
                let mut pairs: Vec<_> = entries.into_iter().collect();
                pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
            }
            Value::Number(count) if count.is_i64() || count.is_u64() => {
                let count = count.as_u64().unwrap_or(0);
                self.pay(usize::try_from(count).unwrap_or(usize::MAX), values.offset)?;
                (0..count).map(|index| (index.into(), index.into())).collect()
            }
            other => {
                let message = format!("range cannot go through a {}", type_name(&other));
                return Err(Error::new(values.offset, message));
            }
        };
        if pairs.is_empty() {
            return self.list(no, dot);
        }
        for (key, value) in pairs {
            self.pay(1, values.offset)?;
            let flow = self.scoped(|renderer| {
                renderer.set_loop_variables(values, key, &value);
                renderer.list(yes, &value)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// One variable takes the element, two take the key and the element.
    fn set_loop_variables(&mut self, values: &Pipeline, key: Value, value: &Value) {
        let pair = match values.variables.as_slice() {
            [] => Vec::new(),
            [item] => vec![(item, value.clone())],
            [first, second, ..] => vec![(first, key), (second, value.clone())],
        };
        for (name, value) in pair {
            self.set(name, value, values.declares);
        }
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, old)) if !declares => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    /// The value of a pipeline, which its variable takes too.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let value = self.commands(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Error> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or_default())
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Error> {
        let Some((first, arguments)) = command.words.split_first() else {
            return Ok(Value::Null);
        };
        let OperandKind::Function(name) = &first.kind else {
            if let Some(argument) = arguments.first() {
                let message = "this is no function and takes no arguments".to_owned();
                return Err(Error::new(argument.offset, message));
            }
            return self.operand(first, dot);
        };
        // `and` and `or` look no further than they need to.
        if let "and" | "or" = name.as_str() {
            return self.short_circuit(name == "or", arguments, dot, piped, command.offset);
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(piped);
        let value = self.call(name, &values, command.offset)?;
        fields(value, &first.fields, first.offset)
    }

    fn short_circuit(
        &mut self,
        wanted: bool,
        arguments: &[Operand],
        dot: &Value,
        piped: Option<Value>,
        offset: usize,
    ) -> Result<Value, Error> {
        let mut last = None;
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            if is_true(&value) == wanted {
                return Ok(value);
            }
            last = Some(value);
        }
        let message = "wrong number of args: want at least 1 got 0".to_owned();
        piped.or(last).ok_or(Error::new(offset, message))
    }

    fn call(&self, name: &str, arguments: &[Value], offset: usize) -> Result<Value, Error> {
        let value = functions::call(name, arguments, self.scope)
            .map_err(|cause| Error::new(offset, format!("error calling {name}: {cause}")))?;
        let length = value.as_str().map_or(0, str::len);
        Limit::TEXT.check(length).map_err(|exceeded| Error::too_much(offset, exceeded))?;
        self.pay(weight(&value), offset)?;
        Ok(value)
    }

    /// An operand's value is a copy.
    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        let value = self.operand_value(operand, dot)?;
        self.pay(weight(&value), operand.offset)?;
        Ok(value)
    }

    fn operand_value(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        let value = match &operand.kind {
            OperandKind::Dot => return fields_of(dot, &operand.fields, operand.offset),
            OperandKind::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(&Value::Null, |(_, value)| value);
                return fields_of(value, &operand.fields, operand.offset);
            }
            OperandKind::Function(name) => self.call(name, &[], operand.offset)?,
            OperandKind::Literal(value) => value.clone(),
            OperandKind::Nil => Value::Null,
            OperandKind::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        fields(value, &operand.fields, operand.offset)
    }
}

fn fields(value: Value, names: &[String], offset: usize) -> Result<Value, Error> {
    if names.is_empty() { Ok(value) } else { fields_of(&value, names, offset) }
}

/// `value.a.b`; what a map does not have is no value.
fn fields_of(value: &Value, names: &[String], offset: usize) -> Result<Value, Error> {
    let mut value = value;
    for name in names {
        value = match value {
            Value::Object(entries) => entries.get(name).unwrap_or(&Value::Null),
            Value::Null => {
                let message = format!("there is no value to take the field {name} of");
                return Err(Error::new(offset, message));
            }
            other => {
                let kind = type_name(other);
                let message = format!("can't evaluate field {name} in type {kind}");
                return Err(Error::new(offset, message));
            }
        };
    }
    Ok(value.clone())
}
