//! Tokens → the tree, and what is wrong with them.
//!
//! This is HCL's grammar. It does not stop at the first mistake: each is said at the token at which
//! HCL itself finds it, the argument or block that has it is left out, and reading goes on behind it.

mod body;
mod collection;
mod expression;
mod pieces;
mod template;

use super::Origin;
use super::scan::{Token, TokenKind, scan, scan_template};
use crate::budget::{Budget, Limit};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Body, Expr, ExprKind};

/// Reads a whole file of arguments and blocks; nothing where the text is too large.
pub fn file(text: &str, origin: Origin, budget: &Budget) -> (Option<Body>, Diagnostics) {
    let tokens = code_tokens(text, budget);
    Parser::new(text, &tokens, origin).run(budget, |parser| Ok(parser.file()))
}

/// Reads a single expression.
pub fn expression(text: &str, origin: Origin, budget: &Budget) -> (Option<Expr>, Diagnostics) {
    let tokens = code_tokens(text, budget);
    Parser::new(text, &tokens, origin).run(budget, |parser| {
        parser.with_newlines(false, |parser| {
            let expr = parser.expression()?;
            match parser.peek() {
                Token { kind: TokenKind::End, .. } => Ok(expr),
                next => parser.refuse_at(next, "an expression is followed by something else"),
            }
        })
    })
}

/// Reads a template without quotes.
pub fn template(text: &str, origin: Origin, budget: &Budget) -> (Option<Expr>, Diagnostics) {
    let mut tokens: Vec<Token> = scan_template(text).take(affordable(budget)).collect();
    end_tokens(text, &mut tokens);
    Parser::new(text, &tokens, origin).run(budget, |parser| {
        let kind = parser.template(None)?;
        Ok(Expr { kind, span: origin.span(0..text.len()) })
    })
}

/// The tokens of arguments, blocks or an expression, up to one more than can be paid for. A string
/// that is not closed ends with its line: the next line is most likely the next argument, not text.
fn code_tokens(text: &str, budget: &Budget) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut scanner = scan(text);
    while tokens.len() < affordable(budget)
        && let Some(token) = scanner.next()
    {
        tokens.push(token);
        if token.kind == TokenKind::QuotedNewline {
            scanner.start_over();
        }
    }
    end_tokens(text, &mut tokens);
    tokens
}

/// One more than the tokens that can be paid for.
fn affordable(budget: &Budget) -> usize {
    budget.left() / Budget::WORD + 1
}

fn end_tokens(text: &str, tokens: &mut Vec<Token>) {
    tokens.push(Token { kind: TokenKind::End, start: text.len(), end: text.len() });
}

/// A construct was left unfinished; what is wrong with it has been said.
struct Abandoned;

type Parsed<T> = Result<T, Abandoned>;

