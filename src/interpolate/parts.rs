//! A text taken apart, for those who write it in another language.

use serde_json::Value;

use super::Error;
use super::parse::{Command, Node, Operand, OperandKind, Pipeline, parse};

/// A part of a template text.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// `{{ … }}` with a value.
    Action {
        /// The value. `None` if it is more than calls, fields and constants, e.g. a variable.
        value: Option<Term>,
        /// The whole action, as it was written.
        written: String,
    },
    /// `{{if}}`, `{{range}}` and the like.
    Control,
}

/// A value that an action inserts.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A constant text, number or truth value.
    Constant(Value),
    /// `.A.B`, with its dots.
    Field(String),
    /// A function with its arguments; what stood before a `|` is the last one.
    Call(String, Vec<Term>),
}

/// Takes `text` apart.
///
/// # Errors
///
/// As [`Template::parse`](super::Template::parse).
pub fn parts(text: &str) -> Result<Vec<Part>, Error> {
    let part = |node| match node {
        Node::Text(text) => Part::Text(text),
        Node::Action(pipeline, written) => Part::Action { value: term(&pipeline), written },
        _ => Part::Control,
    };
    Ok(parse(text)?.into_iter().map(part).collect())
}

fn term(pipeline: &Pipeline) -> Option<Term> {
    if !pipeline.variables.is_empty() {
        return None;
    }
    let (first, rest) = pipeline.commands.split_first()?;
    rest.iter().try_fold(command(first, None)?, |before, next| command(next, Some(before)))
}

/// A command that is handed the value `before` as its last argument.
fn command(command: &Command, before: Option<Term>) -> Option<Term> {
    let (first, arguments) = command.words.split_first()?;
    match operand(first)? {
        Term::Call(name, _) => {
            let arguments = arguments.iter().map(operand).collect::<Option<Vec<Term>>>()?;
            Some(Term::Call(name, arguments.into_iter().chain(before).collect()))
        }
        single if arguments.is_empty() && before.is_none() => Some(single),
        _ => None,
    }
}

fn operand(operand: &Operand) -> Option<Term> {
    match &operand.kind {
        OperandKind::Dot if !operand.fields.is_empty() => {
            Some(Term::Field(format!(".{}", operand.fields.join("."))))
        }
        _ if !operand.fields.is_empty() => None,
        OperandKind::Function(name) => Some(Term::Call(name.clone(), Vec::new())),
        OperandKind::Literal(value) => Some(Term::Constant(value.clone())),
        OperandKind::Pipeline(pipeline) => term(pipeline),
        OperandKind::Dot | OperandKind::Variable(_) | OperandKind::Nil => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: Vec<Term>) -> Term {
        Term::Call(name.to_owned(), arguments)
    }

    fn value(text: &str) -> Option<Term> {
        match parts(text).unwrap().as_slice() {
            [Part::Action { value, .. }] => value.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pipeline_is_calls_inside_of_calls() {
        let name = || Term::Constant("a".into());
        assert_eq!(
            value("{{ user `a` | upper }}"),
            Some(call("upper", vec![call("user", vec![name()])]))
        );
        assert_eq!(
            value("{{ `a` | replace_all \"x\" (env `a`) }}"),
            Some(call(
                "replace_all",
                vec![Term::Constant("x".into()), call("env", vec![name()]), name()]
            ))
        );
        assert_eq!(value("{{ .Vars.X }}"), Some(Term::Field(".Vars.X".to_owned())));
    }

    #[test]
    fn what_is_no_plain_value_is_left() {
        assert_eq!(value("{{ $x := 1 }}"), None);
        assert_eq!(value("{{ . }}"), None);
        assert_eq!(parts("{{ if true }}x{{ end }}").unwrap(), [Part::Control]);
    }
}
