//! Expressions: operators, operands, and what follows an operand (`.a`, `[0]`, `[*]`).

use super::super::scan::{Token, TokenKind};
use super::{Abandoned, Parsed, Parser};
use crate::source::{Span, Spanned};
use crate::template::ast::{BinaryOperator, Expr, ExprKind, UnaryOperator};

/// What follows a term.
enum Access {
    /// `.name`
    Attribute(Spanned<String>),
    /// `[key]`
    Index(Expr),
    /// `.0`
    LegacyIndex(Expr),
    /// `.*`
    AttributeSplat,
    /// `[*]`
    FullSplat,
}

impl Parser<'_> {
    /// `condition ? yes : no`, or anything that binds tighter.
    pub fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let condition = parser.operation()?;
            if !parser.eat("?") {
                return Ok(condition);
            }
            let yes = parser.expression()?;
            if !parser.eat(":") {
                let found = parser.found();
                let error = parser.error(parser.peek(), "a conditional lacks its `:`");
                return parser.refuse(
                    error
                        .because(format!("expected `:`, found {found}"))
                        .help("write `condition ? value_if_true : value_if_false`"),
                );
            }
            let no = parser.expression()?;
            let span = condition.span.to(no.span);
            let (condition, yes, no) = (Box::new(condition), Box::new(yes), Box::new(no));
            Ok(Expr { kind: ExprKind::Conditional { condition, yes, no }, span })
        })
    }

    /// Operands joined by operators: what binds tighter is joined first, else from left to right.
    fn operation(&mut self) -> Parsed<Expr> {
        let mut operands = vec![self.operand()?];
        let mut operators: Vec<BinaryOperator> = Vec::new();
        loop {
            let next = self.peek();
            match next.kind {
                TokenKind::Operator | TokenKind::Minus => {}
                TokenKind::Invalid => return self.no_term(),
                _ => break,
            }
            let Some(operator) = binary(self.text_of(next)) else {
                return self.no_term();
            };
            self.link()?;
            self.next();
            join_while(&mut operands, &mut operators, |last| strength(last) >= strength(operator));
            operators.push(operator);
            operands.push(self.operand()?);
        }
        join_while(&mut operands, &mut operators, |_| true);
        // One operand more than operators: all are joined to one.
        operands.pop().ok_or(Abandoned)
    }

    /// A sign or a term with its accesses.
    fn operand(&mut self) -> Parsed<Expr> {
        let sign = self.peek();
        let operator = match sign.kind {
            TokenKind::Minus => UnaryOperator::Negate,
            TokenKind::Not => UnaryOperator::Not,
            _ => {
                let term = self.term()?;
                return self.accesses(term);
            }
        };
        self.next();
        let operand = Box::new(self.deeper(Self::operand)?);
        let span = self.span(sign).to(operand.span);
        Ok(Expr { kind: ExprKind::Unary { operator, operand }, span })
    }

    fn term(&mut self) -> Parsed<Expr> {
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

    fn number(&mut self) -> Parsed<Expr> {
        let number = self.next();
        // What an `f64` is written like, a number of HCL is: both begin with a digit here.
        if self.text_of(number).parse::<f64>().is_err() {
            return self.refuse_at(number, "this is no number");
        }
        Ok(self.expr_from(number, ExprKind::Number(self.text_of(number).to_owned())))
    }

    /// A keyword, a variable or a call.
    fn named(&mut self) -> Parsed<Expr> {
        let first = self.next();
        let mut name = self.spanned(first);
        let mut in_namespace = false;
        while self.eat("::") {
            in_namespace = true;
            let Some(part) = self.name() else {
                return self.refuse_at(self.peek(), "a function's name is missing after `::`");
            };
            name.value += "::";
            name.value += self.text_of(part);
            name.span = name.span.to(self.span(part));
        }
        if self.looking_at("(") {
            return self.call(first, name);
        }
        if in_namespace {
            return self.refuse_at(self.peek(), "a function's arguments are missing");
        }
        let kind = match name.value.as_str() {
            "null" => ExprKind::Null,
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            _ => ExprKind::Variable(name.value),
        };
        Ok(Expr { kind, span: name.span })
    }

    /// `.a`, `[0]`, `.0`, `[*]` and `.*` after a term.
    fn accesses(&mut self, of: Expr) -> Parsed<Expr> {
        let mut accesses: Vec<Spanned<Access>> = Vec::new();
        let mut in_attribute_splat = false;
        loop {
            let start = self.peek();
            let access = if self.eat(".") {
                self.link()?;
                let next = self.peek();
                if !self.eat("*") {
                    self.attribute(start)?
                } else if std::mem::replace(&mut in_attribute_splat, true) {
                    let error = self.error(next, "`.*` cannot stand inside of another `.*`");
                    return self.refuse(error.help("write `[*]` for both"));
                } else {
                    Access::AttributeSplat
                }
            } else if self.looking_at("[") {
                self.link()?;
                in_attribute_splat = false;
                self.index()?
            } else {
                return Ok(applied(of, accesses));
            };
            accesses.push(Spanned::new(access, self.span(start).to(self.last_span())));
        }
    }

    /// The name, or the legacy index, after the dot `start`.
    fn attribute(&mut self, start: Token) -> Parsed<Access> {
        let next = self.peek();
        match next.kind {
            TokenKind::Name => {
                self.next();
                // The place is that of `.name`, as HCL has it.
                let span = self.span(start).to(self.span(next));
                Ok(Access::Attribute(Spanned::new(self.text_of(next).to_owned(), span)))
            }
            TokenKind::Number if self.text_of(next).bytes().all(|byte| byte.is_ascii_digit()) => {
                self.number().map(Access::LegacyIndex)
            }
            TokenKind::Number => {
                let error = self.error(next, "`.` and a fraction are no index");
                self.refuse(error.help("write each index in brackets, as in `list[0][1]`"))
            }
            _ => {
                let found = self.found();
                let error = self.error(next, "an attribute's name is missing after the dot");
                self.refuse(error.because(format!("expected a name, found {found}")))
            }
        }
    }

    /// `[key]` or `[*]`.
    fn index(&mut self) -> Parsed<Access> {
        self.with_newlines(false, |parser| {
            let open = parser.next();
            let access = match parser.eat("*") {
                true => Access::FullSplat,
                false => Access::Index(parser.expression()?),
            };
            parser.close(open, "]", "an index")?;
            Ok(access)
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
    fn no_term<T>(&mut self) -> Parsed<T> {
        let next = self.peek();
        let found = self.found();
        let error = self.error(next, "an expression is missing");
        let error = error.because(format!("expected an expression, found {found}"));
        self.refuse(self.meaningless(next).unwrap_or(error))
    }
}

/// The operator that is written like this.
fn binary(text: &str) -> Option<BinaryOperator> {
    Some(match text {
        "+" => BinaryOperator::Add,
        "-" => BinaryOperator::Subtract,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "&&" => BinaryOperator::And,
        "||" => BinaryOperator::Or,
        "==" => BinaryOperator::Equal,
        "!=" => BinaryOperator::NotEqual,
        "<" => BinaryOperator::Less,
        "<=" => BinaryOperator::LessOrEqual,
        ">" => BinaryOperator::Greater,
        ">=" => BinaryOperator::GreaterOrEqual,
        _ => return None,
    })
}

/// How tight an operator binds.
fn strength(operator: BinaryOperator) -> u8 {
    use BinaryOperator::*;
    match operator {
        Or => 1,
        And => 2,
        Equal | NotEqual => 3,
        Less | LessOrEqual | Greater | GreaterOrEqual => 4,
        Add | Subtract => 5,
        Multiply | Divide | Modulo => 6,
    }
}

/// Joins the last two operands by the last operator, as long as `holds` of that operator.
fn join_while(
    operands: &mut Vec<Expr>,
    operators: &mut Vec<BinaryOperator>,
    holds: impl Fn(BinaryOperator) -> bool,
) {
    while let Some(operator) = operators.pop_if(|last| holds(*last))
        && let Some(right) = operands.pop()
        && let Some(left) = operands.pop()
    {
        let span = left.span.to(right.span);
        let (left, right) = (Box::new(left), Box::new(right));
        operands.push(Expr { kind: ExprKind::Binary { operator, left, right }, span });
    }
}

/// `of` with its accesses. After `[*]` all is of each element; after `.*` only the names and legacy
/// indexes, and a bracket is of the whole result.
fn applied(mut of: Expr, accesses: Vec<Spanned<Access>>) -> Expr {
    let mut accesses = accesses.into_iter().peekable();
    while let Some(Spanned { value: access, span: place }) = accesses.next() {
        let span = of.span.to(place);
        let kind = match access {
            Access::Attribute(name) => ExprKind::GetAttr { of: Box::new(of), name },
            Access::Index(key) | Access::LegacyIndex(key) => {
                ExprKind::Index { of: Box::new(of), key: Box::new(key) }
            }
            Access::FullSplat => return splat(of, place, accesses.collect()),
            Access::AttributeSplat => {
                let is_dotted = |next: &Spanned<Access>| {
                    matches!(next.value, Access::Attribute(_) | Access::LegacyIndex(_))
                };
                let in_each = std::iter::from_fn(|| accesses.next_if(is_dotted)).collect();
                of = splat(of, place, in_each);
                continue;
            }
        };
        of = Expr { kind, span };
    }
    of
}

/// `of[*]` or `of.*`, which stands at `place`, with what is done with each element.
fn splat(of: Expr, place: Span, in_each: Vec<Spanned<Access>>) -> Expr {
    let each = applied(Expr { kind: ExprKind::SplatItem, span: place }, in_each);
    let span = of.span.to(each.span);
    Expr { kind: ExprKind::Splat { of: Box::new(of), each: Box::new(each) }, span }
}