/// A place in a row of tokens. Its methods are spread over the files of this folder, by the layer of
/// the grammar that they know.
struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    at: usize,
    /// The token that was read last.
    last: Token,
    origin: Origin,
    /// Whether a newline is an end rather than a blank, as it is inside of brackets.
    newline_ends: bool,
    depth: usize,
    /// The operators and accesses so far at this level, or in the worst of the levels below it.
    links: usize,
    /// Whether a missing `}` has been said; one makes every outer block lack its own.
    brace_is_missing: bool,
    diagnostics: Diagnostics,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, tokens: &'t [Token], origin: Origin) -> Self {
        Self {
            text,
            tokens,
            at: 0,
            last: tokens[0],
            origin,
            newline_ends: true,
            depth: 0,
            links: 0,
            brace_is_missing: false,
            diagnostics: Diagnostics::default(),
        }
    }

    /// What `read` reads, if the text is not too large and nothing was abandoned, and what is wrong.
    fn run<T>(
        mut self,
        budget: &Budget,
        read: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> (Option<T>, Diagnostics) {
        // The end, which is always there, costs nothing.
        let last = self.tokens.len() - 1;
        let read = match budget.pay(last * Budget::WORD) {
            Err(exceeded) => {
                let at = self.span(self.tokens[last.saturating_sub(1)]);
                self.diagnostics.push(Diagnostic::from(exceeded).at(at));
                None
            }
            // Whatever was abandoned has been said.
            Ok(()) => read(&mut self).ok(),
        };
        (read, self.diagnostics)
    }

    /// The next token that counts; a comment that ends its line counts as a newline.
    fn peek(&self) -> Token {
        self.token_at(self.next_index())
    }

    fn token_at(&self, index: usize) -> Token {
        let token = self.tokens[index];
        let is_newline = token.kind == TokenKind::Comment;
        Token { kind: if is_newline { TokenKind::Newline } else { token.kind }, ..token }
    }

    fn next_index(&self) -> usize {
        let skipped = |token: &Token| match token.kind {
            TokenKind::Newline => !self.newline_ends,
            TokenKind::Comment => !self.newline_ends || !self.text_of(*token).ends_with('\n'),
            _ => false,
        };
        self.at + self.tokens[self.at..].iter().take_while(|token| skipped(token)).count()
    }

    /// Reads the next token.
    fn next(&mut self) -> Token {
        let index = self.next_index();
        let token = self.token_at(index);
        self.at = (index + 1).min(self.tokens.len() - 1);
        self.last = token;
        token
    }

    fn text_of(&self, token: Token) -> &'t str {
        &self.text[token.range()]
    }

    /// Whether the next token is this sign or word.
    fn looking_at(&self, text: &str) -> bool {
        let next = self.peek();
        next.kind != TokenKind::Literal && self.text_of(next) == text
    }

    /// Reads this sign or word if it is next.
    fn eat(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.next();
        }
        found
    }

    /// Reads a name if it is next.
    fn name(&mut self) -> Option<Token> {
        (self.peek().kind == TokenKind::Name).then(|| self.next())
    }

    fn at_line_end(&self) -> bool {
        matches!(self.peek().kind, TokenKind::Newline | TokenKind::End)
    }

    fn skip_newlines(&mut self) {
        while self.peek().kind == TokenKind::Newline {
            self.next();
        }
    }

    /// Runs `read` with newlines as ends or as blanks, and restores what was before.
    fn with_newlines<T>(&mut self, end: bool, read: impl FnOnce(&mut Self) -> T) -> T {
        let saved = std::mem::replace(&mut self.newline_ends, end);
        let result = read(self);
        self.newline_ends = saved;
        result
    }

    /// Runs `read` one level deeper; refuses what is nested too deep.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.hold(Limit::NESTING, self.depth + 1)?;
        self.depth += 1;
        let links = std::mem::take(&mut self.links);
        let result = read(self);
        self.links = if self.depth == 1 { 0 } else { self.links.max(links) };
        self.depth -= 1;
        result
    }

    /// Counts one more operator or access.
    fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        self.hold(Limit::CHAIN, self.links)
    }

    /// Refuses what is beyond a limit.
    fn hold(&mut self, limit: Limit, count: usize) -> Parsed<()> {
        let at = self.span(self.peek());
        limit.check(count).or_else(|exceeded| self.refuse(Diagnostic::from(exceeded).at(at)))
    }

    fn span(&self, token: Token) -> Span {
        self.origin.span(token.range())
    }

    /// The place of the token that was read last.
    fn last_span(&self) -> Span {
        self.span(self.last)
    }

    /// A name as it is written.
    fn spanned(&self, name: Token) -> Spanned<String> {
        Spanned::new(self.text_of(name).to_owned(), self.span(name))
    }

    /// An expression from `start` to the token that was read last.
    fn expr_from(&self, start: Token, kind: ExprKind) -> Expr {
        Expr { kind, span: self.span(start).to(self.last_span()) }
    }

    /// An error at a token.
    fn error(&self, token: Token, summary: impl Into<String>) -> Diagnostic {
        let at = match token.kind {
            TokenKind::Newline | TokenKind::QuotedNewline => Token { end: token.start, ..token },
            _ => token,
        };
        Diagnostic::error(code::HCL_SYNTAX, summary).at(self.span(at))
    }

    /// Says what is wrong and gives the construct up. What has no meaning anywhere in HCL is what is
    /// wrong, whatever would have been expected in its place.
    fn refuse<T>(&mut self, diagnostic: Diagnostic) -> Parsed<T> {
        let next = self.peek();
        let meaningless = self.meaningless(next).filter(|_| next.kind == TokenKind::Invalid);
        self.diagnostics.push(meaningless.unwrap_or(diagnostic));
        Err(Abandoned)
    }

    /// What is wrong with a token without any grammar.
    fn meaningless(&self, token: Token) -> Option<Diagnostic> {
        let say = |summary: &str| self.error(token, summary);
        let no_bits = |meant: &str| {
            let help = format!("for the logical operator, write `{meant}`");
            say("there are no operators on bits").help(help)
        };
        let error = match (token.kind, self.text_of(token)) {
            (TokenKind::QuotedNewline, _) => {
                say("a string is not closed on its line").because("expected `\"`")
            }
            (TokenKind::Invalid, text) => match text {
                "'" => {
                    say("single quotes are not valid").help("enclose strings in double quotes (\")")
                }
                "`" => say("backquotes are not valid")
                    .help("enclose strings in double quotes, or write a heredoc (<<EOF … EOF)"),
                "“" | "”" => say("curly quotes are not valid")
                    .help("enclose strings in straight double quotes (\")"),
                ";" => say("semicolons are not valid").help("end an argument with its line"),
                "**" => say("there is no operator `**`").help("write `pow(base, exponent)`"),
                "&" => no_bits("&&"),
                "|" => no_bits("||"),
                "~" | "^" => no_bits("!"),
                _ => say("this character is not valid here"),
            },
            _ => return None,
        };
        Some(error)
    }

    fn refuse_at<T>(&mut self, token: Token, summary: &str) -> Parsed<T> {
        let error = self.error(token, summary);
        self.refuse(error)
    }

    /// What stands next, as a message calls it.
    fn found(&self) -> String {
        let next = self.peek();
        match next.kind {
            TokenKind::End => "the end of the file".into(),
            TokenKind::Newline | TokenKind::QuotedNewline => "the end of the line".into(),
            TokenKind::OpenQuote => "a string".into(),
            TokenKind::CloseQuote => "the end of the string".into(),
            TokenKind::OpenHeredoc => "a heredoc".into(),
            _ => format!("`{}`", self.text_of(next).trim()),
        }
    }
}
