//! The JSON grammar. Goes on after a mistake where what was meant is plain, so that all mistakes of
//! a file are said at once.

use super::{Kind, Member, Value};
use crate::budget::{Budget, Exceeded, Limit};
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::source::{FileId, SourceMap, Span, Spanned};

/// How many mistakes are said before the text is given up as no JSON.
const MAX_ERRORS: usize = 20;

/// Reads a file. The value is there, as far as it could be read, even where something is wrong.
pub(in crate::template) fn parse(
    file: FileId,
    sources: &SourceMap,
) -> (Option<Value>, Diagnostics) {
    let mut parser = Parser::new(file, sources);
    let value = parser.document().ok().and_then(|value| parser.end(&value).ok().map(|()| value));
    (value, parser.diagnostics)
}

/// Reads the first value of a file. What comes after it is worth a warning.
pub(in crate::template) fn parse_first(
    file: FileId,
    sources: &SourceMap,
) -> (Option<Value>, Diagnostics) {
    let mut parser = Parser::new(file, sources);
    let Ok(value) = parser.document() else { return (None, parser.diagnostics) };
    let mut found = std::mem::take(&mut parser.diagnostics);
    // Why it cannot go on is said there.
    let _ = parser.end(&value);
    found.extend(parser.diagnostics.into_iter().map(Diagnostic::into_warning));
    (Some(value), found)
}

/// Reading cannot go on; why has been said.
#[derive(Debug)]
struct GivenUp;

type Parsed<T> = Result<T, GivenUp>;

struct Parser<'t> {
    text: &'t str,
    at: usize,
    file: FileId,
    depth: usize,
    budget: &'t Budget,
    diagnostics: Diagnostics,
}

impl<'t> Parser<'t> {
    fn new(file: FileId, sources: &'t SourceMap) -> Self {
        let (text, budget) = (&*sources.file(file).text, sources.budget());
        Self { text, at: 0, file, depth: 0, budget, diagnostics: Diagnostics::default() }
    }

    fn document(&mut self) -> Parsed<Value> {
        if self.text.starts_with('\u{feff}') {
            let error = self.error(0, 3, "the file begins with a byte-order mark");
            self.say(error.help("save it as UTF-8 without a byte-order mark"))?;
            self.at = 3;
        }
        self.skip_space()?;
        if self.peek().is_some_and(|c| c.is_alphabetic())
            && !self.at_word(&["true", "false", "null"])
        {
            let error = self.error_here("this is no JSON").because("expected `{`");
            return self.give_up(error.help("an HCL2 template is named *.pkr.hcl"));
        }
        self.value("a template")
    }

    /// Nothing comes after the only value of a file.
    fn end(&mut self, value: &Value) -> Parsed<()> {
        self.skip_space()?;
        if self.peek().is_some() {
            let error = self.error_here("the template has ended before this");
            let end = Span::new(self.file, value.span.end as usize - 1, value.span.end as usize);
            return self.give_up(error.label(end, "the end of the template"));
        }
        Ok(())
    }

