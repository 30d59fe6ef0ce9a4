//! What stands in brackets: parentheses, lists, objects, `for`, arguments of a call.

use super::super::scan::{Token, TokenKind};
use super::{Parsed, Parser};
use crate::diagnostic::{Diagnostic, code};
use crate::source::Spanned;
use crate::template::ast::{Expr, ExprKind, ForExpr};

/// `k, v in`
pub struct ForNames {
    pub key: Option<String>,
    pub value: String,
}

impl Parser<'_> {
    pub fn parenthesis(&mut self) -> Parsed<Expr> {
        self.with_newlines(false, |parser| {
            let open = parser.next();
            let inner = Box::new(parser.expression()?);
            parser.close(open, ")", "an expression in parentheses")?;
            Ok(parser.expr_from(open, ExprKind::Parenthesis(inner)))
        })
    }

    /// `(a, b...)` after a function's name, which begins with `first`.
    pub fn call(&mut self, first: Token, name: Spanned<String>) -> Parsed<Expr> {
        let (args, expand) = self.with_newlines(false, |parser| parser.arguments(first))?;
        Ok(self.expr_from(first, ExprKind::Call { name, args, expand }))
    }

    /// The arguments, and whether the last one is a list of arguments.
    fn arguments(&mut self, name: Token) -> Parsed<(Vec<Expr>, bool)> {
        let open = self.next();
        let mut args = Vec::new();
        loop {
            if self.eat(")") {
                return Ok((args, false));
            }
            args.push(self.expression()?);
            if self.eat("...") {
                self.close(open, ")", "a call with `...`")?;
                return Ok((args, true));
            }
            if self.eat(",") {
                continue;
            }
            if self.peek().kind == TokenKind::End {
                return self.unclosed_bracket(Token { end: open.end, ..name }, "a call", ")");
            }
            self.close(open, ")", "a function call")?;
            return Ok((args, false));
        }
    }
    /// `[a, b]` or `[for …]`.
    pub fn list(&mut self) -> Parsed<Expr> {
        self.with_newlines(false, |parser| {
            let open = parser.next();
            let kind = match parser.eat("for") {
                true => parser.for_list(open)?,
                false => ExprKind::List(parser.elements(open)?),
            };
            Ok(parser.expr_from(open, kind))
        })
    }

    fn elements(&mut self, open: Token) -> Parsed<Vec<Expr>> {
        let mut items = Vec::new();
        loop {
            if self.eat("]") {
                return Ok(items);
            }
            items.push(self.expression()?);
            if self.eat(",") || self.looking_at("]") {
                continue;
            }
            if self.peek().kind == TokenKind::End {
                return self.unclosed_bracket(open, "a list", "]");
            }
            // Two items in a row: the comma is what is missing, and reading can go on. A name
            // with `=` after it is not an item: the list was never closed.
            let found = self.found();
            if !self.item_begins() {
                self.close(open, "]", "a list")?;
                return Ok(items);
            }
            let error = self.error(self.peek(), "a comma is missing between the items of a list");
            self.diagnostics.push(error.because(format!("expected `,` before {found}")));
        }
    }

    /// Whether an item of a list could begin here, rather than the next argument or block.
    fn item_begins(&self) -> bool {
        let next = self.peek();
        match next.kind {
            TokenKind::Name => {
                let after = self.tokens[self.next_index() + 1];
                let is_argument =
                    after.kind == TokenKind::OpenQuote || matches!(self.text_of(after), "=" | "{");
                !is_argument
            }
            TokenKind::Number | TokenKind::OpenQuote | TokenKind::OpenHeredoc => true,
            _ => matches!(self.text_of(next), "[" | "{" | "(" | "-" | "!"),
        }
    }

    /// `{ a = 1 }` or `{for …}`.
    pub fn object(&mut self) -> Parsed<Expr> {
        let open = self.next();
        let kind = match self.with_newlines(false, |parser| parser.eat("for")) {
            true => self.with_newlines(false, |parser| parser.for_object(open))?,
            false => ExprKind::Object(self.with_newlines(true, |parser| parser.entries(open))?),
        };
        Ok(self.expr_from(open, kind))
    }

    fn entries(&mut self, open: Token) -> Parsed<Vec<(Expr, Expr)>> {
        let mut entries = Vec::new();
        loop {
            self.skip_newlines();
            if self.eat("}") {
                return Ok(entries);
            }
            if self.peek().kind == TokenKind::End {
                return self.unclosed_bracket(open, "an object", "}");
            }
            entries.push(self.entry()?);
            let next = self.peek();
            if self.looking_at(",") || next.kind == TokenKind::Newline {
                self.next();
            } else if next.kind != TokenKind::End && !self.looking_at("}") {
                let found = self.found();
                let error = self.error(next, "a newline or a comma is missing in an object");
                return self
                    .refuse(error.because(format!("expected a newline or `,` before {found}")));
            }
        }
    }

    fn entry(&mut self) -> Parsed<(Expr, Expr)> {
        let key = self.expression()?;
        if self.eat("=") || self.eat(":") {
            let key = self.key(key);
            return Ok((key, self.expression()?));
        }
        let found = self.found();
        let error = self.error(self.peek(), "an object's key lacks its value");
        self.refuse(
            error
                .because(format!("expected `=`, found {found}"))
                .help("write `key = value`; a comma or a newline ends it"),
        )
    }

    /// A bare word as a key is its own name.
    fn key(&mut self, key: Expr) -> Expr {
        let word = match &key.kind {
            ExprKind::Variable(name) => name.clone(),
            ExprKind::Null => "null".to_owned(),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::GetAttr { .. } => {
                let summary = "a reference as an object's key is ambiguous";
                let error = Diagnostic::error(code::HCL_SYNTAX, summary).at(key.span);
                let error = error.because("is it meant as a reference, or as a name with a dot?");
                let help = "for a reference, write it in parentheses; for a name, in quotes";
                self.diagnostics.push(error.help(help));
                return key;
            }
            _ => return key,
        };
        Expr { kind: ExprKind::String(word), span: key.span }
    }

    /// The text ends inside of brackets: says where they were opened, as the end itself is no help.
    fn unclosed_bracket<T>(&mut self, open: Token, what: &str, closer: &str) -> Parsed<T> {
        let error = self.error(open, format!("{what} lacks its closing `{closer}`"));
        self.refuse(
            error
                .because("opened here, and not closed before the end of the file")
                .help("brackets may be wrong further inside of it"),
        )
    }

    /// After `[for`.
    fn for_list(&mut self, open: Token) -> Parsed<ExprKind> {
        let (ForNames { key, value }, collection) = self.for_intro()?;
        let result = self.expression()?;
        if self.looking_at("=>") {
            let error = self.error(self.peek(), "a `for` that makes a list has no keys");
            return self.refuse(error.help("for an object, use `{` and `}`"));
        }
        if self.looking_at("...") {
            let error = self.error(self.peek(), "a `for` that makes a list cannot group values");
            return self.refuse(error.help("for an object of lists, use `{` and `}`"));
        }
        let condition = self.for_condition()?;
        self.close(open, "]", "a `for` expression")?;
        let (result_key, grouped) = (None, false);
        let parts = ForExpr { key, value, collection, result_key, result, grouped, condition };
        Ok(ExprKind::For(Box::new(parts)))
    }

    /// After `{for`.
    fn for_object(&mut self, open: Token) -> Parsed<ExprKind> {
        let (ForNames { key, value }, collection) = self.for_intro()?;
        let first = self.peek();
        let result_key = Some(self.expression()?);
        if !self.eat("=>") {
            let found = self.found();
            // Where all else is right, it is the key that is wrong.
            let at = if self.looking_at("}") { first } else { self.peek() };
            let error = self.error(at, "a `for` that makes an object needs a key");
            return self.refuse(
                error.because(format!("expected `=>`, found {found}")).help("write `key => value`"),
            );
        }
        let result = self.expression()?;
        let grouped = self.eat("...");
        let condition = self.for_condition()?;
        self.close(open, "}", "a `for` expression")?;
        let parts = ForExpr { key, value, collection, result_key, result, grouped, condition };
        Ok(ExprKind::For(Box::new(parts)))
    }

    /// `k, v in collection :`
    fn for_intro(&mut self) -> Parsed<(ForNames, Expr)> {
        let names = self.for_names()?;
        let collection = self.expression()?;
        if self.eat(":") {
            return Ok((names, collection));
        }
        let error = self.expected("a `for` lacks the `:` after its collection", "`:`");
        self.refuse(error.help("write `for item in collection : result`"))
    }

    /// `k, v in`, of an expression and of a template directive alike.
    pub fn for_names(&mut self) -> Parsed<ForNames> {
        let first = self.for_name()?;
        let names = match self.eat(",") {
            true => ForNames { key: Some(first), value: self.for_name()? },
            false => ForNames { key: None, value: first },
        };
        if self.eat("in") {
            return Ok(names);
        }
        let error = self.expected("a `for` lacks its `in`", "`in`");
        self.refuse(error)
    }

    fn for_name(&mut self) -> Parsed<String> {
        if let Some(name) = self.name() {
            return Ok(self.text_of(name).to_owned());
        }
        let error = self.expected("a `for` lacks the name of its variable", "a name");
        self.refuse(error)
    }

    fn for_condition(&mut self) -> Parsed<Option<Expr>> {
        match self.eat("if") {
            true => self.expression().map(Some),
            false => Ok(None),
        }
    }

    fn expected(&self, summary: &str, what: &str) -> Diagnostic {
        let error = self.error(self.peek(), summary);
        error.because(format!("expected {what}, found {}", self.found()))
    }
}
