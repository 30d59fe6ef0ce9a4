//! Strings: quoted and heredoc templates with `${ … }` and `%{ … }`.

use super::super::scan::{Token, TokenKind};
use super::{Checker, Parsed};
use crate::budget::Limit;
use crate::diagnostic::Diagnostic;

/// A directive that waits for its end.
struct Pending<'t> {
    word: &'t str,
    token: Token,
    /// Whether its `else` has been there.
    split: bool,
}

impl Pending<'_> {
    fn end(&self) -> &'static str {
        if self.word == "if" { "endif" } else { "endfor" }
    }
}

impl<'t> Checker<'t> {
    /// `"…"`, or `<<EOF` to the line that holds `EOF` only.
    pub fn quoted(&mut self) -> Parsed<()> {
        let open = self.next();
        self.with_newlines(true, |checker| checker.template(Some(open)))
    }

    /// Literals and sequences, to the end of the template that began with `open`; without one, of
    /// the text.
    pub fn template(&mut self, open: Option<Token>) -> Parsed<()> {
        let mut pending: Vec<Pending<'t>> = Vec::new();
        loop {
            let next = self.peek();
            match (next.kind, open) {
                (TokenKind::QuotedNewline | TokenKind::End, Some(open)) => {
                    return self.unterminated(next, open);
                }
                (TokenKind::Literal, _) => {
                    self.next();
                    self.literal(next, open)?;
                }
                (TokenKind::OpenInterpolation | TokenKind::OpenDirective, _) => {
                    self.next();
                    self.sequence(next, open, &mut pending)?;
                }
                _ => {
                    self.next();
                    break;
                }
            }
        }
        let Some(last) = pending.pop() else {
            return Ok(());
        };
        let error = self.error(last.token, format!("this `{}` is not ended", last.word));
        let cause = format!("`%{{ {} }}` is missing before the end of the text", last.end());
        self.refuse(error.because(cause))
    }

    fn unterminated(&mut self, at: Token, open: Token) -> Parsed<()> {
        let error = if open.kind == TokenKind::OpenQuote {
            let error = self.error(at, "a string is not closed on its line");
            let help = "for several lines, write `\\n` or a heredoc (<<EOF … EOF)";
            error.because("expected `\"`").help(help)
        } else {
            let error = self.error(at, "a heredoc is not closed");
            error.because(format!("no line holds only `{}`", self.marker(open)))
        };
        self.refuse(error.label(self.span(open), "opened here"))
    }