    fn value(&mut self, what: &str) -> Parsed<Value> {
        let start = self.at;
        self.hold(self.budget.pay(Budget::WORD))?;
        let kind = match self.peek() {
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::array)?,
            Some('"') => Kind::String(self.string()?),
            Some('-' | '+' | '.' | '0'..='9') => Kind::Number(self.number()?),
            Some(c) if c.is_alphabetic() || c == '_' => self.word()?,
            Some('\'') => Kind::String(self.single_quoted()?),
            _ => {
                let found = self.found();
                let error = self.error_here(format!("{what} is missing"));
                return self.give_up(error.because(format!("expected a value, found {found}")));
            }
        };
        Ok(Value { kind, span: self.span(start, self.at) })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Parsed<Kind>) -> Parsed<Kind> {
        self.hold(Limit::NESTING.check(self.depth + 1))?;
        self.depth += 1;
        let kind = read(self);
        self.depth -= 1;
        kind
    }

    fn array(&mut self) -> Parsed<Kind> {
        let open = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space()?;
        while !self.eat(']') {
            items.push(self.value("a value")?);
            if !self.separator(open, ']')? {
                break;
            }
        }
        Ok(Kind::Array(items))
    }

    fn object(&mut self) -> Parsed<Kind> {
        let open = self.at;
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space()?;
        while !self.eat('}') {
            members.push(self.member()?);
            if !self.separator(open, '}')? {
                break;
            }
        }
        Ok(Kind::Object(members))
    }

    fn member(&mut self) -> Parsed<Member> {
        let start = self.at;
        self.hold(self.budget.pay(Budget::WORD))?;
        let key = self.key()?;
        let key = Spanned::new(key, self.span(start, self.at));
        self.skip_space()?;
        let colon = self.at;
        if self.eat('=') {
            let error = self.error(colon, self.at, "`:` expected");
            self.say(error.because("JSON has `:` between a key and its value"))?;
        } else if !self.eat(':') {
            let value = self.value_without_colon(&key)?;
            return Ok(Member { key, value });
        }
        self.skip_space()?;
        let value = self.value("the value of a key")?;
        Ok(Member { key, value })
    }

    fn value_without_colon(&mut self, key: &Spanned<String>) -> Parsed<Value> {
        if !self.value_begins() {
            let found = self.found();
            let error = self.error_here("`:` expected").because(format!("found {found}"));
            return self.give_up(error.label(key.span, "this key has no value"));
        }
        let error = self.error_here("`:` expected").because("before this value");
        let help = format!("write `\"{}\": …`", key.value);
        self.say(error.label(key.span, "after this key").help(help))?;
        self.value("the value of a key")
    }

    fn key(&mut self) -> Parsed<String> {
        match self.peek() {
            Some('"') => self.string(),
            Some('\'') => self.single_quoted(),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let start = self.at;
                let word = self.bare_word();
                let error = self.error(start, self.at, "a key belongs in double quotes");
                self.say(error.help(format!("write `\"{word}\"`")))?;
                Ok(word)
            }
            _ => {
                let found = self.found();
                let error = self.error_here("a key is missing");
                self.give_up(error.because(format!("expected a string, found {found}")))
            }
        }
    }

    /// What is between two elements: `true` after a comma, `false` after the closer. A missing
    /// comma and one too many are said and passed.
    fn separator(&mut self, open: usize, closer: char) -> Parsed<bool> {
        let end = self.at;
        self.skip_space()?;
        let comma = self.at;
        if self.eat(',') {
            self.skip_space()?;
            let closing = self.peek().filter(|c| matches!(c, '}' | ']'));
            if let Some(found) = closing {
                let error = self.error_here("a comma is one too many");
                let comma = self.span(comma, comma + 1);
                self.say(
                    error
                        .because(format!(
                            "after a comma another element must follow, not `{found}`"
                        ))
                        .label(comma, "remove this comma"),
                )?;
            } else {
                return Ok(true);
            }
        }
        if self.eat(closer) {
            return Ok(false);
        }
        if self.value_begins() {
            let before = self.span(end - 1, end);
            let error = self.error_here("`,` expected").because("before this");
            self.say(error.label(before, "the element before it ends here"))?;
            return Ok(true);
        }
        self.unclosed(open, closer)
    }

    /// A list or object that is ended by the wrong closer or the end of the file. A wrong closer is
    /// taken for the one of an outer bracket.
    fn unclosed(&mut self, open: usize, closer: char) -> Parsed<bool> {
        let found = self.found();
        let what = if closer == '}' { "an object" } else { "a list" };
        let opened = self.span(open, open + 1);
        let error = self
            .error_here(format!("{what} lacks its closing `{closer}`"))
            .because(format!("expected `,` or `{closer}`, found {found}"))
            .label(opened, "opened here");
        let outer = self.depth > 1 && self.peek().is_some_and(|c| matches!(c, '}' | ']'));
        if !outer {
            return self.give_up(error);
        }
        self.say(error)?;
        Ok(false)
    }

    fn string(&mut self) -> Parsed<String> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c < ' ' || c == '"' || c == '\\').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => self.escape(&mut text)?,
                None | Some('\n' | '\r') => return self.unclosed_string(open, text),
                Some(control) => {
                    let error = self.error(self.at, self.at + 1, "a control character in a string");
                    let code = u32::from(control);
                    self.say(error.help(format!("write it as `\\u{code:04x}`")))?;
                    text.push(control);
                    self.at += 1;
                }
            }
        }
    }

    /// Goes on where only the quote was forgotten: the next line begins like an element or ends one.
    fn unclosed_string(&mut self, open: usize, text: String) -> Parsed<String> {
        let error = self.error(open, self.at, "a string is not closed on its line");
        let error = error.because("expected `\"`");
        self.say(error.help("write a line's end inside of a string as `\\n`"))?;
        if !self.rest().trim_start().starts_with(['"', '{', '[', '}', ']']) {
            return Err(GivenUp);
        }
        self.at -= usize::from(self.text[..self.at].ends_with(','));
        Ok(text.trim_end_matches(',').to_owned())
    }

    fn escape(&mut self, text: &mut String) -> Parsed<()> {
        let start = self.at;
        let selector = self.rest()[1..].chars().next();
        self.at += 1;
        let simple = match selector {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode_escape(start, text),
            None | Some('\n' | '\r') => return Ok(()),
            Some(other) => {
                self.at += other.len_utf8();
                let error = self.error(start, self.at, "this escape does not exist");
                let error =
                    error.because("the escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uNNNN");
                return self.say(error.help("for a backslash itself, write `\\\\`"));
            }
        };
        self.at += 1;
        text.push(simple);
        Ok(())
    }

    /// `\uNNNN`, two of them for a character beyond U+FFFF. Half of such a pair alone is read as
    /// U+FFFD, as Go does.
    fn unicode_escape(&mut self, start: usize, text: &mut String) -> Parsed<()> {
        self.at = start;
        let Some(first) = self.code_unit() else {
            let rest = &self.rest()[2..];
            let digits = rest.chars().take(4).take_while(char::is_ascii_hexdigit).count();
            self.at = start + 2 + digits;
            let error = self.error(start, self.at, "this escape is too short");
            return self.say(error.because("it needs four hex digits"));
        };
        let after_first = self.at;
        let pair = (0xd800..0xdc00).contains(&first).then(|| self.code_unit()).flatten();
        match pair.filter(|second| (0xdc00..0xe000).contains(second)) {
            Some(second) => {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                text.extend(char::from_u32(code));
            }
            None => {
                self.at = after_first;
                text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.rest().strip_prefix("\\u")?.get(..4)?;
        let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| valid)?;
        self.at += 6;
        Some(code)
    }

    fn single_quoted(&mut self) -> Parsed<String> {
        let start = self.at;
        let line = self.rest()[1..].split('\n').next().unwrap_or_default();
        let Some(end) = line.find('\'') else {
            let error = self.error_here("single quotes are not valid");
            return self.give_up(error.help("enclose strings in double quotes (\")"));
        };
        self.at += end + 2;
        let error = self.error(start, self.at, "single quotes are not valid");
        self.say(error.help("enclose strings in double quotes (\")"))?;
        Ok(line[..end].to_owned())
    }

    fn number(&mut self) -> Parsed<String> {
        let start = self.at;
        let rest = self.rest();
        let part_of = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let end = rest.find(|c| !part_of(c)).unwrap_or(rest.len());
        self.at += end;
        let text = &rest[..end];
        if !is_number(text) {
            let error = self.error(start, self.at, format!("`{text}` is no number"));
            self.say(error.help("write a number like 1, -2.5 or 1e3; anything else in quotes"))?;
        }
        Ok(text.to_owned())
    }

    fn word(&mut self) -> Parsed<Kind> {
        let start = self.at;
        let word = self.bare_word();
        let meant = match word.as_str() {
            "true" => return Ok(Kind::Bool(true)),
            "false" => return Ok(Kind::Bool(false)),
            "null" => return Ok(Kind::Null),
            other => did_you_mean(&other.to_lowercase(), ["true", "false", "null"]).or_else(|| {
                ["true", "false", "null"]
                    .into_iter()
                    .find(|known| other.eq_ignore_ascii_case(known))
            }),
        };
        let error = self.error(start, self.at, "a text belongs in double quotes");
        self.say(match meant {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None => error.help(format!("write `\"{word}\"`")),
        })?;
        Ok(Kind::String(word))
    }

    fn bare_word(&mut self) -> String {
        let rest = self.rest();
        let part_of = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let end = rest.find(|c| !part_of(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn at_word(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.rest().starts_with(word))
    }

    fn value_begins(&self) -> bool {
        self.peek()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '"' | '\'' | '{' | '[' | '-' | '_'))
    }

    /// Skips white space. Comments are said and skipped.
    fn skip_space(&mut self) -> Parsed<()> {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            let rest = self.rest();
            let end = if rest.starts_with("/*") {
                rest.find("*/").map(|end| end + 2)
            } else if rest.starts_with("//") || rest.starts_with('#') {
                Some(rest.find(['\n', '\r']).unwrap_or(rest.len()))
            } else {
                return Ok(());
            };
            let start = self.at;
            self.at += end.unwrap_or(rest.len());
            let first_line = rest.find(['\n', '\r']).unwrap_or(rest.len()).min(self.at - start);
            let error = self.error(start, start + first_line, "JSON has no comments");
            self.say(
                error.help("write a root key that begins with `_`, e.g. \"_comment\": \"…\""),
            )?;
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: char) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }

    fn error(&self, start: usize, end: usize, summary: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code::JSON_SYNTAX, summary).at(self.span(start, end))
    }

    fn error_here(&self, summary: impl Into<String>) -> Diagnostic {
        let length = self.peek().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        self.error(self.at, self.at + length, summary)
    }

    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".into(),
            Some(c) => format!("`{c}`"),
        }
    }

    fn hold(&mut self, checked: Result<(), Exceeded>) -> Parsed<()> {
        let at = self.span(self.at, self.at);
        checked.or_else(|exceeded| self.give_up(Diagnostic::from(exceeded).at(at)))
    }

    fn say(&mut self, diagnostic: Diagnostic) -> Parsed<()> {
        self.diagnostics.push(diagnostic);
        if self.diagnostics.0.len() == MAX_ERRORS { Err(GivenUp) } else { Ok(()) }
    }

    fn give_up<T>(&mut self, diagnostic: Diagnostic) -> Parsed<T> {
        self.diagnostics.push(diagnostic);
        Err(GivenUp)
    }
}

/// Whether `text` is a number as JSON has them.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}
