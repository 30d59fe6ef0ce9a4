//! Which fields a text asks for, read off without rendering it.

use super::parse::{Node, Operand, OperandKind, Pipeline};
use super::{Error, Scope, Template};
use crate::diagnostic::did_you_mean;

/// The fields that a text may ask for.
#[derive(Clone, Copy, Debug)]
pub enum Fields<'a> {
    /// Those of these names.
    Of(&'a [&'a str]),
    /// Those of these names, and the facts of the machine.
    WithBuild(&'a [&'a str]),
}

impl<'a> Fields<'a> {
    fn names(self, scope: &'a Scope) -> Vec<&'a str> {
        match self {
            Self::Of(names) => names.to_vec(),
            Self::WithBuild(names) => names.iter().copied().chain(scope.build_names()).collect(),
        }
    }
}

impl Template {
    /// Whether there are only `fields` in it: whoever renders it has no others. What `with` and
    /// `range` make the dot is not looked into.
    pub fn check_fields(&self, fields: Fields<'_>, scope: &Scope) -> Result<(), Error> {
        let known = fields.names(scope);
        let mut asked = Vec::new();
        list(&self.nodes, true, &mut asked);
        let unknown = asked.into_iter().find(|(name, _)| !known.contains(name));
        unknown.map_or(Ok(()), |(name, offset)| Err(refused(name, offset, &known)))
    }
}

fn refused(name: &str, offset: usize, known: &[&str]) -> Error {
    let keep = format!("to keep the text as it is, write {{{{`{{{{ .{name} }}}}`}}}}");
    let help = match did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("did you mean `.{near}`?"),
        None if known.is_empty() => keep,
        None => format!("the fields are: .{}; {keep}", known.join(", .")),
    };
    Error::new(offset, format!("there is no field `.{name}` here\n{help}"))
}

/// A field of the dot that the text begins with, and where it stands.
type Asked<'a> = (&'a str, usize);

fn list<'a>(nodes: &'a [Node], is_first_dot: bool, asked: &mut Vec<Asked<'a>>) {
    for node in nodes {
        match node {
            Node::Action(value, _) => pipeline(value, is_first_dot, asked),
            Node::If { condition: value, yes, no } => {
                pipeline(value, is_first_dot, asked);
                list(yes, is_first_dot, asked);
                list(no, is_first_dot, asked);
            }
            Node::With { value, yes, no } | Node::Range { values: value, yes, no } => {
                pipeline(value, is_first_dot, asked);
                list(yes, false, asked);
                list(no, is_first_dot, asked);
            }
            Node::Text(_) | Node::Break | Node::Continue => {}
        }
    }
}

fn pipeline<'a>(value: &'a Pipeline, is_first_dot: bool, asked: &mut Vec<Asked<'a>>) {
    for Operand { kind, fields, offset } in value.commands.iter().flat_map(|one| &one.words) {
        match (kind, fields.first()) {
            (OperandKind::Dot, Some(name)) if is_first_dot => asked.push((name, *offset)),
            (OperandKind::Variable(root), Some(name)) if root == "$" => asked.push((name, *offset)),
            (OperandKind::Pipeline(inner), _) => pipeline(inner, is_first_dot, asked),
            _ => {}
        }
    }
}
