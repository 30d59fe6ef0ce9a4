//! Strings: quoted and heredoc templates with `${ … }` and `%{ … }`.
//!
//! A template is first read as a row of pieces, as it is written; there, strip markers (`~`) and the
//! indentation of `<<-` eat white space, whatever directives make of the row. Then directives take
//! the pieces up to their ends as their own.

use super::super::scan::{Token, TokenKind};
use super::collection::ForNames;
use super::pieces::{Piece, Sequence, parts, remove_indentation, strip};
use super::{Parsed, Parser};
use crate::budget::Limit;
use crate::diagnostic::Diagnostic;
use crate::template::ast::{Expr, ExprKind, TemplatePart};

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

impl<'t> Parser<'t> {
    /// `"…"`, or `<<EOF` to the line that holds `EOF` only.
    pub fn quoted(&mut self) -> Parsed<Expr> {
        let open = self.next();
        let kind = self.with_newlines(true, |parser| parser.template(Some(open)))?;
        Ok(self.expr_from(open, kind))
    }

    /// The template that began with `open`; without one, all of the text.
    pub fn template(&mut self, open: Option<Token>) -> Parsed<ExprKind> {
        let mut pieces = self.pieces(open)?;
        strip(&mut pieces);
        if open.is_some_and(|open| self.text_of(open).starts_with("<<-")) {
            remove_indentation(&mut pieces);
        }
        let mut parts = parts(&mut pieces.into_iter());
        Ok(match parts.as_mut_slice() {
            [] => ExprKind::String(String::new()),
            [TemplatePart::Text(text)] => ExprKind::String(std::mem::take(text)),
            _ => ExprKind::Template(parts),
        })
    }

    /// Literals and sequences, to the end of the template that began with `open`; without one, of
    /// the text.
    fn pieces(&mut self, open: Option<Token>) -> Parsed<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut pending: Vec<Pending<'t>> = Vec::new();
        loop {
            let next = self.peek();
            match (next.kind, open) {
                (TokenKind::QuotedNewline | TokenKind::End, Some(open)) => {
                    return self.unterminated(next, open);
                }
                (TokenKind::Literal, _) => {
                    self.next();
                    pieces.push(Piece::Text(self.literal(next, open)?));
                }
                (TokenKind::OpenInterpolation | TokenKind::OpenDirective, _) => {
                    self.next();
                    pieces.push(self.sequence(next, open, &mut pending)?);
                }
                _ => {
                    self.next();
                    break;
                }
            }
        }
        let Some(last) = pending.pop() else {
            return Ok(pieces);
        };
        let error = self.error(last.token, format!("this `{}` is not ended", last.word));
        let cause = format!("`%{{ {} }}` is missing before the end of the text", last.end());
        self.refuse(error.because(cause))
    }

    fn unterminated<T>(&mut self, at: Token, open: Token) -> Parsed<T> {
        let error = if open.kind == TokenKind::OpenQuote {
            let error = self.error(at, "a string is not closed on its line");
            let help = "for several lines, write `\\n` or a heredoc (<<EOF … EOF)";
            error.because("expected `\"`").help(help)
        } else {
            let error = self.error(at, "a heredoc is not closed");
            let marker = self.text_of(open).trim_start_matches(['<', '-']).trim_end();
            error.because(format!("no line holds only `{marker}`"))
        };
        self.refuse(error.label(self.span(open), "opened here"))
    }

    /// The text that a literal stands for: only in quotes there are escapes with a backslash.
    fn literal(&mut self, literal: Token, open: Option<Token>) -> Parsed<String> {
        let text = self.text_of(literal);
        if open.is_some_and(|open| open.kind == TokenKind::OpenQuote) {
            self.escapes(literal)?;
            return Ok(unescape(text));
        }
        Ok(text.replace("$${", "${").replace("%%{", "%{"))
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
    ) -> Parsed<Piece> {
        let is_directive = start.kind == TokenKind::OpenDirective;
        self.with_newlines(false, |parser| {
            let what = match is_directive {
                true => parser.directive(start, pending)?,
                false => Sequence::Interpolation(parser.expression()?),
            };
            if parser.peek().kind != TokenKind::CloseSequence {
                return parser.unclosed_sequence(start, open, is_directive);
            }
            let end = parser.next();
            Ok(Piece::Sequence {
                what,
                span: parser.span(start).to(parser.span(end)),
                strips_before: parser.text_of(start).ends_with('~'),
                strips_after: parser.text_of(end).starts_with('~'),
            })
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

    fn directive(&mut self, start: Token, pending: &mut Vec<Pending<'t>>) -> Parsed<Sequence> {
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
            let ForNames { key, value } = self.for_names()?;
            return Ok(Sequence::For { key, value, collection: self.expression()? });
        }
        self.expression().map(Sequence::If)
    }

    /// `else`, `endif` or `endfor`: of the directive that was opened last.
    fn end_or_split(
        &mut self,
        word: &str,
        start: Token,
        pending: &mut Vec<Pending<'t>>,
    ) -> Parsed<Sequence> {
        let Some(last) = pending.last_mut() else {
            let summary = format!("an `{word}` without the directive that it belongs to");
            return self.refuse_at(start, &summary);
        };
        match (last.word, word) {
            ("if", "else") if !last.split => {
                last.split = true;
                Ok(Sequence::Else)
            }
            ("if", "endif") | ("for", "endfor") => {
                pending.pop();
                Ok(Sequence::End)
            }
            (opener, _) => {
                let (opened, cause) = (last.token, format!("expected `%{{ {} }}`", last.end()));
                let error = self.error(start, format!("an `{word}` is not expected here"));
                let label = format!("to end this `{opener}`");
                self.refuse(error.because(cause).label(self.span(opened), label))
            }
        }
    }
}

/// The bytes `start..end` of a token.
fn part(token: Token, start: usize, end: usize) -> Token {
    Token { start: token.start + start, end: token.start + end, ..token }
}

/// The text that a literal of a quoted string stands for; its escapes are right.
fn unescape(literal: &str) -> String {
    let mut text = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(at) = rest.find(['\\', '$', '%']) {
        text.push_str(&rest[..at]);
        let (character, length) = match &rest.as_bytes()[at..] {
            [b'\\', b'n', ..] => ('\n', 2),
            [b'\\', b'r', ..] => ('\r', 2),
            [b'\\', b't', ..] => ('\t', 2),
            [b'\\', b'u', ..] => (unicode(&rest[at + 2..], 4), 6),
            [b'\\', b'U', ..] => (unicode(&rest[at + 2..], 8), 10),
            [b'\\', escaped, ..] => (char::from(*escaped), 2),
            [sign @ b'$', b'$', b'{', ..] | [sign @ b'%', b'%', b'{', ..] => {
                text.push(char::from(*sign));
                ('{', 3)
            }
            _ => (char::from(rest.as_bytes()[at]), 1),
        };
        text.push(character);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    text + rest
}

/// The character of these hex digits, which are known to be one.
fn unicode(text: &str, digits: usize) -> char {
    let code = text.get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
