//! Strings: quoted and heredoc templates with `${ … }` and `%{ … }`.
//!
//! A template is read in two passes, as the language defines it: first a row of tokens, in which
//! strip markers and the indentation of `<<-` eat white space of their neighbours; then the tree of
//! directives.

use super::cursor::{Abandoned, Parsed, Parser};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::template::ast::{Expr, ExprKind, TemplatePart};

/// One token of a template. A literal of a heredoc reaches to the end of its line at most.
enum Token {
    Literal(String),
    Interpolation(Expr),
    Directive(Directive, Span),
}

enum Directive {
    If(Expr),
    Else,
    EndIf,
    For { key: Option<String>, value: String, collection: Expr },
    EndFor,
}

impl Directive {
    fn word(&self) -> &'static str {
        match self {
            Self::If(_) => "if",
            Self::Else => "else",
            Self::EndIf => "endif",
            Self::For { .. } => "for",
            Self::EndFor => "endfor",
        }
    }
}

/// What is around a template.
#[derive(Clone, Copy)]
enum Frame<'m> {
    /// Double quotes: backslash escapes, no newlines.
    Quotes { open: usize },
    /// A heredoc that ends with this word on its own line.
    Heredoc { marker: &'m str, open: usize },
    /// Nothing: the whole text.
    Text,
}

