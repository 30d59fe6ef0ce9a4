//! Text → tokens: the words and signs of HCL, each with its place. Blanks lie between them.
//!
//! The scanner knows what is code and what is text inside of quotes and heredocs, and nothing of
//! the grammar: every text has tokens, a wrong one too. It keeps a stack of its own, so that no
//! nesting is too deep for it.

use unicode_ident::{is_xid_continue, is_xid_start};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A name: letters, digits, `_` and `-`, beginning with a letter or `_`.
    Name,
    /// A number, in the loosest sense: `1.2.3` is one, too.
    Number,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `"`, before text.
    OpenQuote,
    /// `"`, after text.
    CloseQuote,
    /// `<<EOF` or `<<-EOF` and the end of the line.
    OpenHeredoc,
    /// The word that ends a heredoc, and the blanks around it on its line.
    CloseHeredoc,
    /// `${` or `${~`
    OpenInterpolation,
    /// `%{` or `%{~`
    OpenDirective,
    /// `}` or `~}` that ends one of these two.
    CloseSequence,
    /// Text between quotes or in a heredoc; one line of it at most.
    Literal,
    /// The end of a line between quotes, where no line may end.
    QuotedNewline,
    /// `=`
    Assign,
    /// `-`
    Minus,
    /// `!`
    Not,
    /// Any other operator between two operands: `+ * / % == != < > <= >= && ||`
    Operator,
    /// `?`
    Question,
    /// `:`
    Colon,
    /// `::`
    DoubleColon,
    /// `=>`
    FatArrow,
    /// `.`
    Dot,
    /// `...`
    Ellipsis,
    /// `,`
    Comma,
    /// `# …` or `// …` with the end of its line, or `/* … */`.
    Comment,
    /// The end of a line.
    Newline,
    /// A character or sign that HCL has no use for.
    Invalid,
    /// The end of the text. The scanner has none; who looks at the next token puts one behind all.
    End,
}

impl TokenKind {
    /// `1` for what opens a bracket or a sequence, `-1` for what closes one, else `0`.
    pub fn nesting(self) -> i32 {
        match self {
            Self::OpenBrace
            | Self::OpenBracket
            | Self::OpenParen
            | Self::OpenInterpolation
            | Self::OpenDirective => 1,
            Self::CloseBrace | Self::CloseBracket | Self::CloseParen | Self::CloseSequence => -1,
            _ => 0,
        }
    }
}

/// One token: the bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Offset of its first byte.
    pub start: usize,
    /// Offset after its last byte.
    pub end: usize,
}

impl Token {
    /// Its bytes.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// What the text at one place is; each stands on the one that it is in.
#[derive(Clone, Copy, Debug)]
enum Mode<'t> {
    /// Code, in which so many braces are open.
    Code { braces: usize },
    /// Text between quotes.
    Quoted,
    /// The lines of a heredoc, up to the one that holds only this word; without one, all lines.
    Lines { marker: Option<&'t str> },
}

/// The tokens of a text, from its start to its end.
#[derive(Clone, Debug)]
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// What is around `mode`.
    outer: Vec<Mode<'t>>,
    mode: Mode<'t>,
    /// A `/*` had no `*/` behind it; the next ones have none, either.
    comment_is_open: bool,
}

/// The tokens of `text`. A byte order mark at its start is as a blank.
pub fn scan(text: &str) -> Scanner<'_> {
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    Scanner::new(text, at, Mode::Code { braces: 0 })
}

/// The tokens of a template that has no quotes around it.
pub fn scan_template(text: &str) -> Scanner<'_> {
    Scanner::new(text, 0, Mode::Lines { marker: None })
}

