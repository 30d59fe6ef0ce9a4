//! Tokens → nodes.

use serde_json::Value;

use super::lex::{Kind, Token, lex};
use super::{Error, functions};
use crate::budget::Limit;
use crate::diagnostic::did_you_mean;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// `{{pipeline}}`, and the text of the whole action.
    Action(Pipeline, String),
    /// `{{if}} … {{else}} … {{end}}`.
    If {
        condition: Pipeline,
        yes: Vec<Node>,
        no: Vec<Node>,
    },
    /// `{{with}}`: as `if`, and the value becomes the dot.
    With {
        value: Pipeline,
        yes: Vec<Node>,
        no: Vec<Node>,
    },
    /// `{{range}}`: once for every element; `no` where there is none.
    Range {
        values: Pipeline,
        yes: Vec<Node>,
        no: Vec<Node>,
    },
    /// `{{break}}` and `{{continue}}`.
    Break,
    Continue,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub offset: usize,
    /// The variables that take its value: at most two, with `range` only.
    pub variables: Vec<String>,
    /// Whether they are new (`:=`).
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A function with its arguments, or a single operand.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub offset: usize,
    pub words: Vec<Operand>,
}

/// A value and the chain of fields that are taken of it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub offset: usize,
    pub kind: OperandKind,
    pub fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum OperandKind {
    Dot,
    Variable(String),
    Function(String),
    Literal(Value),
    Nil,
    Pipeline(Box<Pipeline>),
}

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Error> {
    let tokens = lex(text)?;
    let mut parser =
        Parser { text, tokens, at: 0, variables: vec!["$".to_owned()], depth: 0, loops: 0 };
    let (nodes, end) = parser.list()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(error(end.offset, format!("unexpected {{{{{}}}}}", end.word))),
    }
}

/// The keyword that ended a list.
struct End {
    word: &'static str,
    offset: usize,
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    /// The variables in scope.
    variables: Vec<String>,
    depth: usize,
    /// How many `range` are around.
    loops: usize,
}

type Branches = (Pipeline, Vec<Node>, Vec<Node>);

