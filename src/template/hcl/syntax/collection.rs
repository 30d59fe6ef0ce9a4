//! What stands in brackets: parentheses, lists, objects, `for`, arguments of a call.

use super::super::scan::{Token, TokenKind};
use super::{Checker, Parsed};
use crate::diagnostic::Diagnostic;

impl Checker<'_> {
    pub fn parenthesis(&mut self) -> Parsed<()> {
        self.with_newlines(false, |checker| {
            let open = checker.next();
            checker.expression()?;
            checker.close(open, ")", "an expression in parentheses")
        })
    }

    /// `(a, b...)` after a function's name.
    pub fn call(&mut self, name: Token) -> Parsed<()> {
        self.with_newlines(false, |checker| {
            let open = checker.next();
            loop {
                if checker.eat(")") {
                    return Ok(());
                }
                checker.expression()?;
                if checker.eat("...") {
                    return checker.close(open, ")", "a call with `...`");
                }
                if checker.eat(",") {
                    continue;
                }
                if checker.peek().kind == TokenKind::End {
                    return checker.unclosed_bracket(
                        Token { end: open.end, ..name },
                        "a call",
                        ")",
                    );
                }
                return checker.close(open, ")", "a function call");
            }
        })
    }

    /// `[a, b]` or `[for …]`.
    pub fn list(&mut self) -> Parsed<()> {
        self.with_newlines(false, |checker| {
            let open = checker.next();
            if checker.eat("for") {
                return checker.for_list(open);
            }
            checker.elements(open)
        })
    }

    fn elements(&mut self, open: Token) -> Parsed<()> {
        loop {
            if self.eat("]") {
                return Ok(());
            }
            self.expression()?;
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
                return self.close(open, "]", "a list");
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
    pub fn object(&mut self) -> Parsed<()> {
        let open = self.next();
        if self.with_newlines(false, |checker| checker.eat("for")) {
            return self.with_newlines(false, |checker| checker.for_object(open));
        }
        self.copy[open.start] = b'[';
        self.with_newlines(true, |checker| checker.entries(open))
    }

    /// The entries of an object, which the copy shows as a list of keys and values.
    fn entries(&mut self, open: Token) -> Parsed<()> {
        loop {
            self.skip_blank_newlines();
            if self.looking_at("}") {
                let close = self.next();
                self.copy[close.start] = b']';
                return Ok(());
            }
            if self.peek().kind == TokenKind::End {
                return self.unclosed_bracket(open, "an object", "}");
            }
            self.entry()?;
            let next = self.peek();
            if self.looking_at(",") {
                self.next();
            } else if next.kind == TokenKind::Newline {
                self.next();
                self.copy[next.end - 1] = b',';
            } else if next.kind != TokenKind::End && !self.looking_at("}") {
                let found = self.found();
                let error = self.error(next, "a newline or a comma is missing in an object");
                return self
                    .refuse(error.because(format!("expected a newline or `,` before {found}")));
            }
        }
    }

    /// Newlines that end nothing are blank in the copy.
    fn skip_blank_newlines(&mut self) {
        while self.peek().kind == TokenKind::Newline {
            let newline = self.next();
            self.copy[newline.range()].fill(b' ');
        }
    }

    fn entry(&mut self) -> Parsed<()> {
        self.expression()?;
        let next = self.peek();
        if self.looking_at("=") || self.looking_at(":") {
            self.next();
            self.copy[next.start] = b',';
            return self.expression();
        }
        let found = self.found();
        let error = self.error(next, "an object's key lacks its value");
        self.refuse(
            error
                .because(format!("expected `=`, found {found}"))
                .help("write `key = value`; a comma or a newline ends it"),
        )
    }

    /// The text ends inside of brackets: says where they were opened, as the end itself is no help.
    fn unclosed_bracket(&mut self, open: Token, what: &str, closer: &str) -> Parsed<()> {
        let error = self.error(open, format!("{what} lacks its closing `{closer}`"));
        self.refuse(
            error
                .because("opened here, and not closed before the end of the file")
                .help("brackets may be wrong further inside of it"),
        )
    }

    /// After `[for`.
    fn for_list(&mut self, open: Token) -> Parsed<()> {
        self.for_intro()?;
        self.expression()?;
        if self.looking_at("=>") {
            let error = self.error(self.peek(), "a `for` that makes a list has no keys");
            return self.refuse(error.help("for an object, use `{` and `}`"));
        }
        if self.looking_at("...") {
            let error = self.error(self.peek(), "a `for` that makes a list cannot group values");
            return self.refuse(error.help("for an object of lists, use `{` and `}`"));
        }
        self.for_condition()?;
        self.close(open, "]", "a `for` expression")
    }

    /// After `{for`.
    fn for_object(&mut self, open: Token) -> Parsed<()> {
        self.for_intro()?;
        let key = self.peek();
        self.expression()?;
        if !self.eat("=>") {
            let found = self.found();
            // Where all else is right, it is the key that is wrong.
            let at = if self.looking_at("}") { key } else { self.peek() };
            let error = self.error(at, "a `for` that makes an object needs a key");
            return self.refuse(
                error.because(format!("expected `=>`, found {found}")).help("write `key => value`"),
            );
        }
        self.expression()?;
        self.eat("...");
        self.for_condition()?;
        self.close(open, "}", "a `for` expression")
    }

    /// `k, v in collection :`
    fn for_intro(&mut self) -> Parsed<()> {
        self.for_names()?;
        self.expression()?;
        if self.eat(":") {
            return Ok(());
        }
        let error = self.expected("a `for` lacks the `:` after its collection", "`:`");
        self.refuse(error.help("write `for item in collection : result`"))
    }

    /// `k, v in`, of an expression and of a template directive alike.
    pub fn for_names(&mut self) -> Parsed<()> {
        self.for_name()?;
        if self.eat(",") {
            self.for_name()?;
        }
        if self.eat("in") {
            return Ok(());
        }
        let error = self.expected("a `for` lacks its `in`", "`in`");
        self.refuse(error)
    }

    fn for_name(&mut self) -> Parsed<()> {
        if self.name().is_some() {
            return Ok(());
        }
        let error = self.expected("a `for` lacks the name of its variable", "a name");
        self.refuse(error)
    }

    fn for_condition(&mut self) -> Parsed<()> {
        match self.eat("if") {
            true => self.expression(),
            false => Ok(()),
        }
    }

    fn expected(&self, summary: &str, what: &str) -> Diagnostic {
        let error = self.error(self.peek(), summary);
        error.because(format!("expected {what}, found {}", self.found()))
    }
}
