//! Arguments and blocks, to the end of the text or of the block.

use std::ops::Range;

use super::super::scan::{Token, TokenKind};
use super::{Abandoned, Parsed, Parser};
use crate::diagnostic::{Diagnostic, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Attribute, Block, Body, Expr, ExprKind, Syntax};

/// An item of a body.
enum Item<'t> {
    Argument(&'t str, Attribute),
    Block(Block),
}

impl Item<'_> {
    fn add_to(self, body: &mut Body) {
        match self {
            Self::Argument(name, attribute) => {
                body.attributes.insert(name.to_owned(), attribute);
            }
            Self::Block(block) => body.blocks.push(block),
        }
    }
}

impl<'t> Parser<'t> {
    /// The body of a whole file.
    pub fn file(&mut self) -> Body {
        let mut body = no_items(self.origin.span(0..self.text.len()));
        loop {
            self.items(&mut body);
            let next = self.peek();
            if next.kind == TokenKind::End {
                return body;
            }
            let error = self.error(next, "this `}` closes nothing");
            self.diagnostics.push(error.help("remove it, or add the block that it should end"));
            self.next();
        }
    }

    /// Arguments and blocks up to a `}` or the end of the text.
    fn items(&mut self, body: &mut Body) {
        loop {
            self.skip_newlines();
            if self.diagnostics.is_full() {
                self.at = self.tokens.len() - 1;
            }
            if self.peek().kind == TokenKind::End || self.looking_at("}") {
                return;
            }
            let (start, said) = (self.at, self.diagnostics.0.len());
            match self.item(body).and_then(|item| self.end_of_line(item)) {
                Ok(item) => item.add_to(body),
                Err(Abandoned) => self.recover(start, said),
            }
        }
    }