impl Parser<'_> {
    /// Nodes up to the end of the text or to `{{end}}` or `{{else`, which is read.
    fn list(&mut self) -> Result<(Vec<Node>, Option<End>), Error> {
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                _ => match self.action(token.offset)? {
                    Ok(node) => nodes.extend(node),
                    Err(end) => return Ok((nodes, Some(end))),
                },
            }
        }
        Ok((nodes, None))
    }

    /// After `{{`.
    fn action(&mut self, open: usize) -> Result<Result<Option<Node>, End>, Error> {
        self.skip_space();
        let keyword = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let offset = self.offset();
        let node = match keyword.as_str() {
            "if" => self.branches("if", |(condition, yes, no)| Node::If { condition, yes, no })?,
            "with" => self.branches("with", |(value, yes, no)| Node::With { value, yes, no })?,
            "range" => {
                self.loops += 1;
                let node =
                    self.branches("range", |(values, yes, no)| Node::Range { values, yes, no })?;
                self.loops -= 1;
                node
            }
            "end" => {
                self.at += 1;
                self.close("end")?;
                return Ok(Err(End { word: "end", offset: open }));
            }
            "else" => {
                // What follows is the branch's matter: `}}`, or `if` of an `else if`.
                self.at += 1;
                return Ok(Err(End { word: "else", offset: open }));
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(error(
                        offset,
                        format!("{{{{{keyword}}}}} outside of {{{{range}}}}"),
                    ));
                }
                self.at += 1;
                self.close(&keyword)?;
                if keyword == "break" { Node::Break } else { Node::Continue }
            }
            "define" | "template" | "block" => {
                let message = format!("`{keyword}` is not built in imgbake yet");
                return Err(error(offset, message));
            }
            _ => {
                let pipeline = self.pipeline("an action", 1)?;
                let end = self.close("an action")?;
                Node::Action(pipeline, self.text[open..end].to_owned())
            }
        };
        Ok(Ok(Some(node)))
    }

    /// After `if`, `with` or `range`: its pipeline, its branches and its `{{end}}`. Variables that
    /// are declared inside end there.
    fn branches(
        &mut self,
        word: &'static str,
        make: impl FnOnce(Branches) -> Node,
    ) -> Result<Node, Error> {
        let offset = self.offset();
        self.at += 1;
        let scope = self.variables.len();
        let max_variables = if word == "range" { 2 } else { 1 };
        let parts = self.deeper(|parser| {
            let pipeline = parser.pipeline(word, max_variables)?;
            parser.close(word)?;
            let (yes, end) = parser.list()?;
            let unclosed = || error(offset, format!("this `{word}` lacks its {{{{end}}}}"));
            let end = end.ok_or_else(unclosed)?;
            let no = match end.word {
                "else" => parser.else_branch(word).transpose().ok_or_else(unclosed)??,
                _ => Vec::new(),
            };
            Ok((pipeline, yes, no))
        })?;
        self.variables.truncate(scope);
        Ok(make(parts))
    }

    /// After `{{else`: the rest of the list, or `else if …`, which shares the `{{end}}`. `None`
    /// where the text ends before.
    fn else_branch(&mut self, word: &'static str) -> Result<Option<Vec<Node>>, Error> {
        self.skip_space();
        let chained =
            matches!(self.peek(), Some(Kind::Word(next)) if next == word && word != "range");
        if chained {
            let node = match word {
                "if" => self.branches("if", |(condition, yes, no)| Node::If { condition, yes, no }),
                _ => self.branches("with", |(value, yes, no)| Node::With { value, yes, no }),
            };
            return Ok(Some(vec![node?]));
        }
        self.close("else")?;
        let (nodes, end) = self.list()?;
        match end {
            None => Ok(None),
            Some(End { word: "else", offset }) => {
                Err(error(offset, "a second {{else}}".to_owned()))
            }
            Some(_) => Ok(Some(nodes)),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let check = Limit::NESTING.check(self.depth + 1);
        check.map_err(|exceeded| Error::too_much(self.offset(), exceeded))?;
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn pipeline(&mut self, place: &str, max_variables: usize) -> Result<Pipeline, Error> {
        self.skip_space();
        let offset = self.offset();
        let (variables, declares) = self.declaration(max_variables)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            let command = self.command(place)?;
            if !commands.is_empty() && !takes_arguments(&command) {
                let message = "only a function can stand after `|`";
                return Err(error(command.offset, message.to_owned()));
            }
            commands.push(command);
            self.skip_space();
            if self.peek() != Some(&Kind::Pipe) {
                break;
            }
            self.at += 1;
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
            let check = Limit::VARIABLES.check(self.variables.len());
            check.map_err(|exceeded| Error::too_much(offset, exceeded))?;
        }
        Ok(Pipeline { offset, variables, declares, commands })
    }

    /// `$x :=`, `$x =` or `$i, $x :=` before a pipeline.
    fn declaration(&mut self, max: usize) -> Result<(Vec<String>, bool), Error> {
        let start = self.at;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek() {
            names.push((name.clone(), self.offset()));
            self.at += 1;
            self.skip_space();
            let declares = match self.peek() {
                Some(Kind::Comma) if names.len() < max => {
                    self.at += 1;
                    self.skip_space();
                    continue;
                }
                Some(Kind::Declare) => true,
                Some(Kind::Assign) => false,
                _ => break,
            };
            self.at += 1;
            for (name, offset) in &names {
                if !declares && !self.variables.contains(name) {
                    return Err(error(*offset, format!("undefined variable \"{name}\"")));
                }
            }
            return Ok((names.into_iter().map(|(name, _)| name).collect(), declares));
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    /// Operands up to a `|`, a closing parenthesis or the end of the action.
    fn command(&mut self, place: &str) -> Result<Command, Error> {
        let offset = self.offset();
        let mut words = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(Kind::Close | Kind::Pipe | Kind::RightParenthesis) => break,
                Some(_) => words.push(self.operand()?),
            }
        }
        if words.is_empty() {
            return Err(error(offset, format!("a value is missing in {place}")));
        }
        if let [Operand { kind: OperandKind::Nil, .. }, ..] = words.as_slice() {
            return Err(error(offset, "nil is not a command".to_owned()));
        }
        Ok(Command { offset, words })
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        let offset = self.offset();
        let Some(token) = self.next() else {
            return Err(error(offset, "a value is missing".to_owned()));
        };
        let mut fields = Vec::new();
        let kind = match token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field(name) => {
                fields.push(name);
                OperandKind::Dot
            }
            Kind::Variable(name) if self.variables.contains(&name) => OperandKind::Variable(name),
            Kind::Variable(name) => {
                return Err(error(offset, format!("undefined variable \"{name}\"")));
            }
            Kind::Word(word) => self.word(word, offset)?,
            Kind::String(text) => OperandKind::Literal(Value::String(text)),
            Kind::Character(c) => OperandKind::Literal(Value::from(u32::from(c))),
            Kind::Number(text) => OperandKind::Literal(number(&text, offset)?),
            Kind::LeftParenthesis => self.parenthesis(offset)?,
            _ => return Err(error(offset, format!("unexpected `{}`", self.text_of(&token)))),
        };
        while let Some(Kind::Field(name)) = self.peek() {
            if matches!(kind, OperandKind::Literal(_) | OperandKind::Nil) {
                let message = format!("unexpected `.{name}` after a constant");
                return Err(error(self.offset(), message));
            }
            fields.push(name.clone());
            self.at += 1;
        }
        Ok(Operand { offset, kind, fields })
    }

    fn word(&self, word: String, offset: usize) -> Result<OperandKind, Error> {
        match word.as_str() {
            "true" => return Ok(OperandKind::Literal(Value::Bool(true))),
            "false" => return Ok(OperandKind::Literal(Value::Bool(false))),
            "nil" => return Ok(OperandKind::Nil),
            _ => {}
        }
        if functions::exists(&word) {
            return Ok(OperandKind::Function(word));
        }
        let hint = match word.as_str() {
            "clean_ami_name" | "clean_image_name" => Some("clean_resource_name"),
            _ => did_you_mean(&word, functions::names()),
        };
        let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Err(error(offset, format!("function \"{word}\" not defined{hint}")))
    }

    fn parenthesis(&mut self, offset: usize) -> Result<OperandKind, Error> {
        let pipeline = self.deeper(|parser| parser.pipeline("parentheses", 0))?;
        self.skip_space();
        match self.next() {
            Some(Token { kind: Kind::RightParenthesis, .. }) => {
                Ok(OperandKind::Pipeline(Box::new(pipeline)))
            }
            _ => Err(error(offset, "this `(` lacks its `)`".to_owned())),
        }
    }

    /// Reads `}}` and says where it ends.
    fn close(&mut self, place: &str) -> Result<usize, Error> {
        self.skip_space();
        let offset = self.offset();
        match self.next() {
            Some(Token { kind: Kind::Close, end, .. }) => Ok(end),
            Some(token) => {
                let found = self.text_of(&token);
                Err(error(offset, format!("unexpected `{found}` in {place}")))
            }
            None => Err(error(offset, format!("{place} lacks its `}}}}`"))),
        }
    }

    fn text_of(&self, token: &Token) -> &str {
        self.text.get(token.offset..token.end).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.offset)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }
}

/// Whether the value before a `|` can be handed to `command`.
fn takes_arguments(command: &Command) -> bool {
    matches!(command.words.first(), Some(Operand { kind: OperandKind::Function(_), .. }))
}

/// A number as Go's templates write them.
fn number(text: &str, offset: usize) -> Result<Value, Error> {
    let plain = text.replace('_', "").to_lowercase();
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefix, radix| {
        digits.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    let integer = radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?);
    if let Some(integer) = integer {
        return Ok(Value::from(integer * sign));
    }
    let float = plain.parse().ok().filter(|_| digits.starts_with(|c: char| !c.is_alphabetic()));
    match float.filter(|float: &f64| float.is_finite()) {
        Some(float) => Ok(Value::from(float)),
        None => Err(error(offset, format!("bad number `{text}`"))),
    }
}

fn error(offset: usize, message: String) -> Error {
    Error::new(offset, message)
}
