//! Locals in the order that they need each other.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::template::ast::Local;

use super::expr::{Evaluator, Roots};
use super::functions::Host;
use super::references;

/// How far a local is.
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
    locals: &'a [Local],
    /// For each local, those that it refers to.
    needs: Vec<Vec<usize>>,
    states: Vec<State>,
    found: Diagnostics,
}

/// Evaluates each of `locals` once, those that others need first, and adds them to `roots`.
pub fn evaluate(locals: &[Local], roots: &mut Roots, host: &Host) -> Diagnostics {
    let names: HashMap<&str, usize> = locals
        .iter()
        .enumerate()
        .map(|(index, local)| (local.name.value.as_str(), index))
        .collect();
    let needs = locals.iter().map(|local| needs(local, &names)).collect();
    let states = vec![State::New; locals.len()];
    let mut graph = Graph { locals, needs, states, found: Diagnostics::default() };
    for start in 0..locals.len() {
        graph.visit(start, roots, host);
    }
    graph.found
}

fn needs(local: &Local, names: &HashMap<&str, usize>) -> Vec<usize> {
    let mut needs = Vec::new();
    references::each(&local.value, &mut |reference| {
        if let ["local", name, ..] = reference.names.as_slice()
            && !reference.is_bound
            && let Some(&index) = names.get(name)
            && !needs.contains(&index)
        {
            needs.push(index);
        }
    });
    needs
}

impl Graph<'_> {
    /// Follows what `start` needs, depth first. The path is kept here and not on the stack, which
    /// a long chain would overflow.
    fn visit(&mut self, start: usize, roots: &mut Roots, host: &Host) {
        if self.states[start] != State::New {
            return;
        }
        // Each local on the path, and how many of its needs have been looked at.
        let mut path = vec![(start, 0)];
        self.states[start] = State::Open;
        while let Some((current, seen)) = path.last_mut() {
            let current = *current;
            let Some(&next) = self.needs[current].get(*seen) else {
                path.pop();
                self.finish(current, roots, host);
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
        let names = cycle.iter().chain([&first]).map(|&index| &self.locals[index].name.value);
        let path: Vec<String> = names.map(|name| format!("local.{name}")).collect();
        let head = &self.locals[first];
        let summary = match cycle {
            [_] => format!("`local.{}` refers to itself", head.name.value),
            _ => "locals need each other".to_owned(),
        };
        let mut error = Diagnostic::error(code::CYCLE, summary)
            .at(head.name.span)
            .because(path.join(" → "))
            .help("give one of them a value that does not come from the others");
        for &index in cycle.iter().skip(1) {
            error = error.label(self.locals[index].name.span, "part of the cycle");
        }
        self.found.push(error);
        for &index in cycle {
            self.states[index] = State::Failed;
        }
    }

    /// Everything that `index` needs has been looked at.
    fn finish(&mut self, index: usize, roots: &mut Roots, host: &Host) {
        let lacks = self.needs[index].iter().any(|&need| self.states[need] == State::Failed);
        if lacks || self.states[index] == State::Failed {
            self.states[index] = State::Failed;
            return;
        }
        let local = &self.locals[index];
        match Evaluator::new(roots, host).eval(&local.value) {
            Ok(value) => {
                let value = value.marked(local.sensitive);
                if local.sensitive {
                    value.texts().into_iter().for_each(|text| host.redactor.register(text));
                }
                roots.set_attribute("local", &local.name.value, value);
                self.states[index] = State::Done;
            }
            Err(errors) => {
                self.found.extend(errors);
                self.states[index] = State::Failed;
            }
        }
    }
}
