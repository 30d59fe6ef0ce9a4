//! Locals and data sources in the order that they need each other.

use std::collections::{BTreeSet, HashMap};

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
use super::variables::not_masked;

/// What has a value that others may need.
#[derive(Clone, Copy)]
enum Node<'a> {
    Local(&'a Local),
    /// A `data` block with its two labels.
    Data(&'a Block, [&'a str; 2]),
}

/// How far a node is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    /// On the path that is being followed.
    Open,
    Done,
    /// It, or one that it needs, has no value; that has been said. Its value is unknown, as far as
    /// it depends on what failed.
    Failed,
}

struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    /// For each node, those that it refers to.
    needs: Vec<Vec<usize>>,
    states: Vec<State>,
    /// Who answers `data` blocks.
    sources: Option<&'a dyn DataSources>,
    host: &'a Host,
    found: Diagnostics,
}

/// Evaluates each local and data source of `template` once, those that others need first, and adds
/// them to `roots`. What cannot be known is unknown there, and hides nothing else. If the variables
/// have errors, which are `found` already, data sources have no options to be asked with.
pub fn evaluate(
    template: &Template,
    inputs: &Inputs,
    roots: &mut Roots,
    host: &Host,
    found: Diagnostics,
) -> Diagnostics {
    let mut nodes = Node::all(template);
    match inputs.data_sources {
        Some(_) => declare_data(template, roots),
        None => nodes.retain(|node| matches!(node, Node::Local(_))),
    }
    let sources = inputs.data_sources.as_deref().filter(|_| !found.has_errors());
    let names = names(&nodes);
    let needs = nodes.iter().map(|node| node.needs(&names)).collect();
    let states = vec![State::New; nodes.len()];
    let mut graph = Graph { nodes, needs, states, sources, host, found };
    for start in 0..graph.nodes.len() {
        graph.visit(start, roots);
    }
    graph.found
}

/// The data sources of `template`, by type and name.
pub fn data_sources(template: &Template) -> BTreeSet<[String; 2]> {
    Node::all(template).iter().filter_map(Node::of_data).collect()
}

/// The data sources of `template`, by type and name, that what is written in `users` needs: itself,
/// or through locals and other data sources.
pub fn data_needed(template: &Template, users: &[&Body]) -> BTreeSet<[String; 2]> {
    let nodes = Node::all(template);
    let names = names(&nodes);
    let mut needed = IndexSet::new();
    for body in users {
        each_expression(body, &mut |expr| {
            references::each(expr, &mut |reference| {
                add_users_need(&reference, &names, &mut needed)
            });
        });
    }
    let mut next = 0;
    while let Some(&index) = needed.get_index(next) {
        needed.extend(nodes[index].needs(&names));
        next += 1;
    }
    needed.iter().filter_map(|index| nodes[*index].of_data()).collect()
}

/// Adds what `reference` means. `local[…]` and `data` alone may mean any of them.
fn add_users_need(
    reference: &references::Reference<'_>,
    names: &HashMap<String, usize>,
    needed: &mut IndexSet<usize>,
) {
    match reference.names.as_slice() {
        _ if reference.is_bound => {}
        ["local" | "data"] | ["data", _] => {
            let any_of = format!("{}.", reference.text());
            let meant = names.iter().filter(|(name, _)| name.starts_with(&any_of));
            needed.extend(meant.map(|(_, index)| *index));
        }
        _ => needed.extend(meant(reference, names)),
    }
}

/// The one local or data source that `reference` means.
fn meant(reference: &references::Reference<'_>, names: &HashMap<String, usize>) -> Option<usize> {
    let name = match reference.names.as_slice() {
        ["local", name, ..] => format!("local.{name}"),
        ["data", kind, name, ..] => format!("data.{kind}.{name}"),
        _ => return None,
    };
    names.get(&name).copied().filter(|_| !reference.is_bound)
}

/// The numbers of `nodes` by what expressions call them.
fn names(nodes: &[Node<'_>]) -> HashMap<String, usize> {
    nodes.iter().enumerate().map(|(index, node)| (node.name(), index)).collect()
}

/// `data.<type>` for each type that the template uses; what cannot be answered stays out of it.
fn declare_data(template: &Template, roots: &mut Roots) {
    let kinds = template.data.iter().filter_map(|block| block.labels.first());
    let empty = || Value::object::<&str>([]);
    roots.set("data", Value::object(kinds.map(|kind| (kind.value.as_str(), empty()))));
}

impl<'a> Node<'a> {
    /// All data sources and locals of `template`.
    fn all(template: &'a Template) -> Vec<Self> {
        let data = template.data.iter().filter_map(|block| match block.labels.as_slice() {
            [kind, name] => Some(Self::Data(block, [&kind.value, &name.value])),
            // That has been said when the template was read.
            _ => None,
        });
        data.chain(template.locals.iter().map(Self::Local)).collect()
    }

    /// Type and name, if it is a data source.
    fn of_data(&self) -> Option<[String; 2]> {
        match self {
            Self::Data(_, labels) => Some(labels.map(str::to_owned)),
            Self::Local(_) => None,
        }
    }

    /// As expressions refer to it.
    fn name(&self) -> String {
        match self {
            Self::Local(local) => format!("local.{}", local.name.value),
            Self::Data(_, [kind, name]) => format!("data.{kind}.{name}"),
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
            references::each(expr, &mut |reference| needs.extend(meant(&reference, names)));
        };
        match self {
            Self::Local(local) => found(&local.value),
            Self::Data(block, ..) => each_expression(&block.body, &mut found),
        }
        needs.into_iter().collect()
    }

    fn evaluate(
        &self,
        roots: &Roots,
        host: &Host,
        sources: Option<&dyn DataSources>,
    ) -> Result<(Value, Diagnostics), Diagnostics> {
        let evaluator = Evaluator::new(roots, host);
        match self {
            Self::Local(local) => {
                let value = evaluator.eval(&local.value)?.marked(local.sensitive);
                let mut found = Diagnostics::default();
                if local.sensitive {
                    evaluator.pay_for(&value, local.value.span)?;
                    let weakness = host.hide(&value);
                    found.extend(weakness.map(|one| not_masked("local", &local.name, one)));
                }
                Ok((value, found))
            }
            Self::Data(block, labels) => match sources {
                Some(sources) => evaluator.data(block, *labels, sources),
                None => Ok((Value::UNKNOWN, Diagnostics::default())),
            },
        }
    }

    fn define(&self, value: Value, roots: &mut Roots) {
        match self {
            Self::Local(local) => roots.set_attribute(&["local", &local.name.value], value),
            Self::Data(_, [kind, name]) => roots.set_attribute(&["data", kind, name], value),
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

    /// Everything that `index` needs has been looked at. A local is evaluated even if some of that
    /// is unknown, so that its own mistakes show; a data source is not asked then.
    fn finish(&mut self, index: usize, roots: &mut Roots) {
        let node = self.nodes[index];
        let lacks = self.needs[index].iter().any(|&need| self.states[need] == State::Failed);
        let is_refused = self.states[index] == State::Failed;
        let value = match node {
            _ if is_refused => None,
            Node::Data(..) if lacks => None,
            _ => self.found.absorb(node.evaluate(roots, self.host, self.sources)),
        };
        self.states[index] = if lacks || value.is_none() { State::Failed } else { State::Done };
        node.define(value.unwrap_or(Value::UNKNOWN), roots);
    }
}