    /// The next item of `body`.
    fn item(&mut self, body: &Body) -> Parsed<Item<'t>> {
        let Some(name) = self.name() else {
            return self.no_item();
        };
        let next = self.peek();
        match self.text_of(next) {
            "=" => self.argument(name, body),
            ":" => {
                let error = self.error(name, "an argument takes `=`, not `:`");
                let help = format!("write `{} = …`", self.text_of(name));
                self.diagnostics.push(error.help(help));
                self.argument(name, body)
            }
            _ => self.block(name).map(Item::Block),
        }
    }

    /// The `=` and what follows it.
    fn argument(&mut self, name: Token, body: &Body) -> Parsed<Item<'t>> {
        let said = self.diagnostics.0.len();
        self.next();
        let value = self.expression()?;
        if self.diagnostics.0.len() > said {
            return Err(Abandoned);
        }
        let Some(first) = body.attributes.get(self.text_of(name)) else {
            let attribute = Attribute { name: self.span(name), value };
            return Ok(Item::Argument(self.text_of(name), attribute));
        };
        let summary = format!("the argument `{}` is set twice", self.text_of(name));
        let error = Diagnostic::error(code::DUPLICATE, summary).at(self.span(name));
        let error = error.because("set again here").label(first.name, "set here first");
        self.refuse(error.help("remove one of the two"))
    }

    /// After a block's type: labels and the inside in braces.
    fn block(&mut self, kind: Token) -> Parsed<Block> {
        let mut labels = Vec::new();
        loop {
            let next = self.peek();
            match next.kind {
                TokenKind::Name => {
                    self.next();
                    labels.push(self.spanned(next));
                }
                TokenKind::OpenQuote => labels.push(self.label()?),
                TokenKind::OpenBrace => break,
                _ => return self.no_block(kind, !labels.is_empty()),
            }
        }
        let kind = self.spanned(kind);
        let span = labels.last().map_or(kind.span, |last| kind.span.to(last.span));
        let body = self.deeper(Self::braces)?;
        Ok(Block { kind, labels, body, span })
    }

    /// A quoted label: no `${ … }`.
    fn label(&mut self) -> Parsed<Spanned<String>> {
        let open = self.peek();
        let inside = self.tokens[self.next_index() + 1..].iter();
        let mut inside = inside.skip_while(|token| token.kind == TokenKind::Literal);
        let opens = |token: &&Token| {
            matches!(token.kind, TokenKind::OpenInterpolation | TokenKind::OpenDirective)
        };
        let sequence = inside.next().filter(opens).copied();
        let Expr { kind, span } = self.quoted()?;
        let sequence = match (kind, sequence) {
            (ExprKind::String(label), None) => return Ok(Spanned::new(label, span)),
            (_, sequence) => sequence.unwrap_or(open),
        };
        let error = self.error(sequence, "a label cannot be computed");
        let error = error.because("`${ … }` and `%{ … }` are not allowed in a label");
        self.refuse(error.label(self.span(open), "in this label"))
    }

    /// `{ … }`, on several lines or with one argument on one line.
    fn braces(&mut self) -> Parsed<Body> {
        let open = self.next();
        let mut body = no_items(self.span(open));
        if self.at_line_end() || self.looking_at("}") {
            self.items(&mut body);
        } else {
            self.single_line(&mut body)?;
        }
        if !self.eat("}") {
            return self.unclosed(open);
        }
        body.span = body.span.to(self.last_span());
        Ok(body)
    }

    fn single_line(&mut self, body: &mut Body) -> Parsed<()> {
        let start = self.peek();
        let item = self.item(body)?;
        let is_argument = matches!(item, Item::Argument(..));
        if is_argument && self.looking_at("}") {
            item.add_to(body);
            return Ok(());
        }
        let error = match item {
            Item::Block(_) => self.error(start, "a block on one line cannot hold a block"),
            Item::Argument(..) => {
                self.error(self.peek(), "a block on one line holds one argument only")
            }
        };
        self.refuse(error.help("put each argument and each brace on its own line"))
    }

    /// Says where the block was opened; only for the innermost, as the others lack their brace
    /// because of it.
    fn unclosed<T>(&mut self, open: Token) -> Parsed<T> {
        if !self.brace_is_missing {
            self.brace_is_missing = true;
            let error = self.error(open, "this block is not closed");
            self.diagnostics.push(
                error
                    .because("no `}` for this `{` before the end of the file")
                    .help("braces may be wrong further inside of it"),
            );
        }
        Err(Abandoned)
    }

    /// `item`, if its line ends behind it.
    fn end_of_line(&mut self, item: Item<'t>) -> Parsed<Item<'t>> {
        if self.at_line_end() {
            return Ok(item);
        }
        let found = self.found();
        let next = self.peek();
        let is_block = matches!(item, Item::Block(_));
        if is_block || matches!(self.text_of(next), "=" | "," | ";") {
            let what = if is_block { "a block" } else { "an argument" };
            let error = self.error(next, format!("{what} ends with its line"));
            return self.refuse(error.because(format!("expected a newline, found {found}")));
        }
        let error = self.error(next, "a value is followed by something else");
        let error = error.because(format!("expected a newline, found {found}"));
        self.refuse(error.help("a text belongs in quotes, a list in brackets"))
    }

    fn no_item<T>(&mut self) -> Parsed<T> {
        let next = self.peek();
        let found = self.found();
        let error = self.error(next, "an argument or a block is expected here");
        let error = error.because(format!("expected a name, found {found}"));
        let error = match next.kind {
            TokenKind::OpenQuote => error.help("names of arguments are not quoted"),
            _ => error,
        };
        self.refuse(error)
    }

    fn no_block<T>(&mut self, kind: Token, has_labels: bool) -> Parsed<T> {
        let name = self.text_of(kind);
        let found = self.found();
        if has_labels {
            let error = self.error(self.peek(), format!("the block `{name}` lacks its `{{`"));
            let error = error.because(format!("expected `{{`, found {found}"));
            return self.refuse(error.help("the brace stands on the line of the block's name"));
        }
        let error = self.error(kind, format!("`{name}` is neither argument nor block"));
        let help = format!("write `{name} = …` for an argument, `{name} {{ … }}` for a block");
        self.refuse(
            error.because(format!("expected `=` or `{{` after it, found {found}")).help(help),
        )
    }

    /// Goes on after an abandoned item: to the end of the line on which
    /// every bracket opened since `start` is closed, or to the `}` of the block around. Its mistakes
    /// begin at `said`.
    fn recover(&mut self, start: usize, said: usize) {
        let failed_at = self.at;
        let wrong = self.next_index();
        let mut open: Vec<TokenKind> = Vec::new();
        self.at = start;
        loop {
            let token = self.tokens[self.at];
            let may_end = self.at >= failed_at;
            match token.kind {
                TokenKind::End => break,
                TokenKind::CloseBrace if may_end && open.last() != Some(&TokenKind::OpenBrace) => {
                    break;
                }
                TokenKind::QuotedNewline => {
                    let quote = open.iter().position(|opener| *opener == TokenKind::OpenQuote);
                    open.truncate(quote.unwrap_or(open.len()));
                }
                TokenKind::OpenQuote => open.push(token.kind),
                TokenKind::CloseQuote => drop(open.pop()),
                kind if kind.nesting() > 0 => open.push(kind),
                kind if kind.nesting() < 0 => drop(open.pop()),
                _ => {}
            }
            if may_end && open.is_empty() && self.ends_line(token) {
                break;
            }
            self.at += 1;
        }
        self.say_meaningless(wrong..self.at + 1, said);
        if self.tokens[self.at].kind == TokenKind::QuotedNewline {
            self.at += 1;
        }
    }

    /// Says the first of the tokens in `rest`, the first of which is where an item was abandoned, that
    /// has no meaning anywhere. What was `said` of the item before it on its line comes from that.
    fn say_meaningless(&mut self, rest: Range<usize>, said: usize) {
        let wrong = rest.start;
        let mut meaningless = rest.map(|at| (at, self.meaningless(self.tokens[at])));
        let Some((at, Some(error))) = meaningless.find(|(_, error)| error.is_some()) else {
            return;
        };
        if at > wrong {
            self.diagnostics.push(error);
        }
        let token = self.tokens[at].start;
        let line = self.text[..token].rfind('\n').map_or(0, |end| end + 1);
        let line = self.origin.span(line..token);
        let is_before = |one: &Diagnostic| {
            one.span.is_some_and(|span| span.start >= line.start && span.start <= line.end)
        };
        let mut of_item = self.diagnostics.0.split_off(said);
        let last = of_item.pop();
        of_item.retain(|one| !is_before(one));
        self.diagnostics.0.extend(of_item.into_iter().chain(last));
    }

    fn ends_line(&self, token: Token) -> bool {
        use TokenKind::{Comment, Newline, QuotedNewline};
        let may = matches!(token.kind, Comment | Newline | QuotedNewline);
        may && self.text_of(token).ends_with('\n')
    }
}

/// A body without anything in it yet.
fn no_items(span: Span) -> Body {
    Body::empty(span, Syntax::Native)
}