    fn marker(&self, open: Token) -> &'t str {
        self.text_of(open).trim_start_matches(['<', '-']).trim_end()
    }

    /// A piece of text: its escapes; in a heredoc, whether it looks like the end.
    fn literal(&mut self, literal: Token, open: Option<Token>) -> Parsed<()> {
        let Some(open) = open else {
            return Ok(());
        };
        if open.kind == TokenKind::OpenQuote {
            return self.escapes(literal);
        }
        let text = self.text_of(literal);
        let marker = self.marker(open);
        if text.trim_start().starts_with(marker) {
            let start = literal.start + text.len() - text.trim_start().len();
            self.copy[start..start + marker.len()].fill(b'.');
        }
        Ok(())
    }

    /// Says every wrong escape of a piece of a quoted string.
    fn escapes(&mut self, literal: Token) -> Parsed<()> {
        let text = self.text_of(literal);
        let mut from = 0;
        while let Some(at) = text[from..].find('\\').map(|at| at + from) {
            let escaped = &text[at + 1..];
            let selector = escaped.chars().next();
            from = at + 1 + selector.map_or(0, char::len_utf8);
            match selector {
                Some('n' | 'r' | 't' | '"' | '\\') => {}
                Some('u') => self.unicode_escape(literal, at, 4)?,
                Some('U') => self.unicode_escape(literal, at, 8)?,
                _ => {
                    let error = self.error(part(literal, at, from), "this escape does not exist");
                    let error =
                        error.because("the escapes are \\n \\r \\t \\\" \\\\ \\uNNNN \\UNNNNNNNN");
                    return self.refuse(error.help("for a backslash itself, write `\\\\`"));
                }
            }
        }
        Ok(())
    }

    fn unicode_escape(&mut self, literal: Token, at: usize, digits: usize) -> Parsed<()> {
        let rest = &self.text_of(literal)[at + 2..];
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len()).min(digits);
        let escape = part(literal, at, at + 2 + hex);
        if hex < digits {
            let error = self.error(escape, "this escape is too short");
            return self.refuse(error.because(format!("it needs {digits} hex digits")));
        }
        let character = u32::from_str_radix(&rest[..hex], 16).ok().and_then(char::from_u32);
        if character.is_none() {
            let error = self.error(escape, "this escape is no character");
            return self.refuse(error.help("write characters beyond U+FFFF as \\UNNNNNNNN"));
        }
        Ok(())
    }

    /// After `${` or `%{`.
    fn sequence(
        &mut self,
        start: Token,
        open: Option<Token>,
        pending: &mut Vec<Pending<'t>>,
    ) -> Parsed<()> {
        let is_directive = start.kind == TokenKind::OpenDirective;
        self.with_newlines(false, |checker| {
            match is_directive {
                true => checker.directive(start, pending)?,
                false => checker.expression()?,
            }
            if checker.peek().kind == TokenKind::CloseSequence {
                checker.next();
                return Ok(());
            }
            checker.unclosed_sequence(start, open, is_directive)
        })
    }

    /// Where the string ends, the sequence is what is wrong; else it is what stands in it.
    fn unclosed_sequence<T>(
        &mut self,
        start: Token,
        open: Option<Token>,
        is_directive: bool,
    ) -> Parsed<T> {
        let found = self.found();
        let (sign, what) = if is_directive { ("%", "%{ … }") } else { ("$", "${ … }") };
        let next = self.peek();
        let is_quoted = open.is_some_and(|open| open.kind == TokenKind::OpenQuote);
        let ends = match next.kind {
            TokenKind::End => true,
            TokenKind::OpenQuote | TokenKind::CloseQuote => is_quoted,
            _ => false,
        };
        let at = if ends { start } else { next };
        let error = self.error(at, format!("a `{what}` lacks its closing `}}`"));
        let error = error.because(format!("expected `}}`, found {found}"));
        let error = if ends { error } else { error.label(self.span(start), "opened here") };
        self.refuse(
            error.help(format!(
                "for the text `{sign}{{` itself, as in a shell, write `{sign}{sign}{{`"
            )),
        )
    }

    fn directive(&mut self, start: Token, pending: &mut Vec<Pending<'t>>) -> Parsed<()> {
        let keyword = self.peek();
        let word = self.text_of(keyword);
        if !matches!(word, "if" | "else" | "endif" | "for" | "endfor") {
            let found = self.found();
            let error = self.error(keyword, "this is no template directive");
            return self.refuse(
                error
                    .because(format!("expected if, else, endif, for or endfor, found {found}"))
                    .help("for the text `%{` itself, write `%%{`"),
            );
        }
        self.next();
        if !matches!(word, "if" | "for") {
            return self.end_or_split(word, start, pending);
        }
        let depth = pending.len() + self.depth + 1;
        if let Err(exceeded) = Limit::NESTING.check(depth) {
            let at = self.span(start);
            return self.refuse(Diagnostic::from(exceeded).at(at));
        }
        pending.push(Pending { word, token: start, split: false });
        if word == "for" {
            self.for_names()?;
        }
        self.expression()
    }

    /// `else`, `endif` or `endfor`: of the directive that was opened last.
    fn end_or_split(
        &mut self,
        word: &str,
        start: Token,
        pending: &mut Vec<Pending<'t>>,
    ) -> Parsed<()> {
        let Some(last) = pending.last_mut() else {
            let summary = format!("an `{word}` without the directive that it belongs to");
            return self.refuse_at(start, &summary);
        };
        match (last.word, word) {
            ("if", "else") if !last.split => last.split = true,
            ("if", "endif") | ("for", "endfor") => drop(pending.pop()),
            (opener, _) => {
                let (opened, cause) = (last.token, format!("expected `%{{ {} }}`", last.end()));
                let error = self.error(start, format!("an `{word}` is not expected here"));
                let label = format!("to end this `{opener}`");
                return self.refuse(error.because(cause).label(self.span(opened), label));
            }
        }
        Ok(())
    }
}

/// The bytes `start..end` of a token.
fn part(token: Token, start: usize, end: usize) -> Token {
    Token { start: token.start + start, end: token.start + end, ..token }
}
