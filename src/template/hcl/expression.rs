//! Expressions: operators, operands, and what follows an operand (`.a`, `[0]`, `[*]`).

use super::cursor::{Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::template::ast::{BinaryOperator, Expr, ExprKind, UnaryOperator};

/// The operators by precedence, loosest first; of two with one beginning the longer comes first.
const OPERATORS: [&[(&str, BinaryOperator)]; 6] = [
    &[("||", BinaryOperator::Or)],
    &[("&&", BinaryOperator::And)],
    &[("==", BinaryOperator::Equal), ("!=", BinaryOperator::NotEqual)],
    &[
        (">=", BinaryOperator::GreaterOrEqual),
        ("<=", BinaryOperator::LessOrEqual),
        (">", BinaryOperator::Greater),
        ("<", BinaryOperator::Less),
    ],
    &[("+", BinaryOperator::Add), ("-", BinaryOperator::Subtract)],
    &[
        ("*", BinaryOperator::Multiply),
        ("/", BinaryOperator::Divide),
        ("%", BinaryOperator::Modulo),
    ],
];

impl Parser<'_> {
    /// `condition ? yes : no`, or anything that binds tighter.
    pub fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            parser.skip_space();
            let start = parser.at;
            let condition = parser.operation(0)?;
            parser.skip_space();
            if !parser.eat("?") {
                return Ok(condition);
            }
            let yes = parser.expression()?;
            parser.skip_space();
            if !parser.eat(":") {
                let found = parser.found();
                let error = parser.error_here("a conditional lacks its `:`");
                return parser.refuse(
                    error
                        .because(format!("expected `:`, found {found}"))
                        .help("write `condition ? value_if_true : value_if_false`"),
                );
            }
            let no = parser.expression()?;
            let (condition, yes, no) = (Box::new(condition), Box::new(yes), Box::new(no));
            Ok(parser.expr_from(start, ExprKind::Conditional { condition, yes, no }))
        })
    }

    /// Operands joined by operators of this precedence or tighter. One call does all levels: a call
    /// for each would use up the stack.
    fn operation(&mut self, loosest: usize) -> Parsed<Expr> {
        let start = self.at;
        let mut left = self.operand()?;
        while let Some((level, operator)) = self.operator(loosest)? {
            self.link()?;
            self.skip_space();
            let right = self.operation(level + 1)?;
            let (a, b) = (Box::new(left), Box::new(right));
            left = self.expr_from(start, ExprKind::Binary { operator, left: a, right: b });
        }
        Ok(left)
    }

    /// Reads an operator of this precedence or tighter if it is next.
    fn operator(&mut self, loosest: usize) -> Parsed<Option<(usize, BinaryOperator)>> {
        let before = self.at;
        self.skip_space();
        for (level, operators) in OPERATORS.iter().enumerate().skip(loosest) {
            let found = operators.iter().find(|(token, _)| self.looking_at(token));
            if let Some((token, operator)) = found {
                self.at += token.len();
                return Ok(Some((level, *operator)));
            }
        }
        for (token, meant) in [("&", "&&"), ("|", "||")] {
            if self.looking_at(token) && !self.looking_at(meant) {
                return self.bitwise(meant);
            }
        }
        self.at = before;
        Ok(None)
    }

    fn bitwise<T>(&mut self, meant: &str) -> Parsed<T> {
        let error = self.error_here("there are no operators on bits");
        self.refuse(error.help(format!("for the logical operator, write `{meant}`")))
    }

    /// A sign or a term with its accesses.
    fn operand(&mut self) -> Parsed<Expr> {
        let start = self.at;
        let operator = match self.peek() {
            Some('-') => UnaryOperator::Negate,
            Some('!') => UnaryOperator::Not,
            _ => {
                let term = self.term()?;
                return self.accesses(term, start);
            }
        };
        self.at += 1;
        self.deeper(|parser| {
            parser.skip_space();
            let operand = Box::new(parser.operand()?);
            Ok(parser.expr_from(start, ExprKind::Unary { operator, operand }))
        })
    }

    fn term(&mut self) -> Parsed<Expr> {
        let start = self.at;
        match self.peek() {
            Some('(') => self.parenthesis(),
            Some('[') => self.list(),
            Some('{') => self.object(),
            Some('"') => self.quoted(),
            Some('<') if self.looking_at("<<") => self.heredoc(),
            Some('0'..='9') => {
                let number = self.number();
                Ok(self.expr_from(start, ExprKind::Number(number)))
            }
            _ => match self.name() {
                Some(name) => self.named(name, start),
                None => self.no_term(),
            },
        }
    }

    /// A keyword, a call, or a variable.
    fn named(&mut self, name: &str, start: usize) -> Parsed<Expr> {
        let mut name = Spanned::new(name.to_owned(), self.span_from(start));
        while self.eat("::") {
            let Some(next) = self.name() else {
                let error = self.error_here("a function's name is missing after `::`");
                return self.refuse(error);
            };
            name = Spanned::new(format!("{}::{next}", name.value), self.span_from(start));
        }
        let after_name = self.at;
        self.skip_space();
        if self.looking_at("(") {
            return self.call(name, start);
        }
        self.at = after_name;
        let kind = match name.value.as_str() {
            "null" => ExprKind::Null,
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            _ => ExprKind::Variable(name.value),
        };
        Ok(self.expr_from(start, kind))
    }

    /// Digits, a fraction, an exponent; kept as they are written.
    fn number(&mut self) -> String {
        let start = self.at;
        self.digits();
        if let Some(fraction) = self.rest().strip_prefix('.')
            && fraction.starts_with(|c: char| c.is_ascii_digit())
        {
            self.at += 1;
            self.digits();
        }
        let exponent = self.rest().strip_prefix(['e', 'E']);
        let power = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
        if let Some(power) = power.filter(|text| text.starts_with(|c: char| c.is_ascii_digit())) {
            self.at = self.text.len() - power.len();
            self.digits();
        }
        self.text[start..self.at].to_owned()
    }

    fn digits(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    }

    /// `.a`, `[0]`, `.0`, `[*]` and `.*` after a term.
    fn accesses(&mut self, mut of: Expr, start: usize) -> Parsed<Expr> {
        loop {
            let before = self.at;
            self.skip_space();
            if self.looking_at(".") && !self.looking_at("..") {
                self.link()?;
                self.at += 1;
                of = self.after_dot(of, start)?;
            } else if self.looking_at("[") {
                self.link()?;
                self.at += 1;
                of = self.after_bracket(of, start)?;
            } else {
                self.at = before;
                return Ok(of);
            }
        }
    }

    fn after_dot(&mut self, of: Expr, start: usize) -> Parsed<Expr> {
        self.skip_space();
        let at = self.at;
        if self.eat("*") {
            return self.attribute_splat(of, start);
        }
        self.attribute(of, start, at)
    }

    /// The name, or the legacy index, after a dot.
    fn attribute(&mut self, of: Expr, start: usize, at: usize) -> Parsed<Expr> {
        let of = Box::new(of);
        if let Some(name) = self.name() {
            let name = Spanned::new(name.to_owned(), self.span_from(at));
            return Ok(self.expr_from(start, ExprKind::GetAttr { of, name }));
        }
        if !self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            let found = self.found();
            let error = self.error_here("an attribute's name is missing after the dot");
            return self.refuse(error.because(format!("expected a name, found {found}")));
        }
        let number = self.number();
        if number.contains(['.', 'e', 'E']) {
            let error = self.error(at, self.at, "`.` and a fraction are no index");
            return self.refuse(error.help("write each index in brackets, as in `list[0][1]`"));
        }
        let key = Box::new(self.expr_from(at, ExprKind::Number(number)));
        Ok(self.expr_from(start, ExprKind::Index { of, key }))
    }

    /// `of.*`: the names and legacy indexes that follow are of each element; a bracket is of the
    /// whole result.
    fn attribute_splat(&mut self, of: Expr, start: usize) -> Parsed<Expr> {
        let item_start = self.at;
        let mut each = self.expr_from(start, ExprKind::SplatItem);
        loop {
            let before = self.at;
            self.skip_space();
            if !self.looking_at(".") || self.looking_at("..") {
                self.at = before;
                let (of, each) = (Box::new(of), Box::new(each));
                return Ok(self.expr_from(start, ExprKind::Splat { of, each }));
            }
            self.at += 1;
            self.skip_space();
            if self.looking_at("*") {
                let error = self.error_here("`.*` cannot stand inside of another `.*`");
                return self.refuse(error.help("write `[*]` for both"));
            }
            let at = self.at;
            self.link()?;
            each = self.attribute(each, item_start, at)?;
        }
    }

    /// `of[key]`, or `of[*]` with all that follows being of each element.
    fn after_bracket(&mut self, of: Expr, start: usize) -> Parsed<Expr> {
        let open = self.at - 1;
        let key = self.with_newlines(true, |parser| {
            parser.skip_space();
            let before = parser.at;
            if parser.eat("*") {
                parser.skip_space();
                if parser.eat("]") {
                    return Ok(None);
                }
                parser.at = before;
            }
            let key = parser.expression()?;
            parser.close(open, "[", "]", "an index")?;
            Ok(Some(key))
        })?;
        let of = Box::new(of);
        let Some(key) = key else {
            let item = self.expr_from(start, ExprKind::SplatItem);
            let item_start = self.at;
            let each = self.deeper(|parser| parser.accesses(item, item_start))?;
            let each = Box::new(each);
            return Ok(self.expr_from(start, ExprKind::Splat { of, each }));
        };
        Ok(self.expr_from(start, ExprKind::Index { of, key: Box::new(key) }))
    }

    /// Reads the closing bracket of what was opened at `open`.
    pub fn close(&mut self, open: usize, opener: &str, closer: &str, what: &str) -> Parsed<()> {
        self.skip_space();
        if self.eat(closer) {
            return Ok(());
        }
        let found = self.found();
        let opened = self.span(open, open + opener.len());
        let error = self.error_here(format!("{what} lacks its closing `{closer}`"));
        self.refuse(
            error
                .because(format!("expected `{closer}`, found {found}"))
                .label(opened, "opened here"),
        )
    }

    /// Says why no expression begins here.
    fn no_term<T>(&mut self) -> Parsed<T> {
        let found = self.found();
        let error = self.error_here("an expression is missing");
        let error = match self.peek() {
            Some('\'') => Diagnostic { summary: "single quotes are not valid".into(), ..error }
                .help("enclose strings in double quotes (\")"),
            Some('`') => Diagnostic { summary: "backquotes are not valid".into(), ..error }
                .help("enclose strings in double quotes, or write a heredoc (<<EOF … EOF)"),
            Some('“' | '”') => {
                Diagnostic { summary: "curly quotes are not valid".into(), ..error }
                    .help("enclose strings in straight double quotes (\")")
            }
            Some('~' | '^') => return self.bitwise("!"),
            _ => error.because(format!("expected an expression, found {found}")),
        };
        self.refuse(error)
    }
}
