//! Expressions: operators, operands, and what follows an operand (`.a`, `[0]`, `[*]`).

use super::super::scan::{Token, TokenKind};
use super::{Checker, Parsed};

impl Checker<'_> {
    /// `condition ? yes : no`, or anything that binds tighter.
    pub fn expression(&mut self) -> Parsed<()> {
        self.deeper(|checker| {
            checker.operation()?;
            if !checker.eat("?") {
                return Ok(());
            }
            checker.expression()?;
            if !checker.eat(":") {
                let found = checker.found();
                let error = checker.error(checker.peek(), "a conditional lacks its `:`");
                return checker.refuse(
                    error
                        .because(format!("expected `:`, found {found}"))
                        .help("write `condition ? value_if_true : value_if_false`"),
                );
            }
            checker.expression()
        })
    }

    /// Operands joined by operators; which of them binds tighter is no matter here.
    fn operation(&mut self) -> Parsed<()> {
        loop {
            self.operand()?;
            let next = self.peek();
            match next.kind {
                TokenKind::Operator | TokenKind::Minus => {
                    self.link()?;
                    self.next();
                }
                TokenKind::Invalid => return self.no_term(),
                _ => return Ok(()),
            }
        }
    }

    /// A sign or a term with its accesses.
    fn operand(&mut self) -> Parsed<()> {
        if self.eat("-") || self.eat("!") {
            return self.deeper(Self::operand);
        }
        self.term()?;
        self.accesses()
    }

    fn term(&mut self) -> Parsed<()> {
        let next = self.peek();
        match next.kind {
            TokenKind::OpenParen => self.parenthesis(),
            TokenKind::OpenBracket => self.list(),
            TokenKind::OpenBrace => self.object(),
            TokenKind::OpenQuote | TokenKind::OpenHeredoc => self.quoted(),
            TokenKind::Name => self.named(),
            TokenKind::Number => self.number(),
            _ => self.no_term(),
        }
    }

    fn number(&mut self) -> Parsed<()> {
        let number = self.next();
        // What an `f64` is written like, a number of HCL is: both begin with a digit here.
        match self.text_of(number).parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(()),
            Ok(_) => {
                self.copy[number.range()]
                    .iter_mut()
                    .filter(|byte| byte.is_ascii_digit())
                    .for_each(|digit| *digit = b'0');
                Ok(())
            }
            Err(_) => self.refuse_at(number, "this is no number"),
        }
    }

    /// A keyword, a variable or a call.
    fn named(&mut self) -> Parsed<()> {
        let name = self.next();
        let mut in_namespace = false;
        while self.eat("::") {
            in_namespace = true;
            if self.name().is_none() {
                return self.refuse_at(self.peek(), "a function's name is missing after `::`");
            }
        }
        if self.looking_at("(") {
            return self.call(name);
        }
        if in_namespace {
            return self.refuse_at(self.peek(), "a function's arguments are missing");
        }
        Ok(())
    }

    /// `.a`, `[0]`, `.0`, `[*]` and `.*` after a term.
    fn accesses(&mut self) -> Parsed<()> {
        let mut in_attribute_splat = false;
        loop {
            if self.eat(".") {
                self.link()?;
                let next = self.peek();
                if !self.eat("*") {
                    self.attribute()?;
                } else if std::mem::replace(&mut in_attribute_splat, true) {
                    let error = self.error(next, "`.*` cannot stand inside of another `.*`");
                    return self.refuse(error.help("write `[*]` for both"));
                }
            } else if self.looking_at("[") {
                self.link()?;
                in_attribute_splat = false;
                self.index()?;
            } else {
                return Ok(());
            }
        }
    }

    /// The name, or the legacy index, after a dot.
    fn attribute(&mut self) -> Parsed<()> {
        let next = self.peek();
        match next.kind {
            TokenKind::Name => drop(self.next()),
            TokenKind::Number if self.text_of(next).bytes().all(|byte| byte.is_ascii_digit()) => {
                self.next();
            }
            TokenKind::Number => {
                let error = self.error(next, "`.` and a fraction are no index");
                return self.refuse(error.help("write each index in brackets, as in `list[0][1]`"));
            }
            _ => {
                let found = self.found();
                let error = self.error(next, "an attribute's name is missing after the dot");
                return self.refuse(error.because(format!("expected a name, found {found}")));
            }
        }
        Ok(())
    }

    /// `[key]` or `[*]`.
    fn index(&mut self) -> Parsed<()> {
        self.with_newlines(false, |checker| {
            let open = checker.next();
            if !checker.eat("*") {
                checker.expression()?;
            }
            checker.close(open, "]", "an index")
        })
    }

    /// Reads the closing bracket of what was opened at `open`.
    pub fn close(&mut self, open: Token, closer: &str, what: &str) -> Parsed<()> {
        if self.eat(closer) {
            return Ok(());
        }
        let found = self.found();
        let error = self.error(self.peek(), format!("{what} lacks its closing `{closer}`"));
        let error = error.because(format!("expected `{closer}`, found {found}"));
        self.refuse(error.label(self.span(open), "opened here"))
    }

    /// Says why no expression begins or goes on here.
    pub fn no_term<T>(&mut self) -> Parsed<T> {
        let next = self.peek();
        let found = self.found();
        let error = self.error(next, "an expression is missing");
        let error = error.because(format!("expected an expression, found {found}"));
        self.refuse(self.meaningless(next).unwrap_or(error))
    }
}