impl Parser<'_> {
    /// `"…"`.
    pub fn quoted(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 1;
        let tokens = self.tokens(Frame::Quotes { open: start })?;
        self.at += 1;
        self.template_from(start, tokens)
    }

    /// `<<EOF` or `<<-EOF` to the line that holds `EOF` only.
    pub fn heredoc(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 2;
        let indented = self.eat("-");
        let Some(marker) = self.name() else {
            let error = self.error_here("a heredoc lacks its marker");
            return self.refuse(error.help("write `<<EOF`, the lines, and `EOF` on its own line"));
        };
        if !(self.eat("\n") || self.eat("\r\n")) {
            let error = self.error_here("a heredoc begins on the line after its marker");
            return self.refuse(error.because(format!("nothing may follow `<<{marker}`")));
        }
        let mut tokens = self.tokens(Frame::Heredoc { marker, open: start })?;
        if indented {
            remove_indentation(&mut tokens);
        }
        let line = self.rest().split(['\r', '\n']).next().unwrap_or_default();
        self.at += line.len();
        self.template_from(start, tokens)
    }

    /// The whole text as a template, as a file for `templatefile` is.
    pub fn bare_template(&mut self) -> Parsed<Expr> {
        let tokens = self.tokens(Frame::Text)?;
        self.template_from(0, tokens)
    }

    fn template_from(&mut self, start: usize, tokens: Vec<Token>) -> Parsed<Expr> {
        let mut parts = Vec::new();
        let mut tokens = tokens.into_iter();
        if let Some((stray, span)) = self.parts(&mut tokens, &mut parts)? {
            let word = stray.word();
            let error = at(span, format!("an `{word}` without the directive that it belongs to"));
            return self.refuse(error);
        }
        let kind = match parts.as_mut_slice() {
            [] => ExprKind::String(String::new()),
            [TemplatePart::Text(text)] => ExprKind::String(std::mem::take(text)),
            _ => ExprKind::Template(parts),
        };
        Ok(self.expr_from(start, kind))
    }

    /// The tokens up to the end of the template, which is not read.
    fn tokens(&mut self, frame: Frame<'_>) -> Parsed<Vec<Token>> {
        let mut tokens = Vec::new();
        let mut strip_next = false;
        loop {
            let (mut literal, before) = (String::new(), self.at);
            let more = self.literal(frame, &mut literal)?;
            if std::mem::take(&mut strip_next) {
                literal = literal.trim_start().to_owned();
            }
            let sequence = self.looking_at("${") || self.looking_at("%{");
            if sequence && self.rest()[2..].starts_with('~') {
                // Only the token before it: in a heredoc, the text of this line or, where the
                // sequence begins the line, the newline of the one before.
                match tokens.last_mut() {
                    Some(Token::Literal(last)) if self.at == before => trim_end(last),
                    _ => trim_end(&mut literal),
                }
            }
            if !literal.is_empty() {
                tokens.push(Token::Literal(literal));
            }
            if !more {
                return Ok(tokens);
            }
            if sequence {
                let (token, strip) = self.with_newlines(true, Self::sequence)?;
                tokens.push(token);
                strip_next = strip;
            }
        }
    }

    /// Reads literal text into `literal`, up to a sequence, the end of a heredoc's line, or the
    /// end of the template (then `false`).
    fn literal(&mut self, frame: Frame<'_>, literal: &mut String) -> Parsed<bool> {
        if let Frame::Heredoc { marker, .. } = frame
            && (self.at == 0 || self.text[..self.at].ends_with('\n'))
            && self.rest().split('\n').next().is_some_and(|line| line.trim() == marker)
        {
            return Ok(false);
        }
        loop {
            let rest = self.rest();
            let plain = rest.find(['$', '%', '\\', '"', '\n']).unwrap_or(rest.len());
            literal.push_str(&rest[..plain]);
            self.at += plain;
            let Some(next) = self.peek() else {
                return match frame {
                    Frame::Text => Ok(false),
                    _ => self.unterminated(frame),
                };
            };
            if self.looking_at("${") || self.looking_at("%{") {
                return Ok(true);
            }
            match (next, frame) {
                ('"', Frame::Quotes { .. }) => return Ok(false),
                ('\n', Frame::Quotes { .. }) => return self.unterminated(frame),
                ('\\', Frame::Quotes { .. }) => self.escape(literal),
                _ if self.eat("$${") => literal.push_str("${"),
                _ if self.eat("%%{") => literal.push_str("%{"),
                _ => {
                    self.at += 1;
                    literal.push(next);
                }
            }
            if next == '\n' {
                return Ok(true);
            }
        }
    }

    /// A backslash escape; a wrong one is said and skipped.
    fn escape(&mut self, literal: &mut String) {
        let start = self.at;
        let selector = self.rest()[1..].chars().next();
        self.at += 1 + selector.map_or(0, char::len_utf8);
        let simple = match selector {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(same @ ('"' | '\\')) => same,
            Some('u') => return self.unicode_escape(start, 4, literal),
            Some('U') => return self.unicode_escape(start, 8, literal),
            _ => {
                let end = if selector == Some('\n') { self.at - 1 } else { self.at };
                self.at = end;
                let error = self.error(start, end, "this escape does not exist");
                let error =
                    error.because("the escapes are \\n \\r \\t \\\" \\\\ \\uNNNN \\UNNNNNNNN");
                self.diagnostics.push(error.help("for a backslash itself, write `\\\\`"));
                return;
            }
        };
        literal.push(simple);
    }

    fn unicode_escape(&mut self, start: usize, digits: usize, literal: &mut String) {
        let rest = self.rest();
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len()).min(digits);
        let code = u32::from_str_radix(&rest[..hex], 16).ok().filter(|_| hex == digits);
        self.at += hex;
        match code.map(char::from_u32) {
            Some(Some(c)) => literal.push(c),
            Some(None) => {
                let error = self.error(start, self.at, "this escape is no character");
                self.diagnostics.push(error.help("write characters beyond U+FFFF as \\UNNNNNNNN"));
            }
            None => {
                let error = self.error(start, self.at, "this escape is too short");
                self.diagnostics.push(error.because(format!("it needs {digits} hex digits")));
            }
        }
    }

    fn unterminated<T>(&mut self, frame: Frame<'_>) -> Parsed<T> {
        let error = match frame {
            Frame::Quotes { open } => self
                .error(open, self.at, "a string is not closed on its line")
                .because("expected `\"`")
                .help("for several lines, write `\\n` or a heredoc (<<EOF … EOF)"),
            Frame::Heredoc { marker, open } => self
                .error(open, open + 2, "a heredoc is not closed")
                .because(format!("no line holds only `{marker}`")),
            Frame::Text => self.error_here("the text is not closed"),
        };
        self.refuse(error)
    }

    /// `${ … }` or `%{ … }`, and whether it strips the white space after it.
    fn sequence(&mut self) -> Parsed<(Token, bool)> {
        let start = self.at;
        let interpolation = self.looking_at("${");
        self.at += 2;
        self.eat("~");
        let mut token = match interpolation {
            true => Token::Interpolation(self.expression()?),
            false => Token::Directive(self.directive()?, self.span_from(start)),
        };
        self.skip_space();
        let strip = self.eat("~");
        if !self.eat("}") {
            return self.unclosed_sequence(start, interpolation);
        }
        let whole = self.span_from(start);
        if let Token::Directive(_, span) = &mut token {
            *span = whole;
        }
        Ok((token, strip))
    }

    fn unclosed_sequence<T>(&mut self, start: usize, interpolation: bool) -> Parsed<T> {
        let found = self.found();
        let (sign, what) = if interpolation { ("$", "${ … }") } else { ("%", "%{ … }") };
        let opened = self.span(start, start + 2);
        let error = self.error_here(format!("a `{what}` lacks its closing `}}`"));
        self.refuse(
            error
                .because(format!("expected `}}`, found {found}"))
                .label(opened, "opened here")
                .help(format!(
                    "for the text `{sign}{{` itself, as in a shell, write `{sign}{sign}{{`"
                )),
        )
    }

    fn directive(&mut self) -> Parsed<Directive> {
        self.skip_space();
        let start = self.at;
        match self.name() {
            Some("if") => Ok(Directive::If(self.expression()?)),
            Some("else") => Ok(Directive::Else),
            Some("endif") => Ok(Directive::EndIf),
            Some("endfor") => Ok(Directive::EndFor),
            Some("for") => {
                let (key, value) = self.for_names()?;
                Ok(Directive::For { key, value, collection: self.expression()? })
            }
            _ => {
                self.at = start;
                let found = self.found();
                let error = self.error_here("this is no template directive");
                self.refuse(
                    error
                        .because(format!("expected if, else, endif, for or endfor, found {found}"))
                        .help("for the text `%{` itself, write `%%{`"),
                )
            }
        }
    }

    /// Builds the tree up to a directive that ends or splits the one around, which is returned.
    fn parts(
        &mut self,
        tokens: &mut std::vec::IntoIter<Token>,
        parts: &mut Vec<TemplatePart>,
    ) -> Parsed<Option<(Directive, Span)>> {
        while let Some(token) = tokens.next() {
            match token {
                Token::Literal(text) => match parts.last_mut() {
                    Some(TemplatePart::Text(previous)) => previous.push_str(&text),
                    _ => parts.push(TemplatePart::Text(text)),
                },
                Token::Interpolation(expr) => parts.push(TemplatePart::Interpolation(expr)),
                Token::Directive(Directive::If(condition), span) => {
                    parts.push(self.deeper(|parser| parser.if_part(tokens, condition, span))?);
                }
                Token::Directive(Directive::For { key, value, collection }, span) => {
                    let mut body = Vec::new();
                    let end = self.deeper(|parser| parser.parts(tokens, &mut body))?;
                    let (_, end) = self.expect(end, "endfor", ("for", span))?;
                    let span = span.to(end);
                    parts.push(TemplatePart::For { key, value, collection, body, span });
                }
                Token::Directive(other, span) => return Ok(Some((other, span))),
            }
        }
        Ok(None)
    }

    fn if_part(
        &mut self,
        tokens: &mut std::vec::IntoIter<Token>,
        condition: Expr,
        span: Span,
    ) -> Parsed<TemplatePart> {
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        let mut end = self.parts(tokens, &mut yes)?;
        if let Some((Directive::Else, _)) = end {
            end = self.parts(tokens, &mut no)?;
        }
        let (_, end) = self.expect(end, "endif", ("if", span))?;
        Ok(TemplatePart::If { condition, yes, no, span: span.to(end) })
    }

    /// The directive that must end the one which `opened` says.
    fn expect(
        &mut self,
        found: Option<(Directive, Span)>,
        word: &str,
        (opener, opened): (&str, Span),
    ) -> Parsed<(Directive, Span)> {
        let error = match found {
            Some((directive, span)) if directive.word() == word => return Ok((directive, span)),
            Some((directive, span)) => {
                let found = directive.word();
                at(span, format!("an `{found}` is not expected here"))
                    .because(format!("expected `%{{ {word} }}`"))
                    .label(opened, format!("to end this `{opener}`"))
            }
            None => at(opened, format!("this `{opener}` is not ended"))
                .because(format!("`%{{ {word} }}` is missing before the end of the text")),
        };
        self.diagnostics.push(error);
        Err(Abandoned)
    }
}

fn trim_end(text: &mut String) {
    text.truncate(text.trim_end().len());
}

fn at(span: Span, summary: String) -> Diagnostic {
    Diagnostic::error(crate::diagnostic::code::HCL_SYNTAX, summary).at(span)
}

/// Takes from every line of a `<<-` heredoc the white space that all of them begin with. A line that
/// begins with a sequence has none; a blank line does not count.
fn remove_indentation(tokens: &mut [Token]) {
    let mut line_begins = true;
    let mut first_tokens = Vec::new();
    let mut indentation = usize::MAX;
    for (index, token) in tokens.iter().enumerate() {
        let text = match token {
            Token::Literal(text) => text.as_str(),
            _ => "",
        };
        let own = text.chars().take_while(|c| c.is_whitespace()).count();
        let blank = text.ends_with('\n') && text.trim_start().is_empty();
        if line_begins && !blank {
            indentation = indentation.min(own);
            first_tokens.push(index);
        }
        line_begins = text.ends_with('\n');
    }
    for index in first_tokens {
        if let Token::Literal(text) = &mut tokens[index] {
            *text = text.chars().skip(indentation).collect();
        }
    }
}
