//! Locals and data sources in the order that they need each other.

use std::collections::HashMap;

use indexmap::IndexSet;

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Span;
use crate::template::ast::{Block, Body, Expr, Local, Template};

use super::Inputs;
use super::data::DataSources;
use super::expr::{Evaluator, Roots};
use super::functions::Host;
use super::references;
use super::value::Value;

/// What has a value that others may need.
#[derive(Clone, Copy)]
enum Node<'a> {
    Local(&'a Local),
    /// A `data` block with its two labels, and who answers it.
    Data(&'a Block, [&'a str; 2], &'a dyn DataSources),
}

/// How far a node is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    /// On the path that is being followed.
    Open,
    Done,
    /// It, or one that it needs, has no value; that has been said.
    Failed,
}

struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    /// For each node, those that it refers to.
    needs: Vec<Vec<usize>>,
    states: Vec<State>,
    host: &'a Host,
    found: Diagnostics,
}

/// Evaluates each local and data source of `template` once, those that others need first, and adds
/// them to `roots`.
pub fn evaluate(
    template: &Template,
    inputs: &Inputs,
    roots: &mut Roots,
    host: &Host,
) -> Diagnostics {
    let nodes: Vec<Node<'_>> = match &inputs.data_sources {
        Some(sources) => {
            declare_data(template, roots);
            let data = template.data.iter().filter_map(|block| Node::of_data(block, &**sources));
            data.chain(template.locals.iter().map(Node::Local)).collect()
        }
        None => template.locals.iter().map(Node::Local).collect(),
    };
    let names: HashMap<String, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.name(), index)).collect();
    let needs = nodes.iter().map(|node| node.needs(&names)).collect();
    let states = vec![State::New; nodes.len()];
    let mut graph = Graph { nodes, needs, states, host, found: Diagnostics::default() };
    for start in 0..graph.nodes.len() {
        graph.visit(start, roots);
    }
    graph.found
}

/// `data.<type>` for each type that the template uses; what cannot be answered stays out of it.
fn declare_data(template: &Template, roots: &mut Roots) {
    let kinds = template.data.iter().filter_map(|block| block.labels.first());
    let empty = || Value::object::<&str>([]);
    roots.set("data", Value::object(kinds.map(|kind| (kind.value.as_str(), empty()))));
}

impl<'a> Node<'a> {
    fn of_data(block: &'a Block, sources: &'a dyn DataSources) -> Option<Self> {
        match block.labels.as_slice() {
            [kind, name] => Some(Self::Data(block, [&kind.value, &name.value], sources)),
            // That has been said when the template was read.
            _ => None,
        }
    }

    /// As expressions refer to it.
    fn name(&self) -> String {
        match self {
            Self::Local(local) => format!("local.{}", local.name.value),
            Self::Data(_, [kind, name], _) => format!("data.{kind}.{name}"),
        }
    }

    fn span(&self) -> Span {
        match self {
            Self::Local(local) => local.name.span,
            Self::Data(block, ..) => block.span,
        }
    }

    fn needs(&self, names: &HashMap<String, usize>) -> Vec<usize> {
        let mut needs = IndexSet::new();
        let mut found = |expr: &Expr| {
            references::each(expr, &mut |reference| {
                let name = match reference.names.as_slice() {
                    ["local", name, ..] => format!("local.{name}"),
                    ["data", kind, name, ..] => format!("data.{kind}.{name}"),
                    _ => return,
                };
                if !reference.is_bound
                    && let Some(&index) = names.get(&name)
                {
                    needs.insert(index);
                }
            });
        };
        match self {
            Self::Local(local) => found(&local.value),
            Self::Data(block, ..) => each_expression(&block.body, &mut found),
        }
        needs.into_iter().collect()
    }

    fn evaluate(&self, roots: &Roots, host: &Host) -> Result<(Value, Diagnostics), Diagnostics> {
        let evaluator = Evaluator::new(roots, host);
        match self {
            Self::Local(local) => {
                let value = evaluator.eval(&local.value)?.marked(local.sensitive);
                if local.sensitive {
                    evaluator.pay_for(&value, local.value.span)?;
                    value.texts().into_iter().for_each(|text| host.redactor.register(text));
                }
                Ok((value, Diagnostics::default()))
            }
            Self::Data(block, _, sources) => evaluator.data(block, *sources),
        }
    }

    fn define(&self, value: Value, roots: &mut Roots) {
        match self {
            Self::Local(local) => roots.set_attribute(&["local", &local.name.value], value),
            Self::Data(_, [kind, name], _) => roots.set_attribute(&["data", kind, name], value),
        }
    }
}

/// Calls `found` with the value of every argument in `body`, those of nested blocks among them.
fn each_expression<'a>(body: &'a Body, found: &mut dyn FnMut(&'a Expr)) {
    body.attributes.values().for_each(|attribute| found(&attribute.value));
    body.blocks.iter().for_each(|block| each_expression(&block.body, found));
}

impl Graph<'_> {
    /// Follows what `start` needs, depth first. The path is kept here and not on the stack, which
    /// a long chain would overflow.
    fn visit(&mut self, start: usize, roots: &mut Roots) {
        if self.states[start] != State::New {
            return;
        }
        // Each node on the path, and how many of its needs have been looked at.
        let mut path = vec![(start, 0)];
        self.states[start] = State::Open;
        while let Some((current, seen)) = path.last_mut() {
            let current = *current;
            let Some(&next) = self.needs[current].get(*seen) else {
                path.pop();
                self.finish(current, roots);
                continue;
            };
            *seen += 1;
            match self.states[next] {
                State::New => {
                    self.states[next] = State::Open;
                    path.push((next, 0));
                }
                State::Open => {
                    let from = path.iter().position(|(index, _)| *index == next).unwrap_or(0);
                    let cycle: Vec<usize> = path[from..].iter().map(|(index, _)| *index).collect();
                    self.refuse_cycle(&cycle);
                }
                State::Done | State::Failed => {}
            }
        }
    }

    fn refuse_cycle(&mut self, cycle: &[usize]) {
        let Some(&first) = cycle.first() else { return };
        let names = cycle.iter().chain([&first]).map(|&index| self.nodes[index].name());
        let path: Vec<String> = names.collect();
        let is_local = |index: &usize| matches!(self.nodes[*index], Node::Local(_));
        let summary = match cycle {
            [_] => format!("`{}` refers to itself", path[0]),
            _ if cycle.iter().all(is_local) => "locals need each other".to_owned(),
            _ => "locals and data sources need each other".to_owned(),
        };
        let mut error = Diagnostic::error(code::CYCLE, summary)
            .at(self.nodes[first].span())
            .because(path.join(" → "))
            .help("give one of them a value that does not come from the others");
        for &index in cycle.iter().skip(1) {
            error = error.label(self.nodes[index].span(), "part of the cycle");
        }
        self.found.push(error);
        for &index in cycle {
            self.states[index] = State::Failed;
        }
    }

    /// Everything that `index` needs has been looked at.
    fn finish(&mut self, index: usize, roots: &mut Roots) {
        let lacks = self.needs[index].iter().any(|&need| self.states[need] == State::Failed);
        if lacks || self.states[index] == State::Failed {
            self.states[index] = State::Failed;
            return;
        }
        let node = self.nodes[index];
        match self.found.absorb(node.evaluate(roots, self.host)) {
            Some(value) => {
                node.define(value, roots);
                self.states[index] = State::Done;
            }
            None => self.states[index] = State::Failed,
        }
    }
}
