//! Text → tokens: plain text, and what stands between `{{` and `}}`.

use super::Error;
use crate::budget::Limit;

/// One token and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub offset: usize,
    /// Where the next byte after it is.
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of actions; trim markers are applied.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A name: a function or a keyword.
    Word(String),
    /// `.Name`; the dot is left out.
    Field(String),
    /// `$name` or `$`; the dollar sign is kept.
    Variable(String),
    /// A string, without its quotes.
    String(String),
    /// A number or a character constant.
    Number(String),
    Character(char),
    /// `.`
    Dot,
    Pipe,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    LeftParenthesis,
    RightParenthesis,
    /// White space inside of an action: it separates `.a .b` from `.a.b`.
    Space,
}

/// How a text is written in an action.
pub(super) const QUOTES: &str = "write a text in backquotes or double quotes: `name`, \"name\"";

/// All tokens of `text`.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, Error> {
    Limit::TEXT.check(text.len()).map_err(|exceeded| Error::too_much(0, exceeded))?;
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'t> Lexer<'t> {
    fn run(&mut self) -> Result<(), Error> {
        let mut trim_start = false;
        loop {
            let start = self.at;
            let rest = self.rest();
            let open = rest.find("{{");
            let mut plain = &rest[..open.unwrap_or(rest.len())];
            if trim_start {
                plain = plain.trim_start_matches(is_space);
            }
            let trim_end = open.is_some_and(|at| {
                rest[at + 2..].strip_prefix('-').is_some_and(|after| after.starts_with(is_space))
            });
            if trim_end {
                plain = plain.trim_end_matches(is_space);
            }
            if !plain.is_empty() {
                self.push(
                    Kind::Text(plain.to_owned()),
                    start,
                    open.map_or(rest.len(), |at| at) + start,
                );
            }
            let Some(open) = open else {
                return Ok(());
            };
            self.at += open;
            trim_start = self.action(trim_end)?;
        }
    }

    /// An action or a comment; says whether it trims the white space after it.
    fn action(&mut self, trimmed: bool) -> Result<bool, Error> {
        let open = self.at;
        self.at += if trimmed { 4 } else { 2 };
        if self.rest().starts_with("/*") {
            return self.comment(open);
        }
        self.push(Kind::Open, open, self.at);
        loop {
            let start = self.at;
            if let Some(after) = self.rest().strip_prefix("}}") {
                self.at = self.text.len() - after.len();
                self.push(Kind::Close, start, self.at);
                return Ok(false);
            }
            let Some(next) = self.rest().chars().next() else {
                return Err(error(open, "this `{{` lacks its `}}`"));
            };
            if is_space(next) {
                let rest = self.rest().trim_start_matches(is_space);
                self.at = self.text.len() - rest.len();
                if let Some(after) = rest.strip_prefix("-}}") {
                    self.at = self.text.len() - after.len();
                    self.push(Kind::Close, start, self.at);
                    return Ok(true);
                }
                self.push(Kind::Space, start, self.at);
                continue;
            }
            let kind = self.token(next)?;
            self.push(kind, start, self.at);
        }
    }

    fn comment(&mut self, open: usize) -> Result<bool, Error> {
        let Some(end) = self.rest().find("*/") else {
            return Err(error(open, "this comment lacks its `*/`"));
        };
        self.at += end + 2;
        let rest = self.rest();
        let spaceless = rest.trim_start_matches(is_space);
        let trims = spaceless.len() < rest.len() && spaceless.starts_with("-}}");
        let after = if trims { spaceless.strip_prefix("-}}") } else { rest.strip_prefix("}}") };
        let Some(after) = after else {
            return Err(error(self.at, "a comment must end with `*/}}`"));
        };
        self.at = self.text.len() - after.len();
        Ok(trims)
    }

    fn token(&mut self, next: char) -> Result<Kind, Error> {
        let start = self.at;
        self.at += next.len_utf8();
        let kind = match next {
            '|' => Kind::Pipe,
            ',' => Kind::Comma,
            '=' => Kind::Assign,
            '(' => Kind::LeftParenthesis,
            ')' => Kind::RightParenthesis,
            ':' if self.rest().starts_with('=') => {
                self.at += 1;
                Kind::Declare
            }
            '"' => return self.quoted(start),
            '`' => return self.raw(start),
            '\'' => return self.character(start),
            '.' if !self.rest().starts_with(|c: char| c.is_ascii_digit()) => match self.word() {
                "" => Kind::Dot,
                name => Kind::Field(name.to_owned()),
            },
            '$' => Kind::Variable(format!("${}", self.word())),
            '.' | '+' | '-' | '0'..='9' => return Ok(self.number(start)),
            _ if is_word(next) => {
                self.at = start;
                Kind::Word(self.word().to_owned())
            }
            _ => return Err(error(start, format!("`{next}` means nothing in an action"))),
        };
        Ok(kind)
    }

    /// `"…"` with Go's escapes.
    fn quoted(&mut self, start: usize) -> Result<Kind, Error> {
        let mut value = String::new();
        loop {
            let offset = self.at;
            let Some(next) = self.rest().chars().next().filter(|c| *c != '\n') else {
                return Err(error(start, "this string lacks its closing `\"`"));
            };
            self.at += next.len_utf8();
            match next {
                '"' => return Ok(Kind::String(value)),
                '\\' => value.push(self.escape(offset)?),
                _ => value.push(next),
            }
        }
    }

    /// After a backslash.
    fn escape(&mut self, offset: usize) -> Result<char, Error> {
        let unknown = || error(offset, "this escape does not exist");
        let selector = self.rest().chars().next().ok_or_else(unknown)?;
        self.at += selector.len_utf8();
        let (digits, radix) = match selector {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '"' | '\'' => return Ok(selector),
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(unknown()),
        };
        let text = self.rest().get(..digits).ok_or_else(unknown)?;
        if !text.chars().all(|c| c.is_digit(radix)) {
            return Err(unknown());
        }
        self.at += digits;
        u32::from_str_radix(text, radix).ok().and_then(char::from_u32).ok_or_else(unknown)
    }

    /// Backquotes: nothing inside is special.
    fn raw(&mut self, start: usize) -> Result<Kind, Error> {
        let Some(end) = self.rest().find('`') else {
            return Err(error(start, "this string lacks its closing backquote"));
        };
        let value = self.rest()[..end].replace('\r', "");
        self.at += end + 1;
        Ok(Kind::String(value))
    }

    fn character(&mut self, start: usize) -> Result<Kind, Error> {
        let unclosed = || error(start, format!("single quotes hold no text\n{QUOTES}"));
        let offset = self.at;
        let next = self.rest().chars().next().ok_or_else(unclosed)?;
        self.at += next.len_utf8();
        let value = if next == '\\' { self.escape(offset)? } else { next };
        if !self.rest().starts_with('\'') {
            return Err(unclosed());
        }
        self.at += 1;
        Ok(Kind::Character(value))
    }

    /// Anything that a number could go on with; the parser checks it.
    fn number(&mut self, start: usize) -> Kind {
        let mut end = self.at;
        for c in self.rest().chars() {
            let exponent_sign =
                matches!(c, '+' | '-') && self.text[..end].ends_with(['e', 'E', 'p', 'P']);
            if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent_sign) {
                break;
            }
            end += 1;
        }
        self.at = end;
        Kind::Number(self.text[start..end].to_owned())
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, offset: usize, end: usize) {
        self.tokens.push(Token { kind, offset, end });
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn error(offset: usize, message: impl Into<String>) -> Error {
    Error::new(offset, message)
}