impl Iterator for Scanner<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if let Mode::Code { .. } = self.mode {
            self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
        }
        let start = self.at;
        let next = self.rest().chars().next()?;
        let (kind, length) = match self.mode {
            Mode::Code { braces } => self.code(next, braces),
            Mode::Quoted => self.quoted(next),
            Mode::Lines { marker } => self.lines(marker),
        };
        self.at += length;
        Some(Token { kind, start, end: self.at })
    }
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str, at: usize, mode: Mode<'t>) -> Self {
        Self { text, at, outer: Vec::new(), mode, comment_is_open: false }
    }

    /// Reads what follows as code, whatever it stands in.
    pub fn start_over(&mut self) {
        self.outer.clear();
        self.mode = Mode::Code { braces: 0 };
    }

    /// What is not read yet.
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn enter(&mut self, mode: Mode<'t>) {
        self.outer.push(std::mem::replace(&mut self.mode, mode));
    }

    fn leave(&mut self) {
        self.mode = self.outer.pop().unwrap_or(Mode::Code { braces: 0 });
    }

    /// The token of code that begins with `next`, and its length.
    fn code(&mut self, next: char, braces: usize) -> (TokenKind, usize) {
        match next {
            '{' => {
                self.mode = Mode::Code { braces: braces + 1 };
                (TokenKind::OpenBrace, 1)
            }
            '}' => (self.close_brace(braces), 1),
            '~' if self.rest().starts_with("~}") => {
                // Where it closes a mere brace, it is a mistake, but still this token.
                self.close_brace(braces);
                (TokenKind::CloseSequence, 2)
            }
            '"' => {
                self.enter(Mode::Quoted);
                (TokenKind::OpenQuote, 1)
            }
            '<' if let Some((marker, length)) = heredoc_start(self.rest()) => {
                self.enter(Mode::Lines { marker: Some(marker) });
                (TokenKind::OpenHeredoc, length)
            }
            '0'..='9' => (TokenKind::Number, number_length(self.rest())),
            _ if is_xid_start(next) || next == '_' => (TokenKind::Name, name_length(self.rest())),
            _ => match self.comment_length() {
                Some(length) => (TokenKind::Comment, length),
                None => sign(self.rest(), next),
            },
        }
    }

    /// Whether a `}` in code ends the sequence that the code is in, or one of its own braces.
    fn close_brace(&mut self, braces: usize) -> TokenKind {
        if braces == 0 && !self.outer.is_empty() {
            self.leave();
            return TokenKind::CloseSequence;
        }
        self.mode = Mode::Code { braces: braces.saturating_sub(1) };
        TokenKind::CloseBrace
    }

    fn quoted(&mut self, next: char) -> (TokenKind, usize) {
        if next == '"' {
            self.leave();
            return (TokenKind::CloseQuote, 1);
        }
        if let Some(length) = newline_length(self.rest()) {
            return (TokenKind::QuotedNewline, length);
        }
        self.sequence().unwrap_or_else(|| (TokenKind::Literal, quoted_length(self.rest())))
    }

    fn lines(&mut self, marker: Option<&str>) -> (TokenKind, usize) {
        let begins_line = self.at == 0 || self.text[..self.at].ends_with('\n');
        if begins_line
            && let line = line_of(self.rest())
            && line.ends_with('\n')
            && marker == Some(line.trim())
        {
            self.leave();
            return (TokenKind::CloseHeredoc, content_of(line).len());
        }
        let literal = |scanner: &Self| literal_length(scanner.rest(), |_| None);
        self.sequence().unwrap_or_else(|| (TokenKind::Literal, literal(self)))
    }

    /// Of a comment; one that is never closed is none.
    fn comment_length(&mut self) -> Option<usize> {
        let rest = self.rest();
        if rest.starts_with('#') || rest.starts_with("//") {
            return Some(line_of(rest).len());
        }
        let inside = rest.strip_prefix("/*").filter(|_| !self.comment_is_open)?;
        let end = inside.find("*/");
        self.comment_is_open = end.is_none();
        Some("/*".len() + end? + "*/".len())
    }

    /// The `${` or `%{` that stands here.
    fn sequence(&mut self) -> Option<(TokenKind, usize)> {
        let (kind, after) = match self.rest() {
            rest if rest.starts_with("${") => (TokenKind::OpenInterpolation, &rest[2..]),
            rest if rest.starts_with("%{") => (TokenKind::OpenDirective, &rest[2..]),
            _ => return None,
        };
        self.enter(Mode::Code { braces: 0 });
        Some((kind, if after.starts_with('~') { 3 } else { 2 }))
    }
}

