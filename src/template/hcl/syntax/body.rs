//! Arguments and blocks, to the end of the text or of the block.

use std::collections::HashMap;
use std::ops::Range;

use super::super::scan::{Token, TokenKind};
use super::{Abandoned, Checker, Parsed};
use crate::diagnostic::{Diagnostic, code};

/// What an item of a body was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Argument,
    Block,
}

/// The arguments of a body so far.
type Names<'t> = HashMap<&'t str, Token>;

impl<'t> Checker<'t> {
    /// The body of a whole file.
    pub fn file(&mut self) {
        loop {
            self.items();
            let next = self.peek();
            if next.kind == TokenKind::End {
                return;
            }
            let error = self.error(next, "this `}` closes nothing");
            self.diagnostics.push(error.help("remove it, or add the block that it should end"));
            self.next();
            self.blank(next.range());
        }
    }

    /// Arguments and blocks up to a `}` or the end of the text.
    fn items(&mut self) {
        let mut names = Names::new();
        loop {
            self.skip_newlines();
            if self.diagnostics.is_full() {
                self.at = self.tokens.len() - 1;
            }
            if self.peek().kind == TokenKind::End || self.looking_at("}") {
                return;
            }
            let (start, said) = (self.at, self.diagnostics.0.len());
            if self.item(&mut names).and_then(|item| self.end_of_line(item)).is_err() {
                self.recover(start, said);
            }
        }
    }

    fn item(&mut self, names: &mut Names<'t>) -> Parsed<Item> {
        let Some(name) = self.name() else {
            return self.no_item();
        };
        let next = self.peek();
        match self.text_of(next) {
            "=" => self.argument(name, names).map(|()| Item::Argument),
            ":" => {
                let error = self.error(name, "an argument takes `=`, not `:`");
                let help = format!("write `{} = …`", self.text_of(name));
                self.diagnostics.push(error.help(help));
                self.copy[next.start] = b'=';
                self.argument(name, names).map(|()| Item::Argument)
            }
            _ => self.block(name).map(|()| Item::Block),
        }
    }

    /// The `=` and what follows it.
    fn argument(&mut self, name: Token, names: &mut Names<'t>) -> Parsed<()> {
        let said = self.diagnostics.0.len();
        self.next();
        self.expression()?;
        if self.diagnostics.0.len() > said {
            return Err(Abandoned);
        }
        let Some(first) = names.insert(self.text_of(name), name) else {
            return Ok(());
        };
        let summary = format!("the argument `{}` is set twice", self.text_of(name));
        let error = Diagnostic::error(code::DUPLICATE, summary).at(self.span(name));
        let error = error.because("set again here").label(self.span(first), "set here first");
        self.refuse(error.help("remove one of the two"))
    }

    /// After a block's type: labels and the inside in braces.
    fn block(&mut self, kind: Token) -> Parsed<()> {
        let mut has_labels = false;
        loop {
            let next = self.peek();
            match next.kind {
                TokenKind::Name => drop(self.next()),
                TokenKind::OpenQuote => self.label()?,
                TokenKind::OpenBrace => return self.deeper(Self::braces),
                _ => return self.no_block(kind, has_labels),
            }
            has_labels = true;
        }
    }

    /// A quoted label: no `${ … }`.
    fn label(&mut self) -> Parsed<()> {
        let open = self.peek();
        let inside = self.tokens[self.next_index() + 1..].iter();
        let mut inside = inside.skip_while(|token| token.kind == TokenKind::Literal);
        let opens = |token: &&Token| {
            matches!(token.kind, TokenKind::OpenInterpolation | TokenKind::OpenDirective)
        };
        let sequence = inside.next().filter(opens).copied();
        self.quoted()?;
        let Some(sequence) = sequence else {
            return Ok(());
        };
        let error = self.error(sequence, "a label cannot be computed");
        let error = error.because("`${ … }` and `%{ … }` are not allowed in a label");
        self.refuse(error.label(self.span(open), "in this label"))
    }

    /// `{ … }`, on several lines or with one argument on one line.
    fn braces(&mut self) -> Parsed<()> {
        let open = self.next();
        if self.at_line_end() || self.looking_at("}") {
            self.items();
        } else {
            self.single_line()?;
        }
        if self.eat("}") {
            return Ok(());
        }
        self.unclosed(open)
    }

    fn single_line(&mut self) -> Parsed<()> {
        let start = self.peek();
        let item = self.item(&mut Names::new())?;
        if item == Item::Argument && self.looking_at("}") {
            return Ok(());
        }
        let error = match item {
            Item::Block => self.error(start, "a block on one line cannot hold a block"),
            Item::Argument => {
                self.error(self.peek(), "a block on one line holds one argument only")
            }
        };
        self.refuse(error.help("put each argument and each brace on its own line"))
    }

    /// Says where the block was opened; only for the innermost, as the others lack their brace
    /// because of it.
    fn unclosed(&mut self, open: Token) -> Parsed<()> {
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

    fn end_of_line(&mut self, item: Item) -> Parsed<()> {
        if self.at_line_end() {
            return Ok(());
        }
        let found = self.found();
        let next = self.peek();
        if item == Item::Block || matches!(self.text_of(next), "=" | "," | ";") {
            let what = if item == Item::Block { "a block" } else { "an argument" };
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

    /// Goes on after an abandoned item, which is blank in the copy: to the end of the line on which
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
        let end_at = self.at;
        self.say_meaningless(wrong..end_at + 1, said);
        let end = self.tokens[self.at].start;
        self.blank(self.tokens[start].start..end);
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
