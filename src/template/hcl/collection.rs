//! What stands in brackets: parentheses, lists, objects, `for`, arguments of a call.

use super::cursor::{Parsed, Parser};
use crate::source::Spanned;
use crate::template::ast::{Expr, ExprKind, ForExpr};

impl Parser<'_> {
    pub fn parenthesis(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 1;
        let inner = self.with_newlines(true, |parser| {
            let inner = parser.expression()?;
            parser.close(start, "(", ")", "an expression in parentheses")?;
            Ok(inner)
        })?;
        Ok(self.expr_from(start, ExprKind::Parenthesis(Box::new(inner))))
    }

    /// `name(a, b...)`; the parser stands before the parenthesis.
    pub fn call(&mut self, name: Spanned<String>, start: usize) -> Parsed<Expr> {
        let open = self.at;
        self.at += 1;
        let (args, expand) = self.with_newlines(true, |parser| parser.arguments(open))?;
        Ok(self.expr_from(start, ExprKind::Call { name, args, expand }))
    }

    fn arguments(&mut self, open: usize) -> Parsed<(Vec<Expr>, bool)> {
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if self.eat(")") {
                return Ok((args, false));
            }
            args.push(self.expression()?);
            self.skip_space();
            if self.eat("...") {
                self.skip_space();
                self.eat(",");
                self.close(open, "(", ")", "a call with `...`")?;
                return Ok((args, true));
            }
            if !self.eat(",") {
                self.close(open, "(", ")", "a function call")?;
                return Ok((args, false));
            }
        }
    }

    /// `[a, b]` or `[for …]`.
    pub fn list(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 1;
        let kind = self.with_newlines(true, |parser| {
            parser.skip_space();
            if parser.eat_word("for") {
                return parser.for_list(start);
            }
            Ok(ExprKind::List(parser.elements(start)?))
        })?;
        Ok(self.expr_from(start, kind))
    }

    fn elements(&mut self, open: usize) -> Parsed<Vec<Expr>> {
        let mut items: Vec<Expr> = Vec::new();
        loop {
            self.skip_space();
            if self.eat("]") {
                return Ok(items);
            }
            items.push(self.expression()?);
            self.skip_space();
            if self.eat(",") || self.looking_at("]") {
                continue;
            }
            // Two items in a row: the comma is what is missing, and reading can go on. A name
            // with `=` after it is not an item: the list was never closed.
            let found = self.found();
            if !self.item_begins() {
                return self.close(open, "[", "]", "a list").map(|()| items);
            }
            let error = self.error_here("a comma is missing between the items of a list");
            self.diagnostics.push(error.because(format!("expected `,` before {found}")));
        }
    }

    /// Whether an item of a list could begin here, rather than the next argument or block.
    fn item_begins(&mut self) -> bool {
        let start = self.at;
        let begins = match self.name() {
            Some(_) => {
                self.with_newlines(false, Self::skip_space);
                let argument = self.looking_at("=") && !self.looking_at("==");
                !argument && !self.looking_at("{") && !self.looking_at("\"")
            }
            None => {
                matches!(self.peek(), Some('"' | '0'..='9' | '[' | '{' | '(' | '<' | '-' | '!'))
            }
        };
        self.at = start;
        begins
    }

    /// `{ a = 1 }` or `{for …}`.
    pub fn object(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 1;
        let before = self.at;
        self.skip_lines();
        let kind = if self.eat_word("for") {
            self.with_newlines(true, |parser| parser.for_object(start))?
        } else {
            self.at = before;
            self.with_newlines(false, |parser| parser.entries(start))?
        };
        Ok(self.expr_from(start, kind))
    }

    fn entries(&mut self, open: usize) -> Parsed<ExprKind> {
        let mut entries = Vec::new();
        loop {
            self.skip_lines();
            if self.eat("}") {
                return Ok(ExprKind::Object(entries));
            }
            if self.at_end() {
                let opened = self.error(open, open + 1, "an object lacks its closing `}`");
                return self.refuse(opened.because("opened here"));
            }
            entries.push(self.entry()?);
            self.skip_space();
            if self.eat(",") || self.looking_at("}") || self.at_line_end() {
                continue;
            }
            let found = self.found();
            let error = self.error_here("a newline or a comma is missing in an object");
            self.diagnostics
                .push(error.because(format!("expected a newline or `,` before {found}")));
            if self.peek().is_some_and(|c| matches!(c, ')' | ']' | '=' | ':')) {
                return Err(super::cursor::Abandoned);
            }
        }
    }

    fn entry(&mut self) -> Parsed<(Expr, Expr)> {
        let key = self.expression()?;
        let key = self.entry_key(key);
        self.skip_space();
        if !(self.eat("=") || self.eat(":")) {
            let found = self.found();
            let error = self.error_here("an object's key lacks its value");
            return self.refuse(
                error
                    .because(format!("expected `=`, found {found}"))
                    .help("write `key = value`; a comma or a newline ends it"),
            );
        }
        Ok((key, self.expression()?))
    }

    /// A bare word is its own name.
    fn entry_key(&mut self, key: Expr) -> Expr {
        let word = match &key.kind {
            ExprKind::Variable(name) => name.clone(),
            ExprKind::Null => "null".to_owned(),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::GetAttr { .. } => {
                let error = crate::diagnostic::Diagnostic::error(
                    crate::diagnostic::code::HCL_SYNTAX,
                    "a reference as an object's key is ambiguous",
                );
                self.diagnostics.push(
                    error
                        .at(key.span)
                        .because("is it meant as a reference, or as a name with a dot?")
                        .help("for a reference, write it in parentheses; for a name, in quotes"),
                );
                return key;
            }
            _ => return key,
        };
        Expr { kind: ExprKind::String(word), span: key.span }
    }

    /// After `[for`.
    fn for_list(&mut self, open: usize) -> Parsed<ExprKind> {
        let (key, value, collection) = self.for_intro()?;
        let result = self.expression()?;
        self.skip_space();
        if self.looking_at("=>") {
            let error = self.error_here("a `for` that makes a list has no keys");
            return self.refuse(error.help("for an object, use `{` and `}`"));
        }
        let condition = self.for_condition()?;
        self.close(open, "[", "]", "a `for` expression")?;
        let (result_key, grouped) = (None, false);
        let parts = ForExpr { key, value, collection, result_key, result, grouped, condition };
        Ok(ExprKind::For(Box::new(parts)))
    }

    /// After `{for`.
    fn for_object(&mut self, open: usize) -> Parsed<ExprKind> {
        let (key, value, collection) = self.for_intro()?;
        let result_key = Some(self.expression()?);
        self.skip_space();
        if !self.eat("=>") {
            let found = self.found();
            let error = self.error_here("a `for` that makes an object needs a key");
            return self.refuse(
                error.because(format!("expected `=>`, found {found}")).help("write `key => value`"),
            );
        }
        let result = self.expression()?;
        self.skip_space();
        let grouped = self.eat("...");
        let condition = self.for_condition()?;
        self.close(open, "{", "}", "a `for` expression")?;
        let parts = ForExpr { key, value, collection, result_key, result, grouped, condition };
        Ok(ExprKind::For(Box::new(parts)))
    }

    /// `k, v in collection :`
    fn for_intro(&mut self) -> Parsed<(Option<String>, String, Expr)> {
        let (key, value) = self.for_names()?;
        let collection = self.expression()?;
        self.skip_space();
        if self.eat(":") {
            return Ok((key, value, collection));
        }
        let found = self.found();
        let error = self.error_here("a `for` lacks the `:` after its collection");
        self.refuse(
            error
                .because(format!("expected `:`, found {found}"))
                .help("write `for item in collection : result`"),
        )
    }

    /// `k, v in`, of an expression and of a template directive alike.
    pub fn for_names(&mut self) -> Parsed<(Option<String>, String)> {
        let first = self.for_name()?;
        self.skip_space();
        let (key, value) = match self.eat(",") {
            true => (Some(first), self.for_name()?),
            false => (None, first),
        };
        self.skip_space();
        if self.eat_word("in") {
            return Ok((key, value));
        }
        let found = self.found();
        let error = self.error_here("a `for` lacks its `in`");
        self.refuse(error.because(format!("expected `in`, found {found}")))
    }

    fn for_name(&mut self) -> Parsed<String> {
        self.skip_space();
        if let Some(name) = self.name() {
            return Ok(name.to_owned());
        }
        let found = self.found();
        let error = self.error_here("a `for` lacks the name of its variable");
        self.refuse(error.because(format!("expected a name, found {found}")))
    }

    fn for_condition(&mut self) -> Parsed<Option<Expr>> {
        self.skip_space();
        match self.eat_word("if") {
            true => self.expression().map(Some),
            false => Ok(None),
        }
    }
}