/// The first line of `rest`, with its end.
fn line_of(rest: &str) -> &str {
    rest.split_inclusive('\n').next().unwrap_or_default()
}

/// `line` without its end.
fn content_of(line: &str) -> &str {
    let content = line.strip_suffix('\n').unwrap_or(line);
    content.strip_suffix('\r').filter(|_| content.len() < line.len()).unwrap_or(content)
}

/// Of what ends a line between quotes, if `rest` begins with it: a lone `\r` does, too.
fn newline_length(rest: &str) -> Option<usize> {
    ["\n", "\r\n", "\r"].into_iter().find(|end| rest.starts_with(end)).map(str::len)
}

fn name_length(rest: &str) -> usize {
    rest.find(|c| !is_xid_continue(c) && c != '-').unwrap_or(rest.len())
}

/// Of a number: digits, points between them, and exponents.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut at, mut end) = (0, 0);
    loop {
        at += match bytes.get(at) {
            Some(b'.') => 1,
            Some(b'0'..=b'9') => 1,
            Some(b'e' | b'E') if digit(at + 1) => 2,
            Some(b'e' | b'E')
                if matches!(bytes.get(at + 1), Some(b'+' | b'-')) && digit(at + 2) =>
            {
                3
            }
            _ => return end,
        };
        if bytes[at - 1] != b'.' {
            end = at;
        }
    }
}

/// The word that ends the heredoc which begins here, and the length of its first line.
fn heredoc_start(rest: &str) -> Option<(&str, usize)> {
    let word = rest.strip_prefix("<<")?;
    let word = word.strip_prefix('-').unwrap_or(word);
    let marker = &word[..name_length(word)];
    marker.starts_with(|c| is_xid_start(c) || c == '_').then_some(())?;
    let end = newline_length(&word[marker.len()..])?;
    Some((marker, rest.len() - word.len() + marker.len() + end))
}

/// Of text between quotes up to what ends it.
fn quoted_length(rest: &str) -> usize {
    literal_length(rest, |after| match after.as_bytes() {
        [b'"' | b'\n' | b'\r', ..] => Some(0),
        [b'\\', b'\n' | b'\r', ..] => Some(1),
        [b'\\', ..] => Some(1 + after[1..].chars().next().map_or(0, char::len_utf8)),
        _ => None,
    })
}

/// Of the literal text that `rest` begins with, up to a sequence or the end of the line. `special`
/// says of some places how many bytes belong together there; none end the text.
fn literal_length(rest: &str, special: impl Fn(&str) -> Option<usize>) -> usize {
    let mut at = 0;
    while at < rest.len() {
        let after = &rest[at..];
        at += match special(after) {
            Some(0) => return at,
            Some(length) => length,
            None if after.starts_with('\n') => return at + 1,
            None if after.starts_with("$${") || after.starts_with("%%{") => 3,
            None if after.starts_with("${") || after.starts_with("%{") => return at,
            None => after.chars().next().map_or(1, char::len_utf8),
        };
    }
    at
}

/// The sign that begins with `next`: the longest that there is.
fn sign(rest: &str, next: char) -> (TokenKind, usize) {
    let after = &rest[next.len_utf8()..];
    let kind = match next {
        '.' if after.starts_with("..") => return (TokenKind::Ellipsis, 3),
        '=' if after.starts_with('>') => return (TokenKind::FatArrow, 2),
        ':' if after.starts_with(':') => return (TokenKind::DoubleColon, 2),
        '\r' if after.starts_with('\n') => return (TokenKind::Newline, 2),
        '=' | '!' | '<' | '>' if after.starts_with('=') => return (TokenKind::Operator, 2),
        '&' | '|' if after.starts_with(next) => return (TokenKind::Operator, 2),
        '*' if after.starts_with('*') => return (TokenKind::Invalid, 2),
        '\n' => TokenKind::Newline,
        '[' => TokenKind::OpenBracket,
        ']' => TokenKind::CloseBracket,
        '(' => TokenKind::OpenParen,
        ')' => TokenKind::CloseParen,
        '=' => TokenKind::Assign,
        '-' => TokenKind::Minus,
        '!' => TokenKind::Not,
        '+' | '*' | '/' | '%' | '<' | '>' => TokenKind::Operator,
        '?' => TokenKind::Question,
        ':' => TokenKind::Colon,
        '.' => TokenKind::Dot,
        ',' => TokenKind::Comma,
        _ => TokenKind::Invalid,
    };
    (kind, next.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::TokenKind::*;
    use super::*;

    /// The tokens of `text`, each as it is written.
    fn tokens(text: &str) -> Vec<(TokenKind, &str)> {
        scan(text).map(|token| (token.kind, &text[token.start..token.end])).collect()
    }

    #[test]
    fn code_falls_into_names_numbers_and_signs() {
        let signs = [
            (Name, "a-b"),
            (Assign, "="),
            (Number, "1.5e+3"),
            (Dot, "."),
            (Name, "x"),
            (Operator, "<="),
            (Not, "!"),
            (Name, "c"),
            (DoubleColon, "::"),
            (Name, "f"),
            (OpenParen, "("),
            (Name, "v"),
            (Ellipsis, "..."),
            (CloseParen, ")"),
            (FatArrow, "=>"),
            (Minus, "-"),
            (Number, "2"),
            (Comment, "# end\r\n"),
            (Comment, "/* * */"),
            (Newline, "\r\n"),
            (Invalid, "'"),
        ];
        assert_eq!(tokens("\u{feff}a-b=1.5e+3.x<= !c::f(v...)=>-2\t# end\r\n/* * */ \r\n'"), signs);
    }

    #[test]
    fn quotes_hold_text_and_code() {
        let quoted = [
            (OpenQuote, "\""),
            (Literal, "a\\\"$${b}%"),
            (OpenInterpolation, "${~"),
            (OpenBrace, "{"),
            (CloseBrace, "}"),
            (OpenQuote, "\""),
            (Literal, "in"),
            (CloseQuote, "\""),
            (CloseSequence, "~}"),
            (OpenDirective, "%{"),
            (Name, "if"),
            (CloseSequence, "}"),
            (CloseQuote, "\""),
        ];
        assert_eq!(tokens(r#""a\"$${b}%${~ { } "in" ~}%{if}""#), quoted);
    }

    #[test]
    fn a_heredoc_ends_with_its_word_alone_on_a_line() {
        let heredoc = [
            (OpenHeredoc, "<<-EOT\n"),
            (Literal, "EOT x\n"),
            (OpenInterpolation, "${"),
            (Name, "y"),
            (CloseSequence, "}"),
            (Literal, "EOT\n"),
            (CloseHeredoc, "  EOT "),
            (Newline, "\n"),
            (Name, "b"),
        ];
        assert_eq!(tokens("<<-EOT\nEOT x\n${y}EOT\n  EOT \nb"), heredoc);
    }

    #[test]
    fn what_is_not_closed_is_scanned_to_the_end() {
        assert_eq!(tokens("/* x").len(), 3);
        assert_eq!(tokens("<<EOT x")[..2], [(Operator, "<"), (Operator, "<")]);
        let open = [(OpenQuote, "\""), (Literal, "x"), (QuotedNewline, "\n"), (Literal, "y")];
        assert_eq!(tokens("\"x\ny"), open);
        assert_eq!(tokens("<<EOT\nEOT"), [(OpenHeredoc, "<<EOT\n"), (Literal, "EOT")]);
        assert_eq!(tokens("\"\r\r\n")[1..], [(QuotedNewline, "\r"), (QuotedNewline, "\r\n")]);
        assert_eq!(tokens("\"\r")[1..], [(QuotedNewline, "\r")]);
        assert_eq!(tokens(&"\"${".repeat(100_000)).len(), 200_000);
    }
}
